import type { Config } from "./resolve.ts";

export type Report = (path: string | readonly PropertyKey[], found: string, change: string) => void;

type Profile = Config["profiles"][string];

/** What the keys of the Kubernetes runtime and of its profiles must be together; nothing where another runtime is used. */
export function kubernetesChecks({ runtime, profiles }: Config, report: Report): void {
  if (runtime.kind !== "kubernetes") return;
  runtimeChecks(runtime.kubernetes, report);
  for (const [name, profile] of Object.entries(profiles)) profileChecks(["profiles", name], profile, report);
}

function runtimeChecks(keys: Config["runtime"]["kubernetes"], report: Report): void {
  const at = (...path: readonly string[]): readonly string[] => ["runtime", "kubernetes", ...path];
  if (keys.seal_key_file === undefined) {
    report(at("seal_key_file"), "nothing", "name the file with the seal keys (one a line: openssl rand -base64 32)");
  }
  const { duration_seconds: duration, renew_deadline_seconds: deadline, retry_seconds: retry } = keys.lease;
  if (deadline >= duration) {
    report(
      at("lease", "renew_deadline_seconds"),
      `${deadline} seconds`,
      `make it less than duration_seconds (${duration}), so that a leader stops before another takes over`,
    );
  }
  if (retry >= deadline) {
    report(at("lease", "retry_seconds"), `${retry} seconds`, `make it less than renew_deadline_seconds (${deadline})`);
  }
  for (const key of ["listen", "advertise"] as const) {
    const address = keys.peer[key];
    if (address === undefined) continue;
    const port = Number(address.slice(address.lastIndexOf(":") + 1));
    if (address.startsWith("unix:")) report(at("peer", key), "a Unix socket", "use <host>:<port>");
    else if (port > 65_535) report(at("peer", key), `port ${port}`, "use a port from 0 to 65535");
  }
  if (keys.unschedulable_grace_seconds > keys.start_timeout_seconds) {
    report(
      at("unschedulable_grace_seconds"),
      `${keys.unschedulable_grace_seconds} seconds`,
      `make it at most start_timeout_seconds (${keys.start_timeout_seconds}), by which every start must be over`,
    );
  }
}

const labelName = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const labelValue = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

function profileChecks(path: readonly string[], profile: Profile, report: Report): void {
  const { kubernetes, on_demand, spark_conf } = profile;
  const at = (...more: readonly string[]): readonly string[] => [...path, "kubernetes", ...more];
  const instances = Number(spark_conf["spark.executor.instances"] ?? on_demand.executor_instances);
  if (kubernetes.kind !== "pod" && !(instances > 0) && spark_conf["spark.dynamicAllocation.enabled"] !== "true") {
    report(
      at("kind"),
      `${kubernetes.kind} without executors`,
      "set on_demand.executor_instances, or use kind: pod, whose drivers can run tasks themselves",
    );
  }
  if (/(^|\s)-Xm[xs]/.test(kubernetes.java_options ?? "")) {
    report(at("java_options"), "a size of the heap", "set on_demand.driver_memory and executor_memory instead");
  }
  for (const role of ["driver", "executor"] as const) {
    const settings = kubernetes[role];
    for (const kind of ["labels", "annotations", "node_selector"] as const) {
      for (const [name, value] of Object.entries(settings[kind])) {
        const fault = nameFault(name, kind === "annotations" ? "" : value);
        if (fault !== undefined) report([...at(role, kind), name], ...fault);
      }
    }
    for (const [i, { operator, value }] of settings.tolerations.entries()) {
      if (operator === "Exists" && value !== undefined) {
        report([...at(role, "tolerations"), i, "value"], "a value with operator Exists", "remove it, or use Equal");
      }
    }
  }
}

/** What is wrong with a label or annotation, and what to change. */
function nameFault(name: string, value: string): [found: string, change: string] | undefined {
  if (name.startsWith("gatehouse.dev/")) return ["a name that is Gatehouse's own", "choose another"];
  if (!labelName.test(name)) return ["a name that Kubernetes does not take", "write <DNS name>/<name> or <name>"];
  return labelValue.test(value)
    ? undefined
    : ["a value that Kubernetes does not take", "use letters, digits, -, _ and . (at most 63)"];
}
