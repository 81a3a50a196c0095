import { setTimeout as delay } from "node:timers/promises";
import type { DriverAddress } from "../../drivers/driver.ts";
import type { FirstCall } from "../../drivers/first-call.ts";
import type { Secret } from "../../kernel/secret.ts";
import { listensAt } from "./listener.ts";

export interface ReadyProbe {
  readonly firstCall: FirstCall;
  /** The driver's process. */
  readonly pid: number;
  readonly address: DriverAddress;
  readonly token: Secret | undefined;
  readonly signal: AbortSignal;
}

const connectEveryMs = 50;
const connectLimitMs = 1_000;

/** Resolves once the driver itself listens and has answered a call that carries its token. @throws the signal's reason when it aborts */
export async function untilReady(probe: ReadyProbe): Promise<void> {
  while (!(await isReady(probe))) await delay(connectEveryMs, undefined, { signal: probe.signal });
  probe.signal.throwIfAborted();
}

async function isReady({ firstCall, pid, address, token, signal }: ReadyProbe): Promise<boolean> {
  if (!(await firstCall.accepts(address, connectLimitMs, signal))) return false;
  if (listensAt(pid, address.host, address.port) === false) return false;
  return (await firstCall.refusal(address, token, signal)) === undefined;
}
