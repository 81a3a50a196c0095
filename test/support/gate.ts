import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A Java that waits while the gate is closed and is the real one from then on, in the same process. Begins closed. */
export interface Gate {
  /** For `runtime.local.java`. */
  readonly java: string;
  open(): void;
  close(): void;
  remove(): void;
}

export function gateBefore(java: string): Gate {
  const folder = mkdtempSync(join(tmpdir(), "gh-gate-"));
  const open = join(folder, "open");
  const script = join(folder, "java");
  writeFileSync(script, `#!/bin/sh\nwhile [ ! -e '${open}' ]; do sleep 0.1; done\nexec '${java}' "$@"\n`);
  chmodSync(script, 0o700);
  return {
    java: script,
    open: () => writeFileSync(open, ""),
    close: () => {
      if (existsSync(open)) rmSync(open);
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
