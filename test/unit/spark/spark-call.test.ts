import { describe, expect, test } from "vitest";
import { methodOfName, sparkMethods } from "../../../src/spark/methods.ts";
import { RequestStream } from "../../../src/spark/request-stream.ts";
import type { SparkCall } from "../../../src/spark/spark-call.ts";
import { anOperation, aSession, concat, field, frame, number, userContext } from "../../support/spark-wire.ts";

function callOf(method: string, ...parts: Uint8Array[]): SparkCall {
  const stream = new RequestStream({
    method: methodOfName(method)!,
    stamp: new Uint8Array(0),
    maxMessageBytes: 1 << 24,
  });
  const pieces = stream.push(frame(concat(field(1, aSession), ...parts)));
  const last = pieces.at(-1);
  if (last?.kind !== "message") throw new Error("no message");
  return last.call;
}

const nothing: Omit<SparkCall, "method"> = {
  connectSession: aSession,
  operationId: undefined,
  claimedUserId: undefined,
  reattachable: false,
  releasesOperation: false,
  streamingQuery: undefined,
  streamingQueryId: undefined,
  newConnectSession: undefined,
};

test.each(sparkMethods.map((method) => method.name))("%s: a bare request says nothing more", (name) => {
  expect(callOf(name)).toEqual({ method: name, ...nothing });
});

describe("operation_id", () => {
  test.each([
    ["ExecutePlan", 6],
    ["Interrupt", 6],
    ["ReattachExecute", 3],
    ["ReleaseExecute", 3],
  ] as const)("%s has it in field %i", (name, at) => {
    expect(callOf(name, field(at, anOperation.toUpperCase())).operationId).toBe(anOperation);
  });

  test("one that is no UUID is kept as it is; an empty one is none", () => {
    expect(callOf("Interrupt", field(6, "My-Operation")).operationId).toBe("My-Operation");
    expect(callOf("Interrupt", field(6, "")).operationId).toBeUndefined();
  });
});

test("the claimed user is the last one, as a driver would take it", () => {
  const call = callOf("Config", userContext("first"), field(2, field(2, "name only")), userContext("second"));
  expect(call.claimedUserId).toBe("second");
});

describe("ExecutePlan: reattachable", () => {
  const option = (value: number | bigint): Uint8Array => field(5, field(1, number(1, value)));
  test.each([
    ["true", [option(1)], true],
    ["false", [option(0)], false],
    ["true by upper bits only", [option(2n ** 40n)], true],
    ["no value", [field(5, field(1, []))], false],
    ["among other options", [field(5, field(2, number(1, 1))), option(1)], true],
    ["another option's field", [field(5, field(2, number(1, 1)))], false],
    ["of another wire type: an unknown field", [field(5, field(1, field(1, "x")))], false],
  ] as const)("%s", (_, parts, expected) => {
    expect(callOf("ExecutePlan", ...parts).reattachable).toBe(expected);
  });

  test("is nothing in other methods", () => {
    expect(callOf("AnalyzePlan", option(1)).reattachable).toBe(false);
  });
});

describe("ReleaseExecute: release_all or release_until, the last one wins", () => {
  const all = field(5, []);
  const until = field(6, field(1, "response"));
  test.each([
    ["release_all", [all], true],
    ["release_until", [until], false],
    ["release_until after release_all", [all, until], false],
    ["release_all after release_until", [until, all], true],
  ] as const)("%s", (_, parts, expected) => {
    expect(callOf("ReleaseExecute", ...parts).releasesOperation).toBe(expected);
  });
});

describe("ExecutePlan: streaming queries", () => {
  const command = (...parts: Uint8Array[]): Uint8Array => field(3, field(2, concat(...parts)));
  const start = field(6, concat(field(1, new Uint8Array(100_000)), field(2, "console")));
  const query = field(1, concat(field(1, "query-1"), field(2, "run-1")));
  const compressed = (type: number): Uint8Array => field(3, field(3, concat(field(1, "zstd"), number(2, type))));

  test.each([
    ["write_stream_operation_start", command(start), "start"],
    ["an empty start", command(field(6, [])), "start"],
    ["stop", command(field(7, concat(query, number(5, 1)))), "stop"],
    ["stop=false is a stop too: the driver looks at the oneof's case", command(field(7, number(5, 0))), "stop"],
    ["status", command(field(7, concat(query, number(2, 1)))), undefined],
    ["another command", command(field(5, field(1, "select 1"))), undefined],
    ["the manager's commands: none of them ends a query", command(field(9, number(4, 1))), undefined],
    ["a relation", field(3, field(1, field(6, []))), undefined],
    ["a compressed command counts as a start", compressed(2), "start"],
    ["a compressed relation does not", compressed(1), undefined],
  ] as const)("%s", (_, plan, expected) => {
    expect(callOf("ExecutePlan", plan).streamingQuery).toBe(expected);
  });

  test("the stopped query", () => {
    expect(callOf("ExecutePlan", command(field(7, concat(query, number(5, 1))))).streamingQueryId).toBe("query-1");
  });

  test("a start is seen wherever the plan's fields are", () => {
    const call = callOf("ExecutePlan", field(7, "a tag"), command(start), field(6, anOperation));
    expect(call).toMatchObject({ streamingQuery: "start", operationId: anOperation });
  });

  test("a plan in another method is not looked into", () => {
    expect(callOf("AnalyzePlan", command(start)).streamingQuery).toBeUndefined();
  });
});

test("CloneSession: the new session", () => {
  expect(callOf("CloneSession", field(4, anOperation)).newConnectSession).toBe(anOperation);
});
