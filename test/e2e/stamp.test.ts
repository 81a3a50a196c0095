import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import protobuf from "protobufjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AuditRecord } from "../../src/decisions/audit.ts";
import { type RawChannel, type RawOutcome, rawChannel } from "../support/raw-call.ts";
import { concat, field, fixed, frame, number, tag, userContext, varint } from "../support/spark-wire.ts";
import { type Stack, startStack } from "../support/stack.ts";

const name = "sjns-analytics-dev/stamp";
/** Spark's own session; all calls are about it. */
const sessionId = "5eed5eed-0001-4002-8003-000000000001";
const session = field(1, sessionId);

let stack: Stack;
let alice: RawChannel;

beforeAll(async () => {
  stack = await startStack();
  alice = rawChannel({
    url: `https://localhost:${stack.ports.envoy}`,
    caFile: stack.caFile,
    headers: { authorization: `Bearer ${await stack.token("alice")}`, "x-spark-session-id": name.replace("/", ".") },
  });
  // Starts the driver.
  expect(await readProbe("none")).toBeUndefined();
});

afterAll(async () => {
  alice?.close();
  await stack?.stop();
});

const { root } = protobuf.parse(
  `syntax = "proto3";
  message ConfigResponse { message Pair { string key = 1; optional string value = 2; } repeated Pair pairs = 2; }
  message StatusResponse { message Status { bool exists = 1; } map<string, Status> statuses = 1; }`,
  { keepCase: true },
);

function decoded(type: string, outcome: RawOutcome): unknown {
  expect(outcome, outcome.message).toMatchObject({ code: 0 });
  const found = root.lookupType(type);
  return found.toObject(found.decode(outcome.messages[0]!), { arrays: true, objects: true });
}

/** A ConfigRequest's operation. Spark keeps settings by (user id, session id): where it lands shows who the driver saw. */
const setProbe = (key: string, value: string): Uint8Array =>
  field(3, field(1, field(1, concat(field(1, `spark.probe.${key}`), field(2, value)))));

/** Nobody else claims this name: what a call under another one left behind would not be found, were it not for the stamp. */
const reader = userContext("reader");

/** What the verified user's own session holds. */
async function readProbe(key: string): Promise<string | undefined> {
  const getOption = field(3, field(4, field(1, `spark.probe.${key}`)));
  const outcome = await alice.call("Config", frame(concat(session, reader, getOption)));
  const { pairs } = decoded("ConfigResponse", outcome) as { pairs: { value?: string }[] };
  return pairs[0]?.value;
}

/** Requests that Envoy has opened to drivers. */
const toDrivers = async (): Promise<number> =>
  (await stack.envoyMetrics()).value("envoy_cluster_upstream_rq_total", { envoy_cluster_name: "driver" });

const recordsOf = async (decisionId: string | undefined): Promise<AuditRecord[]> =>
  (await stack.audit()).filter((record) => record.decision_id === decisionId);

let sequence = 0;
const next = (): string => `p${(sequence += 1)}`;

describe("whatever the client says about itself, the driver sees the verified user", () => {
  const extension = field(999, concat(field(1, "type.googleapis.com/google.protobuf.Empty")));
  const mallory = userContext("mallory", "Mallory");
  const cases: readonly (readonly [string, (set: Uint8Array) => readonly Uint8Array[]])[] = [
    ["nothing", (set) => [session, set]],
    ["one identity", (set) => [session, mallory, set]],
    ["identity first", (set) => [mallory, session, set]],
    ["identity last", (set) => [session, set, mallory]],
    ["identity twice", (set) => [session, mallory, set, userContext("root", "root")]],
    ["identity twice, the verified one first", (set) => [session, userContext("alice@local"), set, mallory]],
    ["a user_id twice", (set) => [session, field(2, concat(field(1, "mallory"), field(1, "root"))), set]],
    ["an empty identity", (set) => [session, field(2, []), set]],
    ["a user name alone", (set) => [session, field(2, field(2, "root")), set]],
    ["extensions", (set) => [session, userContext("mallory", "m", extension), set]],
    ["unknown fields all over", (set) => [fixed(900, 8), session, number(901, 2n ** 63n), mallory, set, fixed(902, 4)]],
  ];
  test.each(cases)("%s", async (_, parts) => {
    const key = next();
    const outcome = await alice.call("Config", frame(concat(...parts(setProbe(key, "yes")))));
    expect(outcome).toMatchObject({ code: 0 });
    expect(await readProbe(key)).toBe("yes");
    expect(await recordsOf(outcome.decisionId)).toMatchObject([
      { kind: "decision", verdict: "allow" },
      { kind: "operation", verdict: "allow", user_id: "alice@local", connect_session: sessionId },
    ]);
  });

  test("a frame in chunks of one byte", async () => {
    const key = next();
    const outcome = await alice.call("Config", frame(concat(session, mallory, setProbe(key, "yes"))), 1);
    expect(outcome).toMatchObject({ code: 0 });
    expect(await readProbe(key)).toBe("yes");
  });

  test("artifacts in several messages, each with another identity", async () => {
    const artifacts = [anArtifact(), anArtifact(), anArtifact()];
    const [first, second, third] = artifacts.map(({ batch }) => batch) as [Uint8Array, Uint8Array, Uint8Array];
    const body = concat(
      frame(concat(session, mallory, first)),
      frame(concat(session, userContext("root"), second)),
      frame(concat(third, userContext("bob@local"))),
    );
    expect(await alice.call("AddArtifacts", body, 50)).toMatchObject({ code: 0 });
    for (const artifact of artifacts) expect(await artifactIsThere(artifact.name)).toBe(true);
  });

  test("no other name is in the driver's log", async () => {
    const log = await stack.driverLog(name);
    expect(log).toContain(`userId: alice@local and sessionId: ${sessionId}`);
    expect(log).not.toMatch(/mallory|userId: (root|reader|bob|alice )/);
  });
});

describe("what might be read otherwise is refused, and the driver sees nothing", () => {
  const set = setProbe("refused", "yes");
  const whole = concat(session, userContext("mallory"), set);
  const runsPast = (by: number): Uint8Array => concat(session, set, tag(4, 2), varint(3 + by), [97, 98, 99]);
  const cases: readonly (readonly [string, Uint8Array, number])[] = [
    ...[1, 10, 20, 21, 22, 23, 24, 25, 26, 27, 28, 30, 40].map(
      (by) => [`a last field that runs ${by} bytes past the end`, frame(runsPast(by)), 3] as const,
    ),
    ["a group around what follows", frame(concat(whole, tag(900, 3))), 3],
    ["a closed group", frame(concat(whole, tag(900, 3), tag(900, 4))), 3],
    ["user_context as a group", frame(concat(whole, tag(2, 3), field(1, "mallory"), tag(2, 4))), 3],
    ["the end of a group", frame(concat(whole, tag(2, 4))), 3],
    ["field 0", frame(concat(whole, tag(0, 2), varint(0))), 3],
    ["wire type 6", frame(concat(whole, tag(2, 6))), 3],
    ["wire type 7", frame(concat(whole, tag(2, 7))), 3],
    ["a tag of 6 bytes", frame(concat(whole, varint(900 * 8 + 2, 6), varint(0))), 3],
    ["a tag of 33 bits", frame(concat(whole, varint(2n ** 32n + 18n), varint(0))), 3],
    ["a length of 6 bytes", frame(concat(whole, tag(900, 2), varint(0, 6))), 3],
    ["a length of 33 bits", frame(concat(whole, tag(900, 2), varint(2n ** 32n))), 3],
    ["user_context as a number", frame(concat(whole, number(2, 1))), 3],
    ["session_id twice", frame(concat(whole, session)), 3],
    ["no session_id", frame(concat(userContext("mallory"), set)), 3],
    ["a session_id that is no UUID", frame(concat(field(1, "../../etc"), set)), 3],
    ["a compressed message", frame(whole, 1), 12],
    ["an unknown flag", frame(whole, 2), 3],
    ["two messages in a unary call", concat(frame(whole), frame(whole)), 3],
    ["a message that is cut", frame(whole).subarray(0, -1), 3],
    ["half a prefix", Uint8Array.of(0, 0), 3],
    ["no message", new Uint8Array(0), 3],
    ["a length beyond the limit", Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff), 8],
  ];
  test.each(cases)("%s", async (_, body, code) => {
    const before = await toDrivers();
    const outcome = await alice.call("Config", body);
    expect(outcome.code).toBe(code);
    expect(outcome.message).not.toBe("");
    expect(await toDrivers()).toBe(before);
    const operation = (await recordsOf(outcome.decisionId)).find((record) => record.kind === "operation");
    expect(operation).toMatchObject({
      verdict: "deny",
      user_id: "alice@local",
      session: name,
    });
  });

  test("none of them has set anything", async () => {
    expect(await readProbe("refused")).toBeUndefined();
  });

  test("a long message that goes wrong at its end is cut off, so the driver never has it whole", async () => {
    const long = frame(concat(whole, field(4, new Uint8Array(1_000_000)), tag(900, 3)));
    const outcome = await alice.call("Config", long, 50_000);
    expect(outcome.code).toBe(3);
    expect(await readProbe("refused")).toBeUndefined();
  });

  test("an upload that goes wrong after its first message is taken back by the driver", async () => {
    const artifact = anArtifact();
    const call = alice.open("AddArtifacts");
    const before = await toDrivers();
    await call.write(frame(concat(session, artifact.batch)));
    await expect.poll(toDrivers, { timeout: 10_000 }).toBe(before + 1);
    await call.write(frame(session, 1));
    call.end();
    expect((await call.done).code).toBe(12);
    expect(await artifactIsThere(artifact.name)).toBe(false);
  });
});

test("a message of 100 MB passes stamped, and Gatehouse's memory does not grow with it", async () => {
  const key = next();
  const size = 100_000_000;
  const head = concat(userContext("mallory"), session, setProbe(key, "yes"), tag(4, 2), varint(size));
  const prefix = new Uint8Array(5);
  new DataView(prefix.buffer).setUint32(1, head.length + size);
  const before = peakMemory(stack.gatehouse.pid);
  const call = alice.open("Config");
  await call.write(concat(prefix, head));
  const chunk = new Uint8Array(100_000).fill(120);
  const begun = performance.now();
  for (let sent = 0; sent < size; sent += chunk.length) await call.write(chunk);
  call.end();
  const outcome = await call.done;
  const seconds = (performance.now() - begun) / 1000;
  expect(outcome, outcome.message).toMatchObject({ code: 0 });
  expect(await readProbe(key)).toBe("yes");
  const grown = peakMemory(stack.gatehouse.pid) - before;
  expect(grown, `MiB, after ${seconds.toFixed(1)} s`).toBeLessThan(100);
});

/** A new artifact: AddArtifactsRequest's `batch` with it, and its name in the driver's cache. */
function anArtifact(): { readonly name: string; readonly batch: Uint8Array } {
  const data = new TextEncoder().encode(`artifact ${next()}`);
  const name = `cache/${createHash("sha256").update(data).digest("hex")}`;
  const chunk = field(2, concat(field(1, data), number(2, crc32(data))));
  return { name, batch: field(3, field(1, concat(field(1, name), chunk))) };
}

async function artifactIsThere(artifact: string): Promise<boolean> {
  const outcome = await alice.call("ArtifactStatus", frame(concat(session, reader, field(4, artifact))));
  const { statuses } = decoded("StatusResponse", outcome) as { statuses: Record<string, { exists?: boolean }> };
  return statuses[artifact]?.exists === true;
}

/** The most that the process has held at once, in MiB. */
function peakMemory(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
