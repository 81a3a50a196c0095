import { describe, expect, test } from "vitest";
import type { AuditRecord } from "../../../src/decisions/audit.ts";
import { createInspect, type InspectDeps } from "../../../src/flows/inspect.ts";
import { GatewayError } from "../../../src/kernel/errors.ts";
import { silentLog } from "../../../src/kernel/log.ts";
import type { SparkCall } from "../../../src/spark/spark-call.ts";
import { createFakeClock, settled } from "../../support/fake-clock.ts";
import {
  anOperation,
  aSession,
  concat,
  decodeRequest,
  field,
  frame,
  framesIn,
  userContext,
} from "../../support/spark-wire.ts";

const metadata = {
  decision_id: "d-1",
  request_id: "r-1",
  user_id: "alice@corp",
  user_name: "Alice",
  method: "ExecutePlan",
  session: "ns/app",
  driver_uid: "uid-1",
  cluster: "driver|ns/app|uid-1",
  inspect: true,
};

const message = concat(field(1, aSession), userContext("mallory"), field(6, anOperation));
const noStamp = field(1, aSession);

function world(overrides: Partial<InspectDeps> = {}) {
  const events: string[] = [];
  const records: AuditRecord[] = [];
  const noted: [string, SparkCall][] = [];
  const counted: string[] = [];
  const deps: InspectDeps = {
    clock: createFakeClock(),
    log: silentLog,
    metrics: {
      count: (name, labels) => counted.push(`${name} ${Object.values(labels).join(" ")}`),
      set: () => undefined,
      observe: () => undefined,
    },
    audit: {
      write: (record) => {
        events.push("audit");
        records.push(record);
        return Promise.resolve();
      },
    },
    onAuditFailure: "deny",
    auditTimeoutMs: 1000,
    maxMessageBytes: 1 << 20,
    connectSessionBelongsElsewhere: () => false,
    activity: {
      message: (uid, decisionId, call) => {
        events.push("message");
        noted.push([`${uid} ${decisionId}`, call]);
        return undefined;
      },
      refused: () => events.push("refused"),
    },
    ...overrides,
  };
  return { inspect: createInspect(deps), events, records, noted, counted };
}

const failing = { write: () => Promise.reject(new GatewayError("AUDIT_UNAVAILABLE", "disk full")) };

describe("a decision is needed", () => {
  const names = ["decision_id", "user_id", "user_name", "method", "session", "driver_uid", "inspect"] as const;
  test.each(names.flatMap((name) => [undefined, "", 7, {}, null].map((value) => [name, value] as const)))(
    "%s = %j",
    (name, value) => {
      const { inspect } = world();
      expect(() => inspect({ ...metadata, [name]: value })).toThrow(
        expect.objectContaining({ reason: "DECISION_MISSING" }),
      );
    },
  );

  test("no metadata, a method that is none, a name from the prototype", () => {
    const { inspect } = world();
    for (const wrong of [{}, { ...metadata, method: "execute_plan" }, { ...metadata, method: "toString" }]) {
      expect(() => inspect(wrong)).toThrow(expect.objectContaining({ reason: "DECISION_MISSING" }));
    }
  });
});

test("a message is noted, recorded and stamped, in this order", async () => {
  const { inspect, events, records, noted, counted } = world();
  const call = inspect(metadata);
  const out = concat(...(await call.push(frame(message))));
  await call.end();
  expect(events).toEqual(["message", "audit"]);
  expect(noted).toEqual([["uid-1 d-1", call.call]]);
  expect(decodeRequest(framesIn(out)[0]!).user_context).toMatchObject({ user_id: "alice@corp", user_name: "Alice" });
  expect(records).toEqual([
    {
      schema: "gatehouse.audit/1",
      kind: "operation",
      time: expect.stringMatching(/Z$/),
      decision_id: "d-1",
      method: "ExecutePlan",
      verdict: "allow",
      reason: "STAMPED",
      message: null,
      user_id: "alice@corp",
      claimed_user_id: "mallory",
      connect_session: aSession,
      operation_id: anOperation,
      session: "ns/app",
      driver_uid: "uid-1",
    },
  ]);
  expect(counted).toEqual(["gatehouse_messages_total ExecutePlan forwarded"]);
});

test("nothing of the tail goes on before the note is stored and the record is written", async () => {
  const order: string[] = [];
  let stored: (() => void) | undefined;
  let written: (() => void) | undefined;
  const { inspect } = world({
    activity: {
      message: () =>
        new Promise((resolve) => {
          stored = resolve;
        }),
      refused: () => undefined,
    },
    audit: {
      write: () =>
        new Promise((resolve) => {
          written = resolve;
        }),
    },
  });
  const pushed = Promise.resolve(inspect(metadata).push(frame(message))).then(() => order.push("forwarded"));
  await settled();
  expect(written).toBeUndefined();
  order.push("stored");
  stored?.();
  await settled();
  order.push("written");
  written?.();
  await pushed;
  expect(order).toEqual(["stored", "written", "forwarded"]);
});

describe("a record that cannot be written", () => {
  test("refuses the call and takes the note back", async () => {
    const { inspect, events } = world({ audit: failing });
    await expect(inspect(metadata).push(frame(message))).rejects.toMatchObject({
      reason: "AUDIT_UNAVAILABLE",
      retryAfterMs: 1000,
    });
    expect(events).toEqual(["message", "refused"]);
  });

  test("within the time", async () => {
    const clock = createFakeClock();
    const { inspect } = world({ clock, audit: { write: () => new Promise(() => undefined) } });
    const refused = expect(inspect(metadata).push(frame(message))).rejects.toMatchObject({
      reason: "AUDIT_UNAVAILABLE",
    });
    await clock.advance(1000);
    await refused;
  });

  test("lets it pass where the installation wants that", async () => {
    const { inspect } = world({ audit: failing, onAuditFailure: "allow" });
    expect(await inspect(metadata).push(frame(message))).not.toHaveLength(0);
  });

  test("does not hide why a call was refused", async () => {
    const { inspect } = world({ audit: failing });
    await expect(inspect(metadata).push(frame(message, 1))).rejects.toMatchObject({ reason: "MESSAGE_COMPRESSED" });
  });
});

describe("a Connect session that was on an earlier driver", () => {
  const elsewhere = { connectSessionBelongsElsewhere: (id: string, uid: string) => id === aSession && uid === "uid-1" };

  test("is refused as changed, and recorded", async () => {
    const { inspect, records, events } = world(elsewhere);
    await expect(inspect(metadata).push(frame(message))).rejects.toMatchObject({ reason: "SESSION_CHANGED" });
    expect(events).toEqual(["audit"]);
    expect(records[0]).toMatchObject({ verdict: "deny", reason: "SESSION_CHANGED", connect_session: aSession });
  });

  test("as soon as it is known, long before the message's end", async () => {
    const { inspect } = world(elsewhere);
    const start = frame(concat(field(1, aSession), field(4, new Uint8Array(5000)))).subarray(0, 60);
    await expect(inspect(metadata).push(start)).rejects.toMatchObject({ reason: "SESSION_CHANGED" });
  });
});

test("a refused message is recorded with its reason", async () => {
  const { inspect, records, counted } = world();
  await expect(inspect(metadata).push(frame(concat(noStamp, [0x1b])))).rejects.toMatchObject({
    reason: "MESSAGE_MALFORMED",
  });
  expect(records).toMatchObject([{ verdict: "deny", reason: "MESSAGE_MALFORMED", decision_id: "d-1" }]);
  expect(counted).toEqual(["gatehouse_messages_total ExecutePlan MESSAGE_MALFORMED"]);
});

test("whatever a dependency throws refuses the call without telling more", async () => {
  const { inspect } = world({
    activity: {
      message: () => {
        throw new Error("secret");
      },
      refused: () => undefined,
    },
  });
  const error: unknown = await Promise.resolve(inspect(metadata).push(frame(message))).catch(
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ reason: "INTERNAL", message: "internal error" });
});

describe("AddArtifacts", () => {
  const upload = { ...metadata, method: "AddArtifacts" };
  const part = frame(concat(field(1, aSession), field(5, "data")));

  test("is recorded and noted once, however many messages it has", async () => {
    const { inspect, records, noted, counted } = world();
    const call = inspect(upload);
    for (let round = 0; round < 50; round += 1) await call.push(concat(part, part, part));
    await call.end();
    expect(records).toHaveLength(1);
    expect(noted).toHaveLength(1);
    expect(counted).toHaveLength(150);
  });

  test("a later message may leave the session out but not change it", async () => {
    const { inspect, records } = world();
    const call = inspect(upload);
    await call.push(concat(part, frame(field(5, "more"))));
    await expect(call.push(frame(field(1, anOperation)))).rejects.toMatchObject({ reason: "MESSAGE_MALFORMED" });
    expect(records.map((record) => "verdict" in record && record.verdict)).toEqual(["allow", "deny"]);
  });
});

test("where the decision says so, bytes pass untouched and unrecorded", async () => {
  const { inspect, events } = world();
  const call = inspect({ ...metadata, inspect: false });
  const bytes = Uint8Array.of(1, 2, 3);
  expect(await call.push(bytes)).toEqual([bytes]);
  await call.end();
  expect(events).toEqual([]);
});
