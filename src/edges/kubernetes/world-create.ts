import { createDiagnoser } from "./diagnose.ts";
import { createDrift } from "./drift.ts";
import { createElection } from "./election.ts";
import { createObjectIndex } from "./index-objects.ts";
import { createWatches } from "./index-watches.ts";
import { lookAt } from "./look.ts";
import type { KubernetesRuntimeOptions } from "./options.ts";
import { createProber } from "./probe.ts";
import type { World } from "./world.ts";

/** For all probes of the first list together. ms */
const firstProbesMs = 5_000;

/**
 * @param identity as the Lease names this replica
 * @param onListed called once, when everything has been listed; until then nothing is judged
 */
export function createWorld(options: KubernetesRuntimeOptions, identity: string, onListed: () => void): World {
  const { api, clock, firstCall, log, metrics, random, lease } = options;
  const index = createObjectIndex();
  let listed = false;
  const look = (uids: Iterable<string>) => {
    if (listed && !world.over.signal.aborted) lookAt(world, uids);
  };
  const world: World = {
    options,
    index,
    watches: createWatches({
      ...options,
      index,
      onChange: look,
      onSynced() {
        listed = true;
        onListed();
      },
    }),
    election: createElection({ api, lease, identity, clock, log, metrics, random }),
    prober: createProber({ firstCall, clock, random, onAnswer: (uid) => look([uid]) }),
    diagnoser: createDiagnoser({ api, clock, log, onNews: (uid) => look([uid]) }),
    drift: createDrift(options.profiles),
    entries: new Map(),
    discovered: new Set(),
    sinks: new Set(),
    earlierEnds: [],
    listeners: new Set(),
    ordering: new Set(),
    stopping: new Map(),
    over: new AbortController(),
    synced: false,
    tidy: () => {},
  };
  return world;
}

/** Judges everything that was listed. Drivers that look ready are probed first: they shall not be told as starting. */
export async function firstLook(world: World): Promise<void> {
  lookAt(
    world,
    Array.from(world.index.mains(), ({ object }) => object.metadata.uid),
  );
  await new Promise<void>((resolve) => {
    const cancel = world.options.clock.after(firstProbesMs, resolve);
    void world.prober.triedAll().then(() => {
      cancel();
      resolve();
    });
  });
  world.synced = true;
}
