import { describe, expect, it } from "vitest";
import { ApiError } from "../../../src/edges/kubernetes/api.ts";
import { refusalFailure } from "../../../src/edges/kubernetes/causes-refusal.ts";

const said = (status: number, message: string, reason = "Forbidden") =>
  refusalFailure(new ApiError(status, reason, message))?.summary ?? "";

// The messages are kube-apiserver 1.36's own, but for the webhook that denies and the quotas.
describe("a refusal of the API server", () => {
  it.each([
    [
      "quota",
      403,
      'pods "a" is forbidden: exceeded quota: compute, requested: requests.cpu=2, used: requests.cpu=0, limited: requests.cpu=1',
      "the namespace's quota is used up (compute, requested: requests.cpu=2, used: requests.cpu=0, limited: requests.cpu=1); " +
        "stop a driver, ask for less, or have the quota raised",
    ],
    [
      "a quota that wants more said",
      403,
      'pods "a" is forbidden: failed quota: compute: must specify requests.cpu for: c',
      "the namespace's quota asks for more than the profile says: compute: must specify requests.cpu for: c",
    ],
    [
      "a webhook that denies",
      400,
      'admission webhook "policy.example.com" denied the request: images must\ncome from our registry',
      'the cluster\'s admission webhook "policy.example.com" refused the driver: images must come from our registry',
    ],
    [
      "a webhook that is broken",
      500,
      'Internal error occurred: failed calling webhook "hook.example.com": failed to call webhook: Post "https://127.0.0.1:1/?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused',
      'the cluster\'s admission webhook "hook.example.com" does not work, so no driver can be made: failed to call webhook: ' +
        'Post "https://127.0.0.1:1/?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused',
    ],
    [
      "an admission policy",
      422,
      "pods \"a\" is forbidden: ValidatingAdmissionPolicy 'nolatest' with binding 'nolatest' denied request: images must come from our registry",
      'the cluster\'s admission policy "nolatest" refused the driver: images must come from our registry',
    ],
    [
      "pod security",
      403,
      'pods "a" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)',
      'the namespace\'s pod security "restricted:latest" forbids the driver\'s pod: runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)',
    ],
    [
      "RBAC",
      403,
      'pods is forbidden: User "system:serviceaccount:r:gh" cannot create resource "pods" in API group "" in the namespace "r"',
      'Gatehouse may not create pods in namespace "r": add that to its Role (RBAC)',
    ],
    [
      "RBAC of a group",
      403,
      'x is forbidden: User "u" cannot list resource "sparkapplications" in API group "spark.apache.org" at the cluster scope',
      "Gatehouse may not list sparkapplications.spark.apache.org: add that to its Role (RBAC)",
    ],
    [
      "a namespace that is missing",
      404,
      'namespaces "none" not found',
      'the namespace "none" does not exist: create it, or use another one',
    ],
    [
      "a namespace that goes",
      403,
      'pods "a" is forbidden: unable to create new content in namespace r because it is being terminated',
      "the namespace is being deleted; use another one " +
        '(pods "a" is forbidden: unable to create new content in namespace r because it is being terminated)',
    ],
    [
      "a service account that is missing",
      403,
      'pods "a" is forbidden: error looking up service account default/spark: serviceaccount "spark" not found',
      'the service account "spark" does not exist in the driver\'s namespace: create it, or name another in the profile',
    ],
    [
      "a limit range",
      403,
      'pods "a" is forbidden: maximum cpu usage per Container is 1, but limit is 2',
      'the cluster forbids it: pods "a" is forbidden: maximum cpu usage per Container is 1, but limit is 2',
    ],
    [
      "an invalid object",
      422,
      'Pod "A_" is invalid: [spec.containers[0].image: Required value]',
      "the cluster does not accept what the profile makes of the driver: [spec.containers[0].image: Required value]",
    ],
    [
      "an unknown field",
      400,
      'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.bogus"',
      'the cluster does not understand what the profile makes of the driver: Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.bogus"',
    ],
  ])("says what to change: %s", (_, status, message, summary) => {
    expect(said(status, message)).toBe(summary);
  });

  it("says that a CRD is absent, however the API server puts it", () => {
    for (const message of [
      "404 page not found",
      "the API server answered with status 404",
      "the server could not find the requested resource",
    ]) {
      expect(said(404, message, "NotFound")).toContain("CRD is not installed");
    }
    expect(said(404, 'secrets "x" not found')).not.toContain("CRD");
  });

  it("says something for every status", () => {
    for (const status of [0, 401, 404, 409, 413, 418, 429, 500, 502, 503, 504]) {
      expect(said(status, "it went wrong", "Odd")).toMatch(/^[\x20-\x7e]{20,500}$/);
    }
  });

  it("is one line of ASCII, not too long, and repeats no secret", () => {
    const summary = said(403, `\u001b[31mno\u2026\n${"x".repeat(10_000)}`);
    expect(summary).toMatch(/^[\x20-\x7e]{100,500}$/);
    const leaking =
      'admission webhook "w" denied the request: https://ann:hunter2@r.example/x token=abcdefgh123 Bearer abcdefgh12345 eyJhbGciOi.eyJzdWIiOi.c2ln';
    expect(said(403, leaking)).not.toMatch(/hunter2|abcdefgh|eyJ/);
  });

  it("is not made of other errors", () => {
    expect(refusalFailure(new Error("x"))).toBeUndefined();
    expect(refusalFailure(undefined)).toBeUndefined();
  });
});
