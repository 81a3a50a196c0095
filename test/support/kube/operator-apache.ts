import { ApiError } from "../../../src/edges/kubernetes/api.ts";
import type { AgentPod } from "./kubelet-types.ts";
import { createDriverPod, driverContainerName, type PodTemplate } from "./operator-driver-pod.ts";
import { type Custom, controllerReference, deletePod, type OperatorWorld, writeStatus } from "./operator-loop.ts";

interface Spec {
  readonly mainClass?: string;
  readonly runtimeVersions: { readonly sparkVersion: string };
  readonly sparkConf?: Readonly<Record<string, string>>;
  readonly driverArgs?: readonly string[];
  readonly driverSpec?: { readonly podTemplateSpec?: PodTemplate };
  readonly applicationTolerations?: { readonly resourceRetainPolicy?: "Always" | "Never" | "OnFailure" };
}

interface State {
  readonly currentStateSummary: string;
  readonly message?: string | undefined;
  readonly lastTransitionTime?: string;
  readonly lastObservedDriverStatus?: unknown;
}

interface Status {
  readonly currentState?: State;
  readonly stateTransitionHistory?: Readonly<Record<string, State>>;
}

type App = Custom<Spec, Status>;

const finalizer = "sparkapplications.spark.apache.org/finalizer";
const over = ["ResourceReleased", "TerminatedWithoutReleaseResources"];
const details = ", refer last observed status for details.";

/**
 * A test stand-in that does what the documented reconcile of Apache's spark-kubernetes-operator 1.0.0 does with a
 * SparkApplication (v1) that is never restarted and asks for no executors: requests the driver's pod, follows it, and,
 * once it has ended, releases it as the retain policy says. It holds the object by a finalizer until it was deleted.
 * No timeouts, services or TTL; a missing pod counts at once, without the operator's grace period.
 */
export async function reconcileApache(world: OperatorWorld, object: Custom, pod?: AgentPod): Promise<void> {
  const app = object as App;
  const { namespace, name, finalizers = [], resourceVersion } = app.metadata;
  const hold = async (wanted: readonly string[]) =>
    void (await world.admin.patch(world.of, namespace, name, { metadata: { resourceVersion, finalizers: wanted } }));
  if (app.metadata.deletionTimestamp !== undefined) {
    await deletePod(world.admin, pod);
    if (finalizers.includes(finalizer)) await hold(finalizers.filter((one) => one !== finalizer));
    return;
  }
  if (!finalizers.includes(finalizer)) return await hold([...finalizers, finalizer]);
  const summary = app.status?.currentState?.currentStateSummary;
  if (summary === undefined) {
    return await append(world, app, {
      currentStateSummary: "Submitted",
      message: "Spark application has been created on Kubernetes Cluster.",
    });
  }
  if (over.includes(summary)) return;
  if (summary === "Submitted") return await append(world, app, await request(world, app));
  const isActive = /^(Driver(Requested|Started|Ready)|Running)/.test(summary);
  if (!isActive) return await release(world, app, pod);
  const next = progress(summary, pod);
  if (next.length > 0) await append(world, app, ...next);
}

const requested: State = {
  currentStateSummary: "DriverRequested",
  message: "Requested driver from resource scheduler.",
};

/** Makes the driver's pod; what keeps it from that is the state. */
async function request(world: OperatorWorld, app: App): Promise<State> {
  const { name, namespace } = app.metadata;
  const { mainClass = "", driverArgs = [], driverSpec, runtimeVersions, sparkConf = {} } = app.spec;
  const appId = `${name}-0`;
  const own: Readonly<Record<string, string>> = {
    "spark.operator/name": "spark-kubernetes-operator",
    "spark.operator/spark-app-name": name,
  };
  const conf = {
    ...sparkConf,
    "spark.master": "k8s://https://kubernetes.default.svc",
    "spark.submit.deployMode": "cluster",
    "spark.app.id": appId,
    "spark.kubernetes.namespace": namespace,
    ...Object.fromEntries(
      Object.entries(own).map(([label, value]) => [`spark.kubernetes.driver.label.${label}`, value]),
    ),
  };
  try {
    const planned = world.takeFailure();
    if (planned !== undefined) throw new Error(planned);
    await createDriverPod(world.admin, {
      name: `${appId}-driver`,
      namespace,
      appId,
      owner: controllerReference(world, app),
      conf,
      template: driverSpec?.podTemplateSpec ?? {},
      sparkVersion: runtimeVersions.sparkVersion,
      mainClass,
      resource: "spark-internal",
      arguments: driverArgs,
    });
  } catch (error) {
    // The operator gets what is there, or creates it.
    if (error instanceof ApiError && error.reason === "AlreadyExists") return requested;
    const message = `Failed to request driver from scheduler backend. StackTrace: ${(error as Error).message}`;
    return { currentStateSummary: "SchedulingFailure", message };
  }
  return requested;
}

/** The states that follow from what the pod is now. */
function progress(summary: string, pod: AgentPod | undefined): readonly State[] {
  if (pod === undefined) {
    const message =
      "Driver removed. This could caused by 'exit' called in driver process with non-zero code, involuntary " +
      "disruptions or unintentional destroy behavior, check Kubernetes events for more details.";
    return [{ currentStateSummary: "Failed", message }];
  }
  const container = pod.status?.containerStatuses?.find(({ name }) => name === driverContainerName);
  const ended = terminated(pod, summary);
  if (ended !== undefined) return [{ ...ended, lastObservedDriverStatus: pod.status }];
  const states: State[] = [];
  if (summary === "DriverRequested" && container?.ready === true) {
    states.push({ currentStateSummary: "DriverStarted", message: "Driver has started running." });
  }
  const ready = pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;
  if (["DriverRequested", "DriverStarted"].includes(summary)) {
    return ready
      ? [...states, { currentStateSummary: "DriverReady", message: "Driver has reached ready state." }]
      : states;
  }
  return summary === "DriverReady"
    ? [{ currentStateSummary: "RunningHealthy", message: "Application is running healthy." }]
    : states;
}

function terminated({ status }: AgentPod, summary: string): State | undefined {
  const container = status?.containerStatuses?.find(({ name }) => name === driverContainerName);
  const failed = `Driver has one or more failed critical container(s)${details}`;
  if (status?.phase === "Failed") {
    return { currentStateSummary: status.reason === "Evicted" ? "DriverEvicted" : "Failed", message: failed };
  }
  if (status?.phase === "Succeeded") {
    return summary === "DriverRequested"
      ? {
          currentStateSummary: "Failed",
          message: "Driver container is terminated without SparkContext / SparkSession initialization.",
        }
      : { currentStateSummary: "Succeeded", message: "Spark application completed successfully." };
  }
  if ((container?.restartCount ?? 0) === 0) return undefined;
  const message = `Driver has one or more critical container(s) restarted unexpectedly${details}`;
  return { currentStateSummary: "Failed", message };
}

async function release(world: OperatorWorld, app: App, pod: AgentPod | undefined): Promise<void> {
  const { currentStateSummary } = app.status?.currentState ?? { currentStateSummary: "" };
  const policy = app.spec.applicationTolerations?.resourceRetainPolicy ?? "Never";
  if (policy === "Always" || (policy === "OnFailure" && currentStateSummary !== "Succeeded")) {
    return await append(world, app, {
      currentStateSummary: "TerminatedWithoutReleaseResources",
      message: "Application is terminated without releasing resources as configured.",
    });
  }
  await deletePod(world.admin, pod);
  await append(world, app, { currentStateSummary: "ResourceReleased" });
}

async function append(world: OperatorWorld, app: App, ...states: readonly State[]): Promise<void> {
  const dated = states.map((state) => ({ message: null, ...state, lastTransitionTime: new Date().toISOString() }));
  const before = Object.keys(app.status?.stateTransitionHistory ?? {}).length;
  await writeStatus(world, app, {
    currentState: { lastObservedDriverStatus: null, ...dated.at(-1) },
    stateTransitionHistory: Object.fromEntries(dated.map((state, index) => [String(before + index), state])),
    currentAttemptSummary: { attemptInfo: { id: 0 } },
  });
}
