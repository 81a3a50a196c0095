import { message, program } from "../children.ts";
import type { ReaperFigures } from "../reaper-process.ts";
import type { Figure, Sample, Scenario, Target, Variant } from "../scenario.ts";

const names = { local: "local runtime", shared: "several replicas, on Kubernetes" } as const;

const pass = "a pass over 10,000 sessions";
const stretch = "longest stretch without a pause";
const writes = "writes of records per minute, 10,000 sessions in constant use";
const most = "most writes in one second";

const figures: readonly Figure[] = [
  { name: pass, unit: "ms", digits: 1, better: "less", plot: true },
  { name: stretch, unit: "ms", digits: 1, better: "less" },
  { name: "processor time to note a call", unit: "ns", digits: 0, better: "less" },
  { name: "processor time to note an access log entry", unit: "ns", digits: 0, better: "less" },
  { name: "processor time to note an ExecutePlan", unit: "ns", digits: 0, better: "less" },
  { name: writes, unit: "writes/min", digits: 0, better: "less", plot: true },
  { name: most, unit: "writes/s", digits: 0, better: "less" },
];

const targets: readonly Target[] = Object.values(names).flatMap((variant) => [
  { text: `a pass, ${variant}`, figure: pass, variant, atMost: 50 },
  { text: `the longest stretch without a pause, ${variant}`, figure: stretch, variant, atMost: 5 },
  // 50 a second, `activity.max_writes_per_second`.
  { text: `writes of records per minute, ${variant}`, figure: writes, variant, atMost: 3_000 },
]);

const about = `10,000 sessions in a process of their own: registry, activity, usage, writer, reaper and metrics are the product's;
the runtime only counts what it is asked to write. Every session has three detached operations and two Connect sessions on its
record and three streams that are alive. Of nine passes the medians: how long one took, and for how long
the event loop stood still at most meanwhile. Noting a sign of use is measured over all drivers in turn, so that no cache of the processor holds
them. Writes are counted over an hour on a clock that is moved by hand, every session making an execution a minute
with one stream always open and all of them falling due at the same moment, at the default idle timeout of 30 minutes and the default limit of 50 writes a second; each replica
that sees the use writes as much.`;

/** Must-reach 5: what it costs to know who is idle. */
export const reaper: Scenario = {
  id: "reaper",
  title: "10,000 sessions with activity",
  about,
  figures,
  targets,
  async prepare() {
    return {
      variants: [variant(names.local, "local"), variant(names.shared, "shared")],
      close: async () => undefined,
    };
  },
};

function variant(name: string, kind: "local" | "shared"): Variant {
  return {
    name,
    async measure(): Promise<Sample> {
      const child = program("reaper-process.ts", [kind]);
      try {
        child.send("measure");
        const found = await message<ReaperFigures>(child);
        return {
          [pass]: found.passMs,
          [stretch]: found.stretchMs,
          "processor time to note a call": found.calledNanos,
          "processor time to note an access log entry": found.streamNanos,
          "processor time to note an ExecutePlan": found.messageNanos,
          [writes]: found.writesPerMinute,
          [most]: found.mostWritesInASecond,
        };
      } finally {
        child.kill();
      }
    },
  };
}
