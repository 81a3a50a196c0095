import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";

/** The environment variables by which a pod is told who and where it is. */
type PodEnvironment = Readonly<Partial<Record<"POD_NAME" | "POD_IP", string | undefined>>>;

const leastKeyBytes = 32;

/**
 * The seal keys: one a line in base64, the first signs, all verify. Empty lines do not count.
 * @throws Error naming the file and the line at fault; never what the line holds
 */
export function readSealKeys(file: string): readonly Uint8Array[] {
  const keys = textOf(file)
    .split(/\r?\n/)
    .map((line, i) => keyOf(line.trim(), `${file}, line ${i + 1}`))
    .filter((key) => key !== undefined);
  if (keys.length === 0) throw new Error(`runtime.kubernetes.seal_key_file: ${file} holds no key`);
  return keys;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "unknown error";
    throw new Error(`runtime.kubernetes.seal_key_file: ${file} cannot be read (${code})`, { cause });
  }
}

function keyOf(line: string, where: string): Uint8Array | undefined {
  if (line === "") return undefined;
  const key = Buffer.from(line, "base64");
  // Node leaves out what is no base64: the key must read back as it was written.
  const plain = (text: string): string => text.replace(/=+$/, "");
  if (plain(key.toString("base64")) !== plain(line)) {
    throw new Error(`runtime.kubernetes.seal_key_file: ${where}: not a key in base64`);
  }
  if (key.byteLength < leastKeyBytes) {
    throw new Error(`runtime.kubernetes.seal_key_file: ${where}: the key is shorter than ${leastKeyBytes} bytes`);
  }
  return key;
}

/** Names this process among all replicas, ever. */
export function replicaName(env: PodEnvironment): string {
  return `${env.POD_NAME || hostname()}_${randomUUID()}`;
}

/** How other replicas reach what listens at `listen` (`host:port`): as configured, else at the pod's address, else there. */
export function advertisedAddress(
  peer: { readonly listen: string; readonly advertise?: string | undefined },
  env: PodEnvironment,
): string {
  if (peer.advertise !== undefined) return peer.advertise;
  const { POD_IP: address } = env;
  if (!address) return peer.listen;
  const port = peer.listen.slice(peer.listen.lastIndexOf(":") + 1);
  return `${address.includes(":") ? `[${address}]` : address}:${port}`;
}

const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/** The namespace that this pod runs in; "default" outside of a cluster. */
export function ownNamespace(file = namespaceFile): string {
  try {
    return readFileSync(file, "utf8").trim() || "default";
  } catch {
    return "default";
  }
}
