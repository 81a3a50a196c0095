/**
 * Runs `work` while this process holds the lock file; waits while another living process, or another call in this one,
 * holds it. A lock whose holder died is taken over.
 * @param onWait told once, with the holder's process id, when there is a wait
 * @throws what `work` throws, or the fault of the file system
 */
export declare function withLock<T>(path: string, onWait: (holder: string) => void, work: () => Promise<T>): Promise<T>;
