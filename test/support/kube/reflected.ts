import type { KubeApi } from "../../../src/edges/kubernetes/api.ts";
import type { KubeObject } from "../../../src/edges/kubernetes/objects.ts";
import { createReflector, type ReflectorOptions } from "../../../src/edges/kubernetes/reflector.ts";
import type { ReflectorState } from "../../../src/edges/kubernetes/reflector-state.ts";
import { systemClock } from "../../../src/kernel/clock.ts";
import { type CountingMetrics, countingMetrics } from "../counting-metrics.ts";
import { type LogLine, recordingLog } from "../recording-log.ts";
import { until } from "../until.ts";

/** A collection as a reflector tells of it. */
export interface Reflected {
  /** Name to resourceVersion. */
  readonly known: ReadonlyMap<string, string>;
  readonly lists: number;
  readonly states: readonly ReflectorState["kind"][];
  readonly metrics: CountingMetrics;
  readonly lines: readonly LogLine[];
  state(): ReflectorState;
  when(kind: ReflectorState["kind"], deadlineMs?: number): Promise<void>;
  stop(): Promise<void>;
}

export function reflect(
  api: KubeApi,
  options: Pick<ReflectorOptions<KubeObject>, "path" | "resource"> & Partial<ReflectorOptions<KubeObject>>,
): Reflected {
  const known = new Map<string, string>();
  const states: ReflectorState["kind"][] = [];
  const metrics = countingMetrics();
  const lines: LogLine[] = [];
  let lists = 0;
  const put = ({ metadata }: KubeObject) => known.set(metadata.name, metadata.resourceVersion ?? "");
  const reflector = createReflector<KubeObject>({
    api,
    clock: systemClock,
    log: recordingLog(lines),
    metrics,
    random: Math.random,
    staleAfterMs: 120_000,
    sink: {
      replaced(items) {
        lists += 1;
        known.clear();
        for (const item of items) put(item);
      },
      upserted: put,
      deleted: ({ metadata }) => void known.delete(metadata.name),
    },
    ...options,
  });
  reflector.onState(({ kind }) => states.push(kind));
  const ending = new AbortController();
  const running = reflector.run(ending.signal);
  return {
    known,
    get lists() {
      return lists;
    },
    states,
    metrics,
    lines,
    state: () => reflector.state(),
    when: async (kind, deadlineMs = 20_000) =>
      await until(() => reflector.state().kind === kind, { what: `${options.resource} ${kind}`, deadlineMs }),
    async stop() {
      ending.abort();
      await running;
    },
  };
}
