import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/**
 * Whether that process itself listens on that port at that IPv4 address (or at all addresses). Another process may have
 * taken the place while ours was starting: it must get neither calls nor the token.
 * @returns undefined where the system does not tell (no /proc)
 */
export function listensAt(pid: number, host: string, port: number): boolean | undefined {
  if (process.platform !== "linux") return undefined;
  const own = socketsOf(pid);
  return listeners(host, port).some((inode) => own.has(inode));
}

const listening = "0A";

/** The inodes of the sockets that take connections to that address. Source: the kernel's documentation of proc_net_tcp. */
function listeners(host: string, port: number): readonly string[] {
  const wanted = new Set([...addressForms(host), ...addressForms("0.0.0.0"), "0".repeat(32)]);
  const hexPort = port.toString(16).toUpperCase().padStart(4, "0");
  return ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((file) =>
    lines(file).flatMap((line) => {
      const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
      const [address = "", at] = local.split(":");
      return state === listening && at === hexPort && wanted.has(address) ? [inode] : [];
    }),
  );
}

/** An IPv4 address as the kernel writes it: four bytes from the last, alone or mapped into IPv6. */
function addressForms(host: string): readonly string[] {
  const bytes = host.split(".").map((part) => Number(part).toString(16).toUpperCase().padStart(2, "0"));
  const hex = bytes.reverse().join("");
  return [hex, `0000000000000000FFFF0000${hex}`];
}

function lines(file: string): readonly string[] {
  try {
    return readFileSync(file, "utf8").split("\n").slice(1);
  } catch {
    return [];
  }
}

function socketsOf(pid: number): ReadonlySet<string> {
  const folder = `/proc/${pid}/fd`;
  const inodes = new Set<string>();
  for (const fd of entries(folder)) {
    try {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`${folder}/${fd}`))?.[1];
      if (inode !== undefined) inodes.add(inode);
    } catch {
      // Closed between the listing and the look.
    }
  }
  return inodes;
}

function entries(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
