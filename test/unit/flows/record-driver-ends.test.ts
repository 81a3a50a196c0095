import { expect, it } from "vitest";
import type { AuditRecord } from "../../../src/decisions/audit.ts";
import { createRegistry } from "../../../src/drivers/registry.ts";
import { recordDriverEnds } from "../../../src/flows/record-driver-ends.ts";
import { silentLog } from "../../../src/kernel/log.ts";
import { noMetrics } from "../../../src/kernel/metrics.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { aDriver, aKey } from "../../support/fake-runtime.ts";

it("a leader that follows one that left in order tells only what that one cannot have told", async () => {
  const clock = createFakeClock();
  const registry = createRegistry({ clock, log: silentLog, metrics: noMetrics });
  const told: (string | null)[] = [];
  const audit = {
    async write(record: AuditRecord) {
      if (record.kind === "driver") told.push(record.driver_uid);
    },
  };
  let leads = false;
  let handedOver: { readonly from: number; readonly until: number } | undefined;
  const runtime = { shared: true, mayStop: () => leads, isLed: () => true, handedOver: () => handedOver };
  recordDriverEnds({ registry, runtime, audit, clock, log: silentLog });
  registry.sink.synced();
  const ends = (uid: string) => {
    const key = aKey(uid);
    registry.sink.upsert(aDriver({ uid, key }));
    registry.sink.remove({ uid, key, cause: "died", summary: "died", at: clock.now() });
  };
  ends("before-its-time");
  await clock.advance(1_000);
  const from = clock.now();
  ends("in-its-time");
  await clock.advance(4_000);
  ends("just-before");
  await clock.advance(500);
  handedOver = { from, until: clock.now() };
  ends("between");
  leads = true;
  await clock.advance(5_000);
  expect(told).toEqual(["before-its-time", "just-before", "between"]);
});
