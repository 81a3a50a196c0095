import type { KubeObject } from "../../../src/edges/kubernetes/objects.ts";

// What NetworkPolicies mean, by the API's reference, as far as selectors and ports go (no addresses): our API server has no
// network behind it that could enforce them.

export interface Endpoint {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Names of its ports. */
  readonly ports?: Readonly<Record<string, number>>;
}

interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
    readonly values?: readonly string[];
  }[];
}

interface Peer {
  readonly namespaceSelector?: Selector;
  readonly podSelector?: Selector;
}

interface Rule {
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
  readonly ports?: readonly { readonly port: number | string; readonly protocol?: string }[];
}

interface NetworkPolicy extends KubeObject {
  readonly spec: {
    readonly podSelector: Selector;
    readonly policyTypes: readonly ("Ingress" | "Egress")[];
    readonly ingress?: readonly Rule[];
    readonly egress?: readonly Rule[];
  };
}

/** Whether these policies let TCP connections from one pod to a port of another pass. */
export function mayConnect(objects: readonly KubeObject[], from: Endpoint, to: Endpoint, port: number): boolean {
  const policies = objects.filter(({ kind }) => kind === "NetworkPolicy") as NetworkPolicy[];
  return (
    passes(policies, "Ingress", to, from, { port, of: to }) && passes(policies, "Egress", from, to, { port, of: to })
  );
}

interface Target {
  readonly port: number;
  readonly of: Endpoint;
}

function passes(
  policies: readonly NetworkPolicy[],
  type: "Ingress" | "Egress",
  pod: Endpoint,
  peer: Endpoint,
  target: Target,
): boolean {
  const about = policies.filter(
    ({ metadata, spec }) =>
      metadata.namespace === pod.namespace && spec.policyTypes.includes(type) && matches(spec.podSelector, pod.labels),
  );
  if (about.length === 0) return true;
  return about.some(({ metadata, spec }) =>
    ((type === "Ingress" ? spec.ingress : spec.egress) ?? []).some((rule) => {
      const peers = type === "Ingress" ? rule.from : rule.to;
      const among = peers === undefined || peers.some((one) => isPeer(one, metadata.namespace ?? "", peer));
      return among && (rule.ports === undefined || rule.ports.some((one) => isPort(one, target)));
    }),
  );
}

function isPeer({ namespaceSelector, podSelector }: Peer, own: string, { namespace, labels }: Endpoint): boolean {
  const there =
    namespaceSelector === undefined
      ? namespace === own
      : matches(namespaceSelector, { "kubernetes.io/metadata.name": namespace });
  return there && (podSelector === undefined || matches(podSelector, labels));
}

function isPort({ port, protocol = "TCP" }: { port: number | string; protocol?: string }, target: Target): boolean {
  return protocol === "TCP" && (typeof port === "number" ? port : target.of.ports?.[port]) === target.port;
}

function matches({ matchLabels = {}, matchExpressions = [] }: Selector, labels: Endpoint["labels"]): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      if (operator === "Exists") return value !== undefined;
      if (operator === "DoesNotExist") return value === undefined;
      return (value !== undefined && values.includes(value)) === (operator === "In");
    })
  );
}
