import { setTimeout as delay } from "node:timers/promises";
import { isAlive, type ProcessIdentity as PlainIdentity, startTimeOf } from "../../src/edges/local/process-identity.ts";

export { isAlive, startTimeOf as processStart };

/** Names one process for good, and what people call it: "Envoy". */
export interface ProcessIdentity extends PlainIdentity {
  readonly name: string;
}

/**
 * Ends exactly that process, if it is still there: SIGTERM, then SIGKILL after `graceMs`. Resolves when it is gone.
 * @returns whether there was anything to end
 */
export async function endProcess(identity: ProcessIdentity, graceMs: number): Promise<boolean> {
  if (!isAlive(identity)) return false;
  const kill = (signal: NodeJS.Signals): void => {
    try {
      process.kill(identity.pid, signal);
    } catch {
      // It ended in between.
    }
  };
  kill("SIGTERM");
  const end = Date.now() + graceMs;
  let forced = false;
  while (isAlive(identity)) {
    if (!forced && Date.now() > end) {
      forced = true;
      kill("SIGKILL");
    }
    await delay(25);
  }
  return true;
}
