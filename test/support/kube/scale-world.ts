import { freePort } from "../../../deploy/local/ports.ts";
import type { StartRequest } from "../../../src/drivers/runtime.ts";
import { nameOf } from "../../../src/edges/kubernetes/facts.ts";
import { annotation } from "../../../src/edges/kubernetes/labels.ts";
import { type KubeAdmin, pods } from "./access.ts";
import { type KubeCluster, startKubeCluster } from "./cluster.ts";
import { listenAt, paperPods } from "./paper-pods.ts";
import { type RuntimeWorld, runtimeWorld } from "./runtime-world.ts";

const namespace = "drivers";
/** Requests of the admin's at once. */
const atOnce = 16;

/** One driver's pod as the test made it. */
export interface ScaleDriver {
  readonly name: string;
  readonly uid: string;
  ip: string;
}

/** Very many drivers, as a replica left them that is gone: sealed pods with Secrets, ready, and something that listens for each. */
export interface ScaleWorld {
  readonly cluster: KubeCluster;
  readonly world: RuntimeWorld;
  readonly drivers: readonly ScaleDriver[];
  /** Gives so many pods a second another address, one after the other, for so long. @returns how many */
  churn(aSecond: number, seconds: number): Promise<number>;
  /** How long ago the oldest of these addresses was replaced. ms; 0: none was */
  lagOf(shown: Iterable<string>): number;
  /** The annotation of that driver, as it is. */
  activityOf(driver: ScaleDriver): Promise<string | undefined>;
  stop(): Promise<void>;
}

export async function scaleWorld(count: number): Promise<ScaleWorld> {
  const cluster = await startKubeCluster({ crds: [] });
  const closers: (() => Promise<void>)[] = [];
  const stop = async () => {
    await Promise.all(closers.splice(0).map(async (close) => await close()));
    await cluster.stop();
  };
  try {
    const { admin } = cluster;
    const port = await freePort();
    const world = await runtimeWorld(cluster, { namespaces: [namespace], more: { port, maxDrivers: count } });
    const numbers = Array.from({ length: count }, (_, i) => i);
    const founder = world.open();
    await inParallel(numbers, async (i) => await founder.start(order(world, i)));
    // It must not see them become ready: whoever comes next shall have all to find out.
    await founder.close();
    const drivers: ScaleDriver[] = [];
    await inParallel(numbers, async (i) => {
      closers.push(await listenAt(addressOf(i), port));
      drivers.push(await makeReady(admin, world, i));
    });
    const replaced = new Map<string, number>();
    let next = count;
    const move = async (driver: ScaleDriver) => {
      const before = driver.ip;
      driver.ip = addressOf(next++);
      const status = { podIP: driver.ip, podIPs: [{ ip: driver.ip }] };
      await admin.patch(pods, namespace, driver.name, { status }, "status");
      replaced.set(before, performance.now());
    };
    return {
      cluster,
      world,
      drivers,
      churn: async (aSecond, seconds) => await churn(drivers, move, aSecond, seconds),
      lagOf(shown) {
        const now = performance.now();
        return Math.max(0, ...Array.from(shown, (ip) => now - (replaced.get(ip) ?? now)));
      },
      activityOf: async ({ name }) =>
        (await admin.get(pods, namespace, name)).metadata.annotations?.[annotation.activity],
      async stop() {
        world.dispose();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** All of 127.0.0.0/8 is this machine. */
const addressOf = (i: number): string => `127.${64 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;

const order = ({ options }: RuntimeWorld, i: number): StartRequest => ({
  key: { cluster: options.cluster, namespace, app: `app-${i}` },
  owner: `user-${i}@local`,
  ownerUser: `user-${i}`,
  sharedWithGroups: [],
  profile: "default",
});

async function makeReady(admin: KubeAdmin, world: RuntimeWorld, i: number): Promise<ScaleDriver> {
  const name = nameOf(order(world, i).key);
  const { uid } = (await admin.get(pods, namespace, name)).metadata;
  await paperPods(admin, namespace).ready(name, addressOf(i));
  return { name, uid, ip: addressOf(i) };
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}

/** By the clock: a slow answer does not slow the rest down, until `atOnce` answers are missing. */
async function churn(
  drivers: readonly ScaleDriver[],
  move: (driver: ScaleDriver) => Promise<void>,
  aSecond: number,
  seconds: number,
): Promise<number> {
  const begun = performance.now();
  let moved = 0;
  const mover = async () => {
    for (;;) {
      const turn = moved;
      const due = begun + (turn * 1_000) / aSecond;
      if (due >= begun + seconds * 1_000) return;
      moved += 1;
      const driver = drivers[turn % drivers.length];
      const wait = due - performance.now();
      if (wait > 0) {
        await new Promise<void>((resolve) => {
          setTimeout(resolve, wait);
        });
      }
      if (driver !== undefined) await move(driver);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, mover));
  return moved;
}
