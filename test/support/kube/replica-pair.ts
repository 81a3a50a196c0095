import type { Stack } from "../stack.ts";
import { until } from "../until.ts";

/** A Lease that changes hands within seconds. */
export const quickLease = {
  runtime: { kubernetes: { lease: { duration_seconds: 4, renew_deadline_seconds: 2.5, retry_seconds: 0.3 } } },
};

/** Whether that Gatehouse says that it leads; false where it does not answer. */
export const leads = async (stack: Stack): Promise<boolean> =>
  stack.gatehouse.running && (await stack.metrics().catch(() => undefined))?.value("gatehouse_leader") === 1;

/** Waits until exactly one of them leads. @returns that one, then the other */
export async function leaderAndFollower([a, b]: readonly [Stack, Stack]): Promise<readonly [Stack, Stack]> {
  let found: readonly [Stack, Stack] | undefined;
  await until(
    async () => {
      const [first, second] = [await leads(a), await leads(b)];
      found = first === second ? undefined : first ? [a, b] : [b, a];
      return found !== undefined;
    },
    { deadlineMs: 60_000, what: "one of the replicas leads" },
  );
  return found!;
}

/** Waits until it leads. @returns seconds since `from` (`performance.now()`) */
export async function takesOver(stack: Stack, from: number): Promise<number> {
  await until(async () => await leads(stack), { deadlineMs: 60_000, what: "the other replica leads" });
  return Math.round((performance.now() - from) / 10) / 100;
}
