import { ApiError } from "./api.ts";
import { safeLine } from "./causes-text.ts";

/**
 * Why the API server did not take an object of ours, in one line that says what to change (printable ASCII, at most 500
 * characters); undefined where the error is not an answer of the API.
 */
export function refusalFailure(error: unknown): { readonly summary: string } | undefined {
  if (!(error instanceof ApiError)) return undefined;
  return { summary: safeLine(summaryOf(error)) };
}

function summaryOf({ status, reason, message }: ApiError): string {
  const said = safeLine(message, 360);
  const rule = rules.find(({ pattern }) => pattern.test(message));
  if (rule !== undefined) return rule.summary(rule.pattern.exec(message) ?? [], said);
  if (status === 0) return "the Kubernetes API did not answer; try again";
  return (byStatus[status] ?? ((text) => `the Kubernetes API answered ${status} (${reason}): ${text}`))(said);
}

interface Rule {
  readonly pattern: RegExp;
  summary(match: readonly (string | undefined)[], said: string): string;
}

/** By what Kubernetes writes in `message`: its `reason` is "Forbidden" for most of these. The first that fits holds. */
const rules: readonly Rule[] = [
  {
    pattern: /admission webhook "([^"]{1,253})" denied the request:? ?(.*)/s,
    summary: ([, name, why]) =>
      `the cluster's admission webhook "${name}" refused the driver: ${safeLine(why ?? "", 340)}`,
  },
  {
    pattern: /failed calling webhook "([^"]{1,253})":? ?(.*)/s,
    summary: ([, name, why]) =>
      `the cluster's admission webhook "${name}" does not work, so no driver can be made: ${safeLine(why ?? "", 300)}`,
  },
  {
    pattern: /ValidatingAdmissionPolicy '([^']{1,253})'.*? denied request: (.*)/s,
    summary: ([, name, why]) =>
      `the cluster's admission policy "${name}" refused the driver: ${safeLine(why ?? "", 340)}`,
  },
  {
    pattern: /exceeded quota: (.*)/s,
    summary: ([, why]) =>
      `the namespace's quota is used up (${safeLine(why ?? "", 340)}); stop a driver, ask for less, or have the quota raised`,
  },
  {
    pattern: /failed quota: (.*)/s,
    summary: ([, why]) => `the namespace's quota asks for more than the profile says: ${safeLine(why ?? "", 340)}`,
  },
  {
    pattern: /violates PodSecurity "([^"]{1,100})": (.*)/s,
    summary: ([, level, why]) =>
      `the namespace's pod security "${level}" forbids the driver's pod: ${safeLine(why ?? "", 320)}`,
  },
  {
    pattern: /because it is being terminated|namespace .{1,70} is terminating/,
    summary: (_, said) => `the namespace is being deleted; use another one (${said})`,
  },
  {
    pattern: /^namespaces "([^"]{1,63})" not found/,
    summary: ([, name]) => `the namespace "${name}" does not exist: create it, or use another one`,
  },
  {
    pattern: /serviceaccount "([^"]{1,253})" not found/i,
    summary: ([, name]) =>
      `the service account "${name}" does not exist in the driver's namespace: create it, or name another in the profile`,
  },
  {
    pattern:
      /cannot (\w+) resource "([^"]{1,100})" in API group "([^"]{0,100})"(?: in the namespace "([^"]{1,63})"| at the cluster scope)?/,
    summary: ([, verb, resource, group, namespace]) =>
      `Gatehouse may not ${verb} ${resource}${group === "" ? "" : `.${group}`}` +
      `${namespace === undefined ? "" : ` in namespace "${namespace}"`}: add that to its Role (RBAC)`,
  },
  {
    // kube-apiserver answers a path that it does not know with a plain text.
    pattern: /could not find the requested resource|404 page not found|no matches for kind|answered with status 404$/,
    summary: () =>
      "the operator's CRD is not installed in this cluster (or not in this version): install the operator, or use kind: pod",
  },
  {
    pattern: / is invalid: (.*)/s,
    summary: ([, why]) =>
      `the cluster does not accept what the profile makes of the driver: ${safeLine(why ?? "", 380)}`,
  },
];

const byStatus: Readonly<Record<number, (said: string) => string>> = {
  400: (said) => `the cluster does not understand what the profile makes of the driver: ${said}`,
  401: () => "the Kubernetes API does not accept Gatehouse's credentials: check its service account",
  403: (said) => `the cluster forbids it: ${said}`,
  404: (said) => `what the driver needs does not exist: ${said}`,
  409: (said) => `an object of the driver's name is there, or is changed by somebody else: ${said}`,
  413: () => "the driver's object is too large for the Kubernetes API: put less into the profile",
  422: (said) => `the cluster does not accept what the profile makes of the driver: ${said}`,
  429: () => "the Kubernetes API is overloaded; try again",
  500: (said) => `the Kubernetes API has an internal error: ${said}`,
  503: () => "the Kubernetes API is not available now; try again",
  504: () => "the Kubernetes API did not answer in time; try again",
};
