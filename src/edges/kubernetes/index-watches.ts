import type { ObjectIndex, Source } from "./index-objects.ts";
import { collectionPath, kinds, secrets } from "./kinds.ts";
import { label } from "./labels.ts";
import type { Stored } from "./objects.ts";
import type { KubernetesRuntimeOptions } from "./options.ts";
import { createReflector, type Reflector, type ReflectorSink } from "./reflector.ts";
import type { ReflectorState } from "./reflector-state.ts";

export interface WatchesOptions extends KubernetesRuntimeOptions {
  readonly index: ObjectIndex;
  /** The index has changed; these incarnations are concerned. */
  onChange(uids: Iterable<string>): void;
  /** Once: every collection was read, or cannot be. */
  onSynced(): void;
}

/** Keeps the index in step with the API server: a list and watch for each kind in each namespace. */
export interface Watches {
  /** Resolves when the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
  /** Whether drivers and pods are known as they are now; of a namespace that may not be read nothing is known. */
  isCurrent(): boolean;
  /** Whether such main objects of that namespace, and pods, may be read. */
  isReadable(namespace: string, source: Source): boolean;
  /** What an operator should know, a line each. */
  faults(): readonly string[];
}

interface Collection {
  readonly source: Source;
  readonly namespace: string | undefined;
  readonly reflector: Reflector;
}

const specs = { ...kinds, discovered: kinds.pod, secret: secrets } as const;

export function createWatches(options: WatchesOptions): Watches {
  const namespaces = options.namespaces.length === 0 ? [undefined] : [...new Set(options.namespaces)];
  const sources = Object.keys(specs) as Source[];
  const collections = namespaces.flatMap((namespace) =>
    sources.map((source) => collectionOf(options, source, namespace)),
  );
  let synced = false;
  const look = () => {
    if (synced || !collections.every(({ reflector }) => isKnown(reflector.state()))) return;
    synced = true;
    options.onSynced();
  };
  for (const { reflector } of collections) {
    reflector.onState(look);
    reflector.onState(({ kind }) => {
      // One that is served again: the others need not wait for as long as they failed.
      if (kind === "live") for (const other of collections) other.reflector.hurry();
    });
  }
  return {
    run: async (signal) => void (await Promise.all(collections.map(({ reflector }) => reflector.run(signal)))),
    isCurrent: () =>
      collections.every(({ source, reflector }) => source === "secret" || isCurrent(options, reflector.state())),
    isReadable: (namespace, source) =>
      collections.every(
        (each) =>
          (each.namespace !== undefined && each.namespace !== namespace) ||
          (each.source !== source && each.source !== "pod") ||
          each.reflector.state().kind !== "forbidden",
      ),
    faults: () => collections.flatMap((collection) => faultOf(options, collection) ?? []),
  };
}

function collectionOf(options: WatchesOptions, source: Source, namespace: string | undefined): Collection {
  const { api, clock, log, metrics, random, staleAfterMs } = options;
  const spec = specs[source];
  const reflector = createReflector<Stored>({
    api,
    path: collectionPath(spec, namespace),
    resource: spec.plural,
    labelSelector: selectorOf(options.installation, source),
    sink: sinkOf(options, source),
    clock,
    log,
    metrics,
    random,
    staleAfterMs,
  });
  return { source, namespace, reflector };
}

/** Executors carry the installation's label too, but no driver's; Secrets of discovered drivers likewise. */
function selectorOf(installation: string, source: Source): string {
  if (source === "discovered") return `${label.discover}=true,!${label.driver}`;
  const ours = `${label.installation}=${installation}`;
  return source === "secret" ? ours : `${ours},${label.driver}`;
}

/** Turns what a reflector tells into changes of the index: of a whole list only what differs. */
function sinkOf(options: WatchesOptions, source: Source): ReflectorSink<Stored> {
  const { index } = options;
  const onChange = (uids: Iterable<string>) => options.onChange(uids);
  const known = new Map<string, Stored>();
  const put = (item: Stored) => {
    const { uid, resourceVersion } = item.metadata;
    if (known.get(uid)?.metadata.resourceVersion === resourceVersion) return [];
    known.set(uid, item);
    return index.put(source, item);
  };
  const drop = (item: Stored) => {
    known.delete(item.metadata.uid);
    return index.drop(source, item);
  };
  return {
    replaced(items) {
      const present = new Set(items.map(({ metadata }) => metadata.uid));
      const gone = [...known.values()].filter(({ metadata }) => !present.has(metadata.uid));
      // What is new first: an end is told when everything else is known.
      onChange(new Set([...items.flatMap(put), ...gone.flatMap(drop)]));
    },
    upserted: (item) => onChange(put(item)),
    deleted: (item) => onChange(drop(item)),
  };
}

const isKnown = ({ kind, lastHeard }: ReflectorState): boolean =>
  lastHeard > 0 || kind === "absent" || kind === "forbidden";

function isCurrent({ clock, staleAfterMs }: WatchesOptions, { kind, lastHeard }: ReflectorState): boolean {
  if (kind === "absent" || kind === "forbidden") return true;
  return kind !== "away" && clock.now() - lastHeard <= staleAfterMs;
}

const isWanted = ({ profiles }: WatchesOptions, source: Source): boolean =>
  ["pod", "secret", "discovered"].includes(source) || Object.values(profiles).some(({ kind }) => kind === source);

function faultOf(options: WatchesOptions, { source, namespace, reflector }: Collection): string | undefined {
  const state = reflector.state();
  const what = `${specs[source].plural}${specs[source] === kinds["apache-spark-application"] ? ".spark.apache.org" : ""}`;
  const where = namespace === undefined ? "all namespaces" : `namespace ${namespace}`;
  const why = state.message === undefined ? "" : `: ${state.message}`;
  if (state.kind === "forbidden") {
    // What no profile makes need not be granted.
    return isWanted(options, source) ? `${what} of ${where} may not be read${why}` : undefined;
  }
  if (state.kind === "away") return `${what} of ${where} cannot be read${why}`;
  if (isCurrent(options, state) || state.kind === "absent") return undefined;
  const since = state.lastHeard === 0 ? "yet" : `for ${Math.round((options.clock.now() - state.lastHeard) / 1000)} s`;
  return `nothing was heard of ${what} of ${where} ${since}`;
}
