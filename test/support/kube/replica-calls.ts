import { readFileSync } from "node:fs";
import type { DriverRecord } from "../../../src/decisions/audit.ts";
import { nameOf } from "../../../src/edges/kubernetes/facts.ts";
import { driverRecords } from "../kill-watch.ts";
import { readSetting } from "../lifetime-clients.ts";
import { type RawOutcome, rawChannel } from "../raw-call.ts";
import type { Stack, StackDriver } from "../stack.ts";
import type { KubeWorld } from "./world.ts";

/** Calls of alice's through that replica's Envoy, all at once. Nothing is tried again. */
export async function calls(stack: Stack, session: string, count: number): Promise<readonly RawOutcome[]> {
  const headers = {
    authorization: `Bearer ${await stack.token("alice")}`,
    "x-spark-session-id": session.replace("/", "."),
  };
  const url = `https://localhost:${stack.ports.envoy}`;
  const channel = rawChannel({ url, caFile: stack.caFile, headers });
  const outcomes = await Promise.all(Array.from({ length: count }, () => channel.call("Config", readSetting())));
  channel.close();
  return outcomes;
}

/** How often each code came back, with its message where it is a refusal. */
export function tally(outcomes: readonly RawOutcome[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { code, message } of outcomes) {
    const told = code === 0 ? "OK" : `${code}: ${message}`;
    counts[told] = (counts[told] ?? 0) + 1;
  }
  return counts;
}

/** Name of the driver of `namespace/app`. */
export function driverOf(session: string): string {
  const [namespace = "", app = ""] = session.split("/");
  return nameOf({ cluster: "local", namespace, app });
}

/** The only running pod of a session's plain pod, as far as the stack's tests want to know. @throws Error where none runs */
export function runningDriver({ agent }: KubeWorld, session: string): StackDriver {
  const [found, ...more] = agent.running().filter(({ name }) => name === driverOf(session));
  if (found === undefined || more.length > 0) throw new Error(`${more.length + 1} pods run for ${session}`);
  return { session, uid: found.uid, pid: found.pid, address: found.ip, logFile: "" };
}

/** What all replicas together have audited about drivers, oldest first. */
export async function allRecords(stacks: readonly Stack[]): Promise<readonly DriverRecord[]> {
  const records = await Promise.all(stacks.map(driverRecords));
  return records.flat().toSorted((a, b) => Date.parse(a.time) - Date.parse(b.time));
}

/** What a test has measured, for whoever reads its output. */
export const print = (line: string): void => void process.stdout.write(`${line}\n`);

/** What a file holds; "" where there is none. */
export function textIn(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
