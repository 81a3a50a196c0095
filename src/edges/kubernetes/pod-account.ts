import { readFileSync } from "node:fs";
import type { RequestOptions } from "node:https";
import { isIPv6 } from "node:net";
import { join } from "node:path";

/** Where the kubelet puts what a pod's ServiceAccount needs, and the variables that say where the API server is. */
export interface PodAccount {
  readonly folder: string;
  readonly env: Readonly<Partial<Record<"KUBERNETES_SERVICE_HOST" | "KUBERNETES_SERVICE_PORT", string | undefined>>>;
}

export const podAccount: PodAccount = { folder: "/var/run/secrets/kubernetes.io/serviceaccount", env: process.env };

/**
 * How a pod reaches its API server: TLS with the cluster's own authority, and the account's token as it is now.
 * @throws Error where this is no pod, or its token is not mounted
 */
export function podConnection({ folder, env }: PodAccount): {
  readonly server: URL;
  readonly options: RequestOptions;
  readonly headers: Readonly<Record<string, string>>;
} {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  if (!host || !port)
    throw new Error("this is not a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set");
  const token = readFileSync(join(folder, "token"), "utf8").trim();
  if (token === "") throw new Error("the pod's token is empty");
  return {
    server: new URL(`https://${isIPv6(host) ? `[${host}]` : host}:${port}`),
    options: { ca: readFileSync(join(folder, "ca.crt")) },
    headers: { authorization: `Bearer ${token}` },
  };
}
