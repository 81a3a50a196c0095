import { freePort } from "../../../deploy/local/ports.ts";
import type { Driver } from "../../../src/drivers/driver.ts";
import type { DriverRuntime, StartRequest } from "../../../src/drivers/runtime.ts";
import type { KubeApi } from "../../../src/edges/kubernetes/api.ts";
import { nameOf } from "../../../src/edges/kubernetes/facts.ts";
import type { Pod, Stored } from "../../../src/edges/kubernetes/objects.ts";
import type { KubernetesRuntimeOptions } from "../../../src/edges/kubernetes/options.ts";
import type { SessionKey } from "../../../src/sessions/session-key.ts";
import { until } from "../until.ts";
import { type Watched, watchRuntime } from "../watched.ts";
import { type KubeAdmin, pods } from "./access.ts";
import { grant } from "./access-rights.ts";
import { type KubeCluster, startKubeCluster } from "./cluster.ts";
import { listenAt, type PaperPods, paperPods } from "./paper-pods.ts";
import { driverRules } from "./rules.ts";
import { type RuntimeWorld, runtimeWorld } from "./runtime-world.ts";

export const namespace = "drivers";
export const keyOf = (app: string, of = namespace): SessionKey => ({ cluster: "local", namespace: of, app });
export const nameFor = (app: string): string => nameOf(keyOf(app));
export const order = (app: string, of = namespace): StartRequest => ({
  key: keyOf(app, of),
  owner: "alice@local",
  ownerUser: "alice",
  sharedWithGroups: [],
  profile: "default",
});

/** What the order is refused with; undefined where it is not. */
export async function refusal(runtime: DriverRuntime, request: StartRequest): Promise<unknown> {
  return await runtime.start(request).then(
    () => undefined,
    (error: unknown) => error,
  );
}

type Opening = readonly [more?: Partial<KubernetesRuntimeOptions>, wrap?: (api: KubeApi) => KubeApi];

/** A cluster without nodes, runtimes on it, and pods that report what a test says. */
export interface PaperWorld {
  readonly cluster: KubeCluster;
  readonly admin: KubeAdmin;
  readonly world: RuntimeWorld;
  readonly paper: PaperPods;
  /** Where drivers listen. */
  readonly port: number;
  /** One more replica, once it has read everything. */
  replica(...opening: Opening): Promise<Watched>;
  /** As `replica`, once it leads. */
  leading(...opening: Opening): Promise<Watched>;
  /** Listens there until the test is over. */
  listen(ip: string): Promise<void>;
  /** Listens there no more. */
  silence(ip: string): Promise<void>;
  /** Makes the plain pod of that session ready at the address, with something that listens. */
  serve(app: string, ip: string): Promise<void>;
  readyDriver(watched: Watched, app: string, ip: string): Promise<Driver>;
  podOf(app: string): Promise<Stored<Pod>>;
  /** One more namespace for drivers. */
  grow(name: string): Promise<void>;
  /** Ends what a test began. */
  clean(): Promise<void>;
  dispose(): Promise<void>;
}

export async function paperWorld(): Promise<PaperWorld> {
  const cluster = await startKubeCluster();
  const { admin } = cluster;
  const port = await freePort();
  const world = await runtimeWorld(cluster, { namespaces: [namespace], more: { port } });
  const paper = paperPods(admin, namespace);
  const open: Watched[] = [];
  const closers = new Map<string, () => Promise<void>>();
  const here: PaperWorld = {
    cluster,
    admin,
    world,
    paper,
    port,
    async replica(...opening) {
      const watched = watchRuntime(world.open(...opening));
      open.push(watched);
      await watched.when("the first list is complete", (w) => w.firstList, 10_000);
      return watched;
    },
    async leading(...opening) {
      const watched = await here.replica(...opening);
      await until(() => watched.runtime.mayStop(), { what: "it leads" });
      return watched;
    },
    listen: async (ip) => void closers.set(ip, await listenAt(ip, port)),
    async silence(ip) {
      await closers.get(ip)?.();
      closers.delete(ip);
    },
    async serve(app, ip) {
      await here.listen(ip);
      await paper.ready(nameFor(app), ip);
    },
    async readyDriver(watched, app, ip) {
      await watched.runtime.start(order(app));
      await here.serve(app, ip);
      return await watched.ready(keyOf(app), 10_000);
    },
    podOf: async (app) => await admin.get<Pod>(pods, namespace, nameFor(app)),
    async grow(name) {
      await admin.createNamespace(name);
      await grant(admin, "gatehouse-drivers", { user: world.user, namespace: name, rules: driverRules });
    },
    async clean() {
      await Promise.all(open.splice(0).map(async (each) => await each.close()));
      for (const ip of closers.keys()) await here.silence(ip);
      for (const { metadata } of await admin.list(pods, namespace)) {
        await admin.delete(pods, namespace, metadata.name, { gracePeriodSeconds: 0 }).catch(() => undefined);
      }
    },
    async dispose() {
      world.dispose();
      await cluster.stop();
    },
  };
  return here;
}
