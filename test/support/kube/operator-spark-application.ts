import { setTimeout as delay } from "node:timers/promises";
import type { AgentPod } from "./kubelet-types.ts";
import { createDriverPod, driverContainerName, type PodTemplate } from "./operator-driver-pod.ts";
import { type Custom, controllerReference, deletePod, type OperatorWorld, writeStatus } from "./operator-loop.ts";

type Texts = Readonly<Record<string, string>>;

interface Spec {
  readonly image?: string;
  readonly imagePullPolicy?: string;
  readonly sparkVersion: string;
  readonly mainClass?: string;
  readonly mainApplicationFile?: string;
  readonly arguments?: readonly string[];
  readonly sparkConf?: Texts;
  readonly suspend?: boolean;
  readonly driver: Role & { readonly podName?: string };
  readonly executor: Role & { readonly instances?: number };
}

interface Role {
  readonly cores?: number;
  readonly coreLimit?: string;
  readonly memory?: string;
  readonly memoryOverhead?: string;
  readonly serviceAccount?: string;
  readonly template?: PodTemplate;
}

interface Status {
  readonly applicationState?: { readonly state?: string; readonly errorMessage?: string };
  readonly driverInfo?: { readonly podName?: string };
}

type App = Custom<Spec, Status>;

const prefix = "sparkoperator.k8s.io/";
const terminal = ["COMPLETED", "FAILED"];
/** spark-submit takes longer still. The operator has read the object before that, and writes its status after it. ms */
const submitMs = 300;

/**
 * A test stand-in that does what the documented reconcile of kubeflow's spark-operator 2.5.2 does with a SparkApplication
 * (v1beta2) whose restart policy is Never: submits it once, follows the driver's pod, and ends with COMPLETED or FAILED.
 * No services, ingresses, monitoring, executors' states, retries or TTL. A refused pod fails the submission.
 */
export async function reconcileSparkApplication(world: OperatorWorld, object: Custom, pod?: AgentPod): Promise<void> {
  const app = object as App;
  if (app.metadata.deletionTimestamp !== undefined) return await deletePod(world.admin, pod);
  const { state = "" } = app.status?.applicationState ?? {};
  if (app.spec.suspend === true && !terminal.includes(state)) return await suspend(world, app, pod);
  switch (state) {
    case "":
    case "RESUMING":
      return await submit(world, app);
    case "SUSPENDED":
      return await move(world, app, "RESUMING");
    case "SUBMISSION_FAILED":
    case "FAILING":
      return await move(world, app, "FAILED", app.status?.applicationState?.errorMessage);
    case "SUCCEEDING":
      return await move(world, app, "COMPLETED");
    case "SUBMITTED":
    case "RUNNING":
      return await follow(world, app, pod);
    default:
  }
}

async function submit(world: OperatorWorld, app: App): Promise<void> {
  const { name, namespace, uid } = app.metadata;
  const { mainClass = "", mainApplicationFile = "", arguments: given = [], sparkVersion, driver } = app.spec;
  const podName = driver.podName ?? `${name}-driver`;
  const planned = world.takeFailure();
  let failure = planned;
  await delay(submitMs);
  if (planned === undefined) {
    try {
      await createDriverPod(world.admin, {
        name: podName,
        namespace,
        appId: `spark-${uid.replaceAll("-", "")}`,
        owner: controllerReference(world, app),
        conf: confOf(app),
        template: driver.template ?? {},
        sparkVersion,
        mainClass,
        resource: mainApplicationFile,
        arguments: given,
      });
    } catch (error) {
      failure = `failed to run spark-submit: ${(error as Error).message}`;
    }
  }
  await writeStatus(world, app, {
    driverInfo: { podName },
    submissionAttempts: 1,
    lastSubmissionAttemptTime: new Date().toISOString(),
    applicationState:
      failure === undefined
        ? { state: "SUBMITTED" }
        : { state: "SUBMISSION_FAILED", errorMessage: `failed to submit spark application: ${failure}` },
  });
}

async function follow(world: OperatorWorld, app: App, pod: AgentPod | undefined): Promise<void> {
  if (pod === undefined) return await move(world, app, "FAILING", "driver pod not found");
  const { phase } = pod.status ?? {};
  const container = pod.status?.containerStatuses?.find(({ name }) => name === driverContainerName);
  const ended = container?.state?.terminated;
  const failed = phase === "Failed" ? ended?.exitCode !== 0 : ended !== undefined && ended.exitCode !== 0;
  if (phase === undefined || phase === "Pending") return;
  if (failed) {
    const message =
      ended === undefined
        ? "driver container status missing"
        : `driver container failed with ExitCode: ${ended.exitCode}, Reason: ${ended.reason ?? ""}`;
    return await move(world, app, "FAILING", message);
  }
  await move(world, app, phase === "Running" && ended === undefined ? "RUNNING" : "SUCCEEDING");
}

async function suspend(world: OperatorWorld, app: App, pod: AgentPod | undefined): Promise<void> {
  if (pod !== undefined) {
    await move(world, app, "SUSPENDING");
    return await deletePod(world.admin, pod);
  }
  await move(world, app, "SUSPENDED");
}

async function move(world: OperatorWorld, app: App, state: string, errorMessage?: string): Promise<void> {
  if (app.status?.applicationState?.state === state) return;
  const ended = terminal.includes(state) ? { terminationTime: new Date().toISOString() } : {};
  await writeStatus(world, app, { applicationState: { state, errorMessage: errorMessage ?? null }, ...ended });
}

/** What the operator gives spark-submit. Labels of the object go to the driver and to the executors alike. */
function confOf({ metadata, spec }: App): Texts {
  const { driver, executor, image, imagePullPolicy } = spec;
  const label = (role: "driver" | "executor", labels: Texts) =>
    Object.fromEntries(
      Object.entries(labels).map(([name, value]) => [`spark.kubernetes.${role}.label.${name}`, value]),
    );
  const own = {
    ...metadata.labels,
    [`${prefix}app-name`]: metadata.name,
    [`${prefix}launched-by-spark-operator`]: "true",
    [`${prefix}submission-id`]: metadata.uid,
  };
  const wanted: Readonly<Record<string, string | number | undefined>> = {
    ...spec.sparkConf,
    "spark.master": "k8s://https://kubernetes.default.svc",
    "spark.submit.deployMode": "cluster",
    "spark.app.name": metadata.name,
    "spark.kubernetes.namespace": metadata.namespace,
    "spark.kubernetes.container.image": image,
    "spark.kubernetes.container.image.pullPolicy": imagePullPolicy,
    "spark.driver.cores": driver.cores,
    "spark.kubernetes.driver.limit.cores": driver.coreLimit,
    "spark.driver.memory": driver.memory,
    "spark.driver.memoryOverhead": driver.memoryOverhead,
    "spark.kubernetes.authenticate.driver.serviceAccountName": driver.serviceAccount,
    "spark.executor.instances": executor.instances,
    "spark.executor.cores": executor.cores,
    "spark.executor.memory": executor.memory,
    ...label("driver", own),
    ...label("executor", own),
  };
  const set = Object.entries(wanted).filter(([, value]) => value !== undefined);
  return Object.fromEntries(set.map(([name, value]) => [name, String(value)]));
}
