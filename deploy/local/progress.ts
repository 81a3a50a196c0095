/** Says what happens, one line each, with the time since the start: `[ 12.3 s] Envoy is listening`. */
export type Progress = (line: string) => void;

export function progressTo(write: (text: string) => void, now: () => number = () => performance.now()): Progress {
  const begun = now();
  return (line) => {
    const seconds = ((now() - begun) / 1000).toFixed(1).padStart(5);
    write(`[${seconds} s] ${line}\n`);
  };
}
