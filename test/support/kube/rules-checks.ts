import type { Driver } from "../../../src/drivers/driver.ts";
import type { DriverRef, StartRequest } from "../../../src/drivers/runtime.ts";
import type { ApiCall, KubeApi } from "../../../src/edges/kubernetes/api.ts";
import { nameOf } from "../../../src/edges/kubernetes/facts.ts";
import { type DriverKind, events, kinds, leases, secrets } from "../../../src/edges/kubernetes/kinds.ts";
import { annotation, label } from "../../../src/edges/kubernetes/labels.ts";
import type { Watched } from "../watched.ts";
import { type Collection, pods } from "./access.ts";
import { paperPods } from "./paper-pods.ts";
import { whileReady } from "./rules-ready.ts";
import type { Trial } from "./rules-trial.ts";

/** What Gatehouse does on Kubernetes. Rejects where it cannot. */
export type Check = (trial: Trial) => Promise<void>;

const key = ({ namespace, app }: Trial) => ({ cluster: "local", namespace, app });
const order = (trial: Trial, profile: DriverKind): StartRequest => ({
  key: key(trial),
  owner: "alice@local",
  ownerUser: "alice",
  sharedWithGroups: [],
  profile,
});

async function known(trial: Trial, watched: Watched, fits: (driver: Driver) => boolean = () => true): Promise<Driver> {
  const find = () => {
    const driver = watched.of(key(trial));
    return driver !== undefined && fits(driver) ? driver : undefined;
  };
  return await watched.when("the driver is known", find, trial.limitMs);
}

const hasToken = ({ token }: Driver): boolean => token !== undefined;

/** Does `act` before a request goes out, once. */
const before = (isIt: (call: ApiCall) => boolean, act: () => Promise<unknown>) => {
  let done = false;
  return (api: KubeApi): KubeApi => ({
    ...api,
    async call<T>(call: ApiCall): Promise<T> {
      if (!done && isIt(call)) {
        done = true;
        await act();
      }
      return await api.call<T>(call);
    },
  });
};

const touch = async ({ admin, namespace }: Trial, of: Collection, name: string) =>
  await admin.patch(of, namespace, name, { metadata: { labels: { touched: "yes" } } });

async function record(watched: Watched, ref: DriverRef): Promise<void> {
  const activity = { v: 1, lastActive: 1, streamingQueries: {}, detached: [], connectSessions: ["one"] } as const;
  await watched.runtime.record(ref, { activity, draining: "keep" });
}

/** The same checks of one kind of driver, however it comes to be. */
interface Source {
  readonly of: Collection;
  /** Makes one; not by the replica that is looked at. */
  readonly make: (trial: Trial) => Promise<unknown>;
  /** While it is far enough for something to be recorded on it: an operator's resource is not touched before its driver was ready. */
  readonly recordable: (trial: Trial, act: () => Promise<void>) => Promise<void>;
}

const ours = (kind: DriverKind): Source => ({
  of: kinds[kind],
  make: async (trial) => await trial.founder.start(order(trial, kind)),
  recordable: async (trial, act) => await (kind === "pod" ? act() : whileReady(trial, kind, act)),
});

const theirs: Source = {
  of: pods,
  recordable: async (_trial, act) => await act(),
  async make({ admin, namespace, app }) {
    await admin.create(pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: app,
        namespace,
        labels: { [label.discover]: "true" },
        annotations: { [annotation.owner]: "bob@local" },
      },
      spec: { containers: [{ name: "spark-driver", image: "none" }] },
    });
  },
};

const checksOf = ({ of, make, recordable }: Source) => ({
  "knows those that are there": (async (trial) => {
    await make(trial);
    const watched = await trial.replica();
    if (watched.of(key(trial)) === undefined) throw new Error("it is not known after the first list");
  }) satisfies Check,
  "sees those that come": (async (trial) => {
    const watched = await trial.replica();
    await make(trial);
    await known(trial, watched);
  }) satisfies Check,
  "records, also over what changed meanwhile": (async (trial) => {
    await make(trial);
    let name = "";
    const isIt = ({ method, path }: ApiCall) => method === "PATCH" && path.endsWith(`/${name}`);
    const watched = await trial.replica(before(isIt, async () => await touch(trial, of, name)));
    await recordable(trial, async () => {
      const driver = await known(trial, watched, ({ phase }) => of === pods || of === kinds.pod || phase === "ready");
      ({ name } = driver);
      await record(watched, driver);
    });
    const { metadata } = await trial.admin.get(of, trial.namespace, name);
    if (metadata.annotations?.[annotation.activity] === undefined) throw new Error("nothing was recorded");
  }) satisfies Check,
  "stops them": (async (trial) => {
    const watched = await trial.leading();
    await make(trial);
    const driver = await known(trial, watched);
    await watched.runtime.stop(driver, "idle");
    if ((await trial.admin.find(of, trial.namespace, driver.name)) !== undefined) throw new Error("it is still there");
  }) satisfies Check,
});

/** By what they are called in the table of rights. */
export function checksFor(kind: DriverKind | "discovered"): Readonly<Record<string, Check>> {
  if (kind === "discovered") return checksOf(theirs);
  return {
    ...checksOf(ours(kind)),
    "starts them": async (trial) => {
      const watched = await trial.leading();
      await watched.runtime.start(order(trial, kind));
      await known(trial, watched, hasToken);
    },
  };
}

const tokens = (kind: DriverKind): Readonly<Record<string, Check>> => ({
  "knows those that are there": async (trial) => {
    await trial.founder.start(order(trial, kind));
    await known(trial, await trial.replica(), hasToken);
  },
  "sees those that come": async (trial) => {
    const watched = await trial.replica();
    await trial.founder.start(order(trial, kind));
    await known(trial, watched, hasToken);
  },
  "removes them, also what changed meanwhile": async (trial) => {
    const isIt = ({ method, path }: ApiCall) => method === "DELETE" && path.includes("/secrets/");
    const act = async () => {
      for (const { metadata } of await trial.admin.list(secrets, trial.namespace))
        await touch(trial, secrets, metadata.name);
    };
    const watched = await trial.leading(before(isIt, act));
    await watched.runtime.start(order(trial, kind));
    await watched.runtime.stop(await known(trial, watched), "idle");
    if ((await trial.admin.list(secrets, trial.namespace)).length > 0) throw new Error("a Secret is left");
  },
});

const elections: Readonly<Record<string, Check>> = {
  "leads where nobody did before": async (trial) => {
    const { namespace, name } = trial.lease;
    await trial.admin.delete(leases, namespace, name).catch(() => undefined);
    await trial.leading();
  },
  "leads after another": async (trial) => {
    const { namespace, name } = trial.lease;
    const spec = { holderIdentity: "", leaseDurationSeconds: 1, leaseTransitions: 1 };
    await trial.admin.apply(leases, {
      apiVersion: leases.apiVersion,
      kind: "Lease",
      metadata: { namespace, name },
      spec,
    });
    await trial.leading();
  },
};

const causes = (kind: DriverKind): Readonly<Record<string, Check>> => ({
  "tells what events say": async (trial) => {
    const { admin, namespace, app } = trial;
    await trial.founder.start(order(trial, kind));
    const watched = await trial.replica();
    const { metadata } = await admin.get(kinds[kind], namespace, nameOf(key(trial)));
    const event = {
      metadata: { name: app, namespace },
      involvedObject: { kind: kinds[kind].kind, name: metadata.name, uid: metadata.uid, namespace },
      type: "Warning",
      reason: "FailedCreate",
      message: "exceeded quota: none",
      lastTimestamp: new Date().toISOString(),
    };
    await admin.create(events, { apiVersion: "v1", kind: "Event", ...event });
    await watched.when(
      "the quota is told",
      (w) => w.of(key(trial))?.failure?.summary.match(/exceeded quota/),
      3 * trial.limitMs,
    );
  },
  "tells the last lines": async (trial) => {
    const { admin, namespace } = trial;
    await trial.founder.start(order(trial, kind));
    const { metadata } = await admin.get(kinds[kind], namespace, nameOf(key(trial)));
    const { apiVersion, kind: owner } = kinds[kind];
    const pod = `${metadata.name}-0-driver`;
    await admin.create(pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: pod,
        namespace,
        labels: { ...metadata.labels, "spark-role": "driver" },
        ownerReferences: [{ apiVersion, kind: owner, name: metadata.name, uid: metadata.uid }],
      },
      spec: { nodeName: "paper", containers: [{ name: "spark-kubernetes-driver", image: "none" }] },
    });
    const state = { terminated: { exitCode: 1, reason: "Error" } };
    const container = {
      name: "spark-kubernetes-driver",
      ready: false,
      restartCount: 0,
      state,
      image: "none",
      imageID: "none",
    };
    await paperPods(admin, namespace).report(pod, { phase: "Failed", containerStatuses: [container] });
    const watched = await trial.replica();
    const failed = await known(trial, watched, ({ phase }) => phase === "failed");
    if (failed.failure?.logTail.includes(lastLine) !== true) throw new Error("the log is not told");
  },
});

/** What the log of every pod on the node "paper" must say. */
export const lastLine = "java.lang.IllegalStateException: no more";

/** Those of no kind of driver, with drivers of one that may be used. */
export const otherChecks = (kind: DriverKind) => ({ tokens: tokens(kind), elections, causes: causes(kind) });
