import { findPython, installEnvironment } from "./python.ts";

/**
 * Lowers its own priority, asks to be killed when its parent dies, and becomes the program, with the same process id.
 * The priority is not lowered from outside: on Linux it is a thread's own, and the program's other threads would keep
 * theirs.
 */
const become = `import ctypes, os, sys
os.nice(int(sys.argv[1]))
try:
    ctypes.CDLL(None).prctl(1, 9)
except Exception:
    pass
os.execvp(sys.argv[2], sys.argv[2:])`;

export interface BoundCommand {
  readonly command: string;
  readonly args: readonly string[];
}

/**
 * How to start programs that end with this process, however it ends: a test run that is killed ends nothing in order.
 * (Where the system is not Linux, they are started like any others.)
 * @param niceness added to this process's own
 */
export async function boundToUs(niceness = 0): Promise<(program: string, args: readonly string[]) => BoundCommand> {
  const folder = process.env["TMPDIR"] ?? "/tmp";
  const python = await findPython(installEnvironment({ home: folder, temporary: folder }));
  return (program, args) => ({ command: python, args: ["-c", become, String(niceness), program, ...args] });
}
