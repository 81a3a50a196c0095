import type { DriverRuntime, DriverSink } from "../../drivers/runtime.ts";
import { GatewayError } from "../../kernel/errors.ts";
import type { KubernetesRuntimeOptions } from "./options.ts";
import { createPeers, type Peers } from "./peers.ts";
import { record } from "./record.ts";
import { createRemains, type Remains } from "./remains.ts";
import { shuttingDown, start, startForPeer } from "./start.ts";
import { stop } from "./stop.ts";
import { changed, untilHolds, type World } from "./world.ts";
import { createWorld, firstLook } from "./world-create.ts";

/**
 * Drivers as objects of Kubernetes: plain pods, or resources of the operators that make pods of them. All replicas watch
 * and record; the one that leads starts, stops and cleans up. Nothing is read or written before the first use. The API is
 * the caller's to close, after the runtime.
 */
export function createKubernetesRuntime(options: KubernetesRuntimeOptions): DriverRuntime {
  let opening: Promise<Open> | undefined;
  let opened: Open | undefined;
  let closed = false;
  const use = async (): Promise<Open> => {
    if (closed) throw shuttingDown();
    opening ??= open(options).then((now) => {
      opened = now;
      return now;
    });
    try {
      return await opening;
    } catch (error) {
      opening = undefined;
      throw error;
    }
  };
  const ready = async (): Promise<Open> => {
    const now = await use();
    await untilSynced(now.world);
    return now;
  };
  return {
    shared: true,
    mayStop() {
      const world = opened?.world;
      return world !== undefined && world.synced && world.election.leads() && world.watches.isCurrent();
    },
    isLed: () => opened !== undefined && isLed(opened.world),
    handedOver: () => opened?.world.election.handedOver(),
    faults: () => (opened === undefined ? [] : faultsOf(opened.world)),
    async watch(sink, signal) {
      const { world } = await use();
      await watch(world, sink, AbortSignal.any([signal, world.over.signal]));
    },
    async start(request) {
      const { world, peers } = await ready();
      await start(world, peers, request);
    },
    async stop(ref, why) {
      await stop((await ready()).world, ref, why);
    },
    async record(ref, state) {
      await record((await ready()).world, ref, state);
    },
    async close() {
      if (closed) return;
      closed = true;
      const now = await opening?.catch(() => undefined);
      if (now !== undefined) await close(now);
    },
  };
}

interface Open {
  readonly world: World;
  readonly peers: Peers;
  readonly remains: Remains;
  /** Resolves when watches and election have ended. */
  readonly running: Promise<unknown>;
}

async function open(options: KubernetesRuntimeOptions): Promise<Open> {
  let world: World | undefined;
  const peers = await createPeers({
    listen: options.peer.listen,
    sealKeys: options.sealKeys,
    clock: options.clock,
    log: options.log,
    async start(request) {
      if (world === undefined) throw shuttingDown();
      await untilSynced(world);
      await startForPeer(world, request);
    },
  });
  const created = createWorld(options, `${options.replica}|${advertised(options, peers)}`, () => {
    void firstLook(created).then(() => changed(created));
  });
  world = created;
  const remains = createRemains(created);
  created.tidy = (uid) => remains.tidy(uid);
  const { signal } = created.over;
  const running = Promise.all([created.watches.run(signal), created.election.run(signal)]);
  remains.start();
  return { world, peers, remains, running };
}

/** Port 0 in the configuration: whichever port it has. */
function advertised({ peer }: KubernetesRuntimeOptions, { address }: Peers): string {
  return peer.advertise.endsWith(":0")
    ? peer.advertise.replace(/0$/, address.slice(address.lastIndexOf(":") + 1))
    : peer.advertise;
}

async function close({ world, peers, remains, running }: Open): Promise<void> {
  world.over.abort(shuttingDown());
  remains.close();
  world.prober.close();
  world.diagnoser.close();
  for (const entry of world.entries.values()) entry.cancelTimer();
  await Promise.allSettled([running, peers.close(), ...world.stopping.values()]);
}

async function watch(world: World, sink: DriverSink, signal: AbortSignal): Promise<void> {
  const forever = 2 ** 31 - 1;
  try {
    while (!(await untilHolds(world, () => world.synced, { limitMs: forever, signal })));
  } catch {
    return;
  }
  for (const end of world.earlierEnds.splice(0)) sink.remove(end);
  for (const { driver, endTold } of world.entries.values()) {
    if (driver !== undefined && !endTold) sink.upsert(driver);
  }
  world.sinks.add(sink);
  sink.synced();
  await new Promise<void>((done) => {
    signal.addEventListener("abort", () => done(), { once: true });
    if (signal.aborted) done();
  });
  world.sinks.delete(sink);
}

async function untilSynced(world: World): Promise<void> {
  const { lease } = world.options;
  const limits = { limitMs: lease.durationMs + 5_000, signal: world.over.signal };
  if (await untilHolds(world, () => world.synced, limits)) return;
  throw new GatewayError("NOT_READY", "not all drivers could be read from Kubernetes yet; try again", {
    retryAfterMs: 2_000,
  });
}

const isLed = ({ election }: World): boolean => election.leads() || election.leader() !== undefined;

function faultsOf(world: World): readonly string[] {
  const { watches, drift, synced } = world;
  const lines = [...watches.faults()];
  if (!synced && lines.length === 0) lines.push("not all drivers have been read yet");
  if (!isLed(world)) {
    lines.push("no replica is known to lead: drivers are neither started nor stopped");
  }
  if (drift.count > 0) lines.push(`${drift.count} drivers were made from another template than their profile has now`);
  return lines;
}
