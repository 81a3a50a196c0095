import { tokenKey } from "./labels.ts";
import type { OwnerReference, Secret } from "./objects.ts";

export interface TokenSecretInput {
  readonly name: string;
  readonly namespace: string;
  /** The main object: the Secret is collected with it. */
  readonly owner: OwnerReference;
  readonly token: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** The Secret that a driver's pod takes its token from. It never changes. */
export function buildTokenSecret({ name, namespace, owner, token, labels }: TokenSecretInput): Secret {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace, labels, ownerReferences: [owner] },
    type: "Opaque",
    immutable: true,
    stringData: { [tokenKey]: token },
  };
}
