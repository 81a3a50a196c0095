import type { DriverRuntime } from "../drivers/runtime.ts";
import { createLocalRuntime } from "../edges/local/runtime.ts";
import type { Kernel } from "./door.ts";
import { localRuntimeSettings } from "./runtime-settings.ts";

export interface RunningRuntime {
  readonly runtime: DriverRuntime;
  /** Lets go of drivers, watches and (where there is one) the lease, in this order. */
  close(): Promise<void>;
}

/** The runtime that `runtime.kind` names. @throws Error where what it needs cannot be read */
export function createRuntime(kernel: Kernel): RunningRuntime {
  const runtime = createLocalRuntime({ ...localRuntimeSettings(kernel.config), ...kernel });
  return { runtime, close: () => runtime.close() };
}
