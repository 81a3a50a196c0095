import { expect, it } from "vitest";
import type { CheckRequest } from "../../../src/decisions/decision.ts";
import { createCheckHandler } from "../../../src/edges/envoy/check.ts";
import { beginDeciding } from "../../../src/edges/envoy/process-fused.ts";
import { sparkMethods } from "../../../src/spark/methods.ts";
import { RequestStream } from "../../../src/spark/request-stream.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { inspectWith } from "../../support/inspection.ts";
import { recordingLog } from "../../support/recording-log.ts";

// What is made for each call must not have accessors of its own, as an object literal has them: V8 keeps such a pair of functions in
// old space from the start, so that it outlives the call until the next full collection, with all that the functions can reach. That
// took half of all calls per second once. A class has its accessors on the prototype.

const ownAccessors = (made: object): string[] =>
  Object.entries(Object.getOwnPropertyDescriptors(made)).flatMap(([name, descriptor]) =>
    "get" in descriptor ? [name] : [],
  );

const metadata = {
  decision_id: "d-1",
  request_id: "r-1",
  user_id: "alice@corp",
  user_name: "Alice",
  method: "Config",
  session: "ns/app",
  driver_uid: "uid-1",
  cluster: "driver|ns/app|uid-1",
  inspect: true,
};

it("questions of ext_authz have none", async () => {
  const seen: CheckRequest[] = [];
  const handler = createCheckHandler({
    clock: createFakeClock(),
    log: recordingLog([]),
    newId: () => "id",
    authorize: async (request) => {
      seen.push(request);
      throw new Error("enough");
    },
  });
  const call = { path: "/a", rawHeaders: [], signal: new AbortController().signal };
  await expect(handler.decide(call)).rejects.toThrow("enough");
  expect(seen.flatMap(ownAccessors)).toEqual([]);
  expect(seen).toMatchObject([{ path: "/a", signal: expect.any(AbortSignal) as unknown }]);
});

it("questions of ext_proc have none", async () => {
  const seen: CheckRequest[] = [];
  const { signal } = new AbortController();
  const begin = beginDeciding({
    clock: createFakeClock(),
    decideWithinMs: 1_000,
    authorize: async (request) => {
      seen.push(request);
      throw new Error("enough");
    },
    inspect: inspectWith({}),
  });
  await expect(begin({}, { signal })).rejects.toThrow("enough");
  expect(seen.flatMap(ownAccessors)).toEqual([]);
  expect(seen[0]?.signal).toBe(signal);
});

it("inspections have none", () => {
  const inspection = inspectWith({})(metadata);
  expect(ownAccessors(inspection)).toEqual([]);
  expect(inspection.call).toBeUndefined();
});

it("streams of requests have none", () => {
  const stream = new RequestStream({ method: sparkMethods[0]!, stamp: new Uint8Array(), maxMessageBytes: 10 });
  expect(ownAccessors(stream)).toEqual([]);
  expect(stream.connectSession).toBeUndefined();
});
