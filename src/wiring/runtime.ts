import type { DriverRuntime } from "../drivers/runtime.ts";
import type { Kernel } from "./door.ts";
import { advertisedAddress, ownNamespace, readSealKeys, replicaName } from "./replica.ts";
import { kubernetesSettings, localRuntimeSettings } from "./runtime-settings.ts";

export interface RunningRuntime {
  readonly runtime: DriverRuntime;
  /** Lets go of drivers, watches and (where there is one) the lease, in this order. */
  close(): Promise<void>;
}

/** The runtime that `runtime.kind` names; the other one's code is not loaded. @throws Error where what it needs cannot be read */
export async function createRuntime(kernel: Kernel): Promise<RunningRuntime> {
  if (kernel.config.runtime.kind === "kubernetes") return await kubernetesRuntime(kernel);
  const [{ createLocalRuntime }, { createFirstCall }] = await Promise.all([
    import("../edges/local/runtime.ts"),
    import("../edges/driver/first-call.ts"),
  ]);
  const runtime = createLocalRuntime({
    ...localRuntimeSettings(kernel.config),
    ...kernel,
    firstCall: createFirstCall(),
  });
  return { runtime, close: () => runtime.close() };
}

async function kubernetesRuntime({ config, clock, log, metrics }: Kernel): Promise<RunningRuntime> {
  const [{ createKubeApi }, { createKubernetesRuntime }, { createFirstCall }] = await Promise.all([
    import("../edges/kubernetes/kube-api.ts"),
    import("../edges/kubernetes/runtime.ts"),
    import("../edges/driver/first-call.ts"),
  ]);
  const { kubeconfig_file, request_timeout_seconds, seal_key_file, peer } = config.runtime.kubernetes;
  // Present: the configuration's cross-checks ask for it.
  const sealKeys = readSealKeys(seal_key_file ?? "");
  const own = { namespace: ownNamespace(), advertise: advertisedAddress(peer, process.env) };
  const api = createKubeApi({
    ...(kubeconfig_file === undefined ? {} : { kubeconfigFile: kubeconfig_file }),
    requestTimeoutMs: request_timeout_seconds * 1000,
    metrics,
  });
  const runtime = createKubernetesRuntime({
    ...kubernetesSettings(config, own),
    api,
    replica: replicaName(process.env),
    sealKeys,
    firstCall: createFirstCall(),
    clock,
    log,
    metrics,
    random: Math.random,
  });
  return {
    runtime,
    async close() {
      await runtime.close();
      api.close();
    },
  };
}
