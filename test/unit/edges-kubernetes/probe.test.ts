import { expect, it } from "vitest";
import type { FirstCall } from "../../../src/drivers/first-call.ts";
import { createProber, type Prober, type ProbeTarget } from "../../../src/edges/kubernetes/probe.ts";
import { createFakeClock } from "../../support/fake-clock.ts";

const target = (port: number, since = "1"): ProbeTarget => ({ host: "10.0.0.1", port, token: undefined, since });
const uidOf = (port: number) => `driver-${port}`;

/** Calls that wait until the test answers them, by port. */
function world() {
  const clock = createFakeClock();
  const waiting = new Map<number, (refusal: string | undefined) => void>();
  const called: number[] = [];
  const answered: string[] = [];
  const firstCall: FirstCall = {
    accepts: async () => true,
    async refusal({ port }, _, signal) {
      expect(waiting.has(port)).toBe(false);
      called.push(port);
      return await new Promise((resolve) => {
        const end = (refusal: string | undefined) => {
          waiting.delete(port);
          resolve(refusal);
        };
        waiting.set(port, end);
        signal?.addEventListener("abort", () => end("CANCELLED"), { once: true });
      });
    },
  };
  const prober: Prober = createProber({
    firstCall,
    clock,
    random: () => 1,
    onAnswer: (uid) => void answered.push(uid),
  });
  return { clock, waiting, called, answered, prober };
}

it("makes one call at a time to a driver, and the next after growing pauses", async () => {
  const { clock, waiting, called, prober } = world();
  prober.want("driver-1", target(1));
  prober.want("driver-1", target(1));
  await clock.advance(60_000);
  expect(called).toEqual([1]);
  for (const pause of [100, 200, 400, 800, 1_600, 2_000, 2_000]) {
    const before = called.length;
    waiting.get(1)?.("UNAVAILABLE");
    await clock.advance(pause - 1);
    expect(called).toHaveLength(before);
    await clock.advance(1);
    expect(called).toHaveLength(before + 1);
  }
  waiting.get(1)?.(undefined);
  await clock.advance(60_000);
  expect(prober.answers("driver-1")).toBe(true);
  expect([called.length, clock.pending]).toEqual([8, 0]);
});

it("ends a call that nobody wants any more", async () => {
  const { clock, called, answered, waiting, prober } = world();
  prober.want("driver-1", target(1));
  await clock.advance(0);
  prober.want("driver-1", target(1, "2"));
  await clock.advance(0);
  expect(called).toEqual([1, 1]);
  prober.close();
  await clock.advance(60_000);
  expect([waiting.size, clock.pending, answered.length]).toEqual([0, 0, 0]);
});

it("keeps room for new drivers beside those that hang", async () => {
  const { clock, called, waiting, prober } = world();
  const hang = () => {
    for (const end of waiting.values()) end("DEADLINE_EXCEEDED");
  };
  const ports = Array.from({ length: 200 }, (_, at) => at + 1);
  for (const port of ports) prober.want(uidOf(port), target(port));
  await clock.advance(0);
  expect(waiting.size).toBe(64);
  while (new Set(called).size < ports.length) {
    hang();
    await clock.advance(0);
  }
  hang();
  await clock.advance(2_000);
  expect(waiting.size).toBe(32);
  prober.want(uidOf(999), target(999));
  await clock.advance(0);
  expect(called.at(-1)).toBe(999);
  // All have their turn.
  const begun = called.length;
  while (new Set(called.slice(begun)).size < ports.length) {
    hang();
    await clock.advance(2_000);
  }
});
