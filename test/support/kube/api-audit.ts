import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { annotation } from "../../../src/edges/kubernetes/labels.ts";

/** A write as the API server's audit log has it. */
export interface ApiWrite {
  readonly user: string;
  readonly verb: string;
  readonly resource: string;
  readonly name: string;
  /** When the request came and when it was answered; ms since the epoch. */
  readonly at: number;
  readonly until: number;
  /** HTTP status. */
  readonly status: number;
  /** What was sent, of updates and patches. */
  readonly body: Readonly<Record<string, unknown>> | undefined;
}

/** The audit log of an API server: all writes of some ServiceAccounts. */
export interface ApiAudit {
  /** For `startKubeCluster`. */
  readonly apiServerArgs: readonly string[];
  /** Dry runs left out, oldest first. */
  writes(): Promise<readonly ApiWrite[]>;
  remove(): Promise<void>;
}

interface AuditLine {
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly objectRef?: { readonly resource?: string; readonly name?: string };
  readonly responseStatus?: { readonly code?: number };
  readonly requestObject?: Readonly<Record<string, unknown>>;
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
}

/** @param namespace that of the ServiceAccounts */
export async function apiAudit(namespace: string): Promise<ApiAudit> {
  const folder = await mkdtemp(join(tmpdir(), "gatehouse-api-audit-"));
  const [policyFile, logFile] = [join(folder, "policy.json"), join(folder, "audit.log")];
  const userGroups = [`system:serviceaccounts:${namespace}`];
  const policy = {
    apiVersion: "audit.k8s.io/v1",
    kind: "Policy",
    omitStages: ["RequestReceived"],
    rules: [
      { level: "Request", userGroups, verbs: ["update", "patch"] },
      { level: "Request", userGroups, verbs: ["create"], resources: [{ group: "coordination.k8s.io" }] },
      { level: "Metadata", userGroups, verbs: ["create", "delete", "deletecollection"] },
      { level: "None" },
    ],
  };
  await writeFile(policyFile, JSON.stringify(policy));
  return {
    apiServerArgs: [`--audit-policy-file=${policyFile}`, `--audit-log-path=${logFile}`],
    async writes() {
      const text = existsSync(logFile) ? await readFile(logFile, "utf8") : "";
      const whole = text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
      const lines = whole.flatMap((line) => (line === "" ? [] : [JSON.parse(line) as AuditLine]));
      const real = lines.filter(({ requestURI }) => !requestURI.includes("dryRun="));
      return real.map(writeOf).toSorted((a, b) => a.at - b.at);
    },
    remove: async () => await rm(folder, { recursive: true, force: true }),
  };
}

function writeOf(line: AuditLine): ApiWrite {
  return {
    user: line.user.username,
    verb: line.verb,
    resource: line.objectRef?.resource ?? "",
    name: line.objectRef?.name ?? "",
    at: Date.parse(line.requestReceivedTimestamp),
    until: Date.parse(line.stageTimestamp),
    status: line.responseStatus?.code ?? 0,
    body: line.requestObject,
  };
}

/** From when to when a ServiceAccount held the Lease. Ms since the epoch, by the API server's clock. */
export interface Reign {
  readonly user: string;
  readonly from: number;
  until: number;
}

/** Who held the Lease when, as the writes of the Lease say. */
export function reigns(writes: readonly ApiWrite[]): readonly Reign[] {
  const all: Reign[] = [];
  for (const { user, resource, status, until, body } of writes.toSorted((a, b) => a.until - b.until)) {
    if (resource !== "leases" || status >= 300) continue;
    const spec = body?.["spec"] as { readonly holderIdentity?: string } | undefined;
    const last = all.at(-1);
    const isHeld = spec?.holderIdentity !== undefined && spec.holderIdentity !== "";
    if (isHeld && last?.user === user && last.until === Infinity) continue;
    if (last !== undefined) last.until = Math.min(last.until, until);
    if (isHeld) all.push({ user, from: until, until: Infinity });
  }
  return all;
}

const leadersAnnotations = [annotation.seal, annotation.pod, annotation.draining];

/** What only the leader may do: all creations and deletions, seals, notes of pods and drains. */
export function isLeadersWrite({ resource, verb, body }: ApiWrite): boolean {
  if (resource === "leases") return false;
  if (verb !== "patch" && verb !== "update") return true;
  const { annotations = {} } = (body?.["metadata"] ?? {}) as {
    readonly annotations?: Readonly<Record<string, unknown>>;
  };
  return leadersAnnotations.some((name) => name in annotations);
}

/** The leader's writes of those that did not hold the Lease when the request came. */
export function strayWrites(writes: readonly ApiWrite[]): readonly ApiWrite[] {
  const all = reigns(writes);
  const isLed = ({ user, at }: ApiWrite) =>
    all.some((reign) => reign.user === user && reign.from <= at && at <= reign.until);
  return writes.filter((write) => isLeadersWrite(write) && !isLed(write));
}
