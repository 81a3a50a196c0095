import { readFile } from "node:fs/promises";
import type { Child } from "../../deploy/local/processes.ts";

/** A process of a stack that a test may end and start again. */
export interface StackPart {
  /** The running process's id. @throws Error where it does not run */
  readonly pid: number;
  readonly running: boolean;
  /** Starts it and resolves when it serves. @throws Error where it runs already or does not come up */
  start(): Promise<void>;
  /** Starts it and does not wait for anything. */
  launch(): Promise<void>;
  /** Resolves when it serves. */
  ready(): Promise<void>;
  /** SIGTERM, and SIGKILL after a while; resolves when it is gone, with its exit code. */
  stop(): Promise<number | null>;
  /** Ends it in order where it runs, and starts it. */
  restart(): Promise<void>;
  /** Like `stop`, also where it does not run. */
  end(): Promise<void>;
  /** SIGKILL; resolves when it is gone. */
  kill9(): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** Resolves when it is gone, however it ends, with its exit code. */
  exited(): Promise<number | null>;
  /** Everything that all its runs have printed. */
  log(): Promise<string>;
}

export interface PartRecipe {
  readonly name: string;
  readonly logFile: string;
  readonly graceMs: number;
  launch(): Promise<Child>;
  ready(child: Child): Promise<void>;
}

/**
 * What is running, over all stacks of this process: asked to end if the process ends without stopping them. Not by force:
 * Gatehouse has drivers to end.
 */
const alive = new Set<Child>();
process.on("exit", () => {
  for (const child of alive) child.signal("SIGTERM");
});

export function stackPart(recipe: PartRecipe): StackPart {
  let current: Child | undefined;
  const running = (): Child => {
    if (current === undefined || current.exit() !== undefined) throw new Error(`${recipe.name} is not running`);
    return current;
  };
  const gone = async (child: Child): Promise<number | null> => {
    const { code } = await child.exited;
    alive.delete(child);
    return code;
  };
  const part: StackPart = {
    get pid() {
      return running().pid;
    },
    get running() {
      return current !== undefined && current.exit() === undefined;
    },
    async launch() {
      if (part.running) throw new Error(`${recipe.name} is running already`);
      current = await recipe.launch();
      alive.add(current);
    },
    ready: async () => await recipe.ready(running()),
    async start() {
      await part.launch();
      await part.ready();
    },
    async stop() {
      const child = running();
      await child.stop(recipe.graceMs);
      return await gone(child);
    },
    async restart() {
      await part.end();
      await part.start();
    },
    async end() {
      if (part.running) await part.stop();
    },
    async kill9() {
      const child = running();
      child.signal("SIGKILL");
      await gone(child);
    },
    signal: (signal) => running().signal(signal),
    exited: async () => (current === undefined ? null : await gone(current)),
    log: async () => await readFile(recipe.logFile, "utf8").catch(() => ""),
  };
  return part;
}
