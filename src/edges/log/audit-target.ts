import { closeSync, constants, fstatSync, mkdirSync, openSync, readSync } from "node:fs";
import { dirname } from "node:path";

/** An open place that lines are appended to. */
export interface AuditTarget {
  readonly fd: number;
  /** Whether the last line there lacks its end; undefined where that cannot be seen (pipes, terminals). */
  readonly torn: boolean | undefined;
  /** Whether the file has been removed from its folder, so that what is written to it is gone. */
  removed(): boolean;
  close(): void;
}

const { O_APPEND, O_CREAT, O_NONBLOCK, O_WRONLY } = constants;
const newFile = 0o600;

/**
 * Opens the file for appending and makes it (and its folder) where missing, closed to other users. Never blocks: a full
 * pipe answers EAGAIN. "-" is standard output.
 * @throws NodeJS.ErrnoException
 */
export function openTarget(file: string): AuditTarget {
  if (file === "-") return openStandardOutput();
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const fd = openSync(file, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, newFile);
  return target(fd, file, true);
}

/** A description of our own for standard output, so that making it non-blocking changes it for nobody else. */
function openStandardOutput(): AuditTarget {
  const path = "/proc/self/fd/1";
  try {
    return target(openSync(path, O_WRONLY | O_APPEND | O_NONBLOCK), path, true);
  } catch {
    // No such folder on this system, or a socket, which cannot be opened by name.
    return target(1, undefined, false);
  }
}

function target(fd: number, path: string | undefined, ours: boolean): AuditTarget {
  const { size } = fstatSync(fd);
  const regular = fstatSync(fd).isFile();
  return {
    fd,
    torn: regular ? size > 0 && path !== undefined && !endsWithNewline(path, size) : undefined,
    removed: () => regular && fstatSync(fd).nlink === 0,
    close: () => {
      if (ours) closeSync(fd);
    },
  };
}

/** True also where the file may be written but not read: then nothing can be known. */
function endsWithNewline(path: string, size: number): boolean {
  let reader: number | undefined;
  try {
    reader = openSync(path, "r");
    const last = Buffer.alloc(1);
    return readSync(reader, last, 0, 1, size - 1) === 0 || last[0] === 0x0a;
  } catch {
    return true;
  } finally {
    if (reader !== undefined) closeSync(reader);
  }
}
