import type { SessionKey } from "../../sessions/session-key.ts";
import { parseSessionHeader } from "../../sessions/session-key-parse.ts";

/** Whether a client could name this session: by the rules for `x-spark-session-id`. */
export function isSessionName({ namespace, app }: Pick<SessionKey, "namespace" | "app">): boolean {
  try {
    const read = parseSessionHeader(`${namespace}/${app}`);
    return read.namespace === namespace && read.app === app;
  } catch {
    return false;
  }
}
