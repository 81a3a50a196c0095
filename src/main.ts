import type { Config } from "./config/resolve.ts";
import { createMetrics } from "./edges/http/metrics.ts";
import { startHttp } from "./edges/http/server.ts";
import { createAuditSink } from "./edges/log/audit-sink.ts";
import { createLog } from "./edges/log/log.ts";
import { readCertificate, watchCertificate } from "./edges/tls/certificate-files.ts";
import { systemClock } from "./kernel/clock.ts";
import type { Log } from "./kernel/log.ts";
import type { ServerCertificate } from "./snapshots/settings.ts";
import { startControl } from "./wiring/control.ts";
import { createDoor } from "./wiring/door.ts";
import { createLife } from "./wiring/life.ts";
import { createRuntime } from "./wiring/runtime.ts";
import { certificateFiles } from "./wiring/settings.ts";

/** What was started, so that it can be ended in reverse. */
type Ending = () => void | Promise<void>;

/**
 * Runs Gatehouse until SIGTERM or SIGINT: starts what it needs, from the inside out, and ends it in reverse. SIGHUP opens
 * the audit log anew.
 * @throws Error when something cannot be started; what was started is ended first
 */
export async function serve(config: Config): Promise<void> {
  const log = createLog({ level: config.log.level });
  const endings: Ending[] = [() => log.flush()];
  const stop = new AbortController();
  try {
    await start(config, log, { endings, stop });
    await stopped(log, stop.signal);
  } finally {
    for (const end of endings.reverse()) {
      await Promise.resolve()
        .then(end)
        .catch((error: unknown) => log.error("a part did not end as it should", { error }));
    }
  }
}

interface Running {
  readonly endings: Ending[];
  /** Aborted when Gatehouse must end, with an Error as the reason where something broke. */
  readonly stop: AbortController;
}

async function start(config: Config, log: Log, { endings, stop }: Running): Promise<void> {
  const files = certificateFiles(config);
  const certificate = readCertificate(files);
  const metrics = createMetrics();
  const audit = createAuditSink({ file: config.audit.file, log, metrics });
  endings.push(() => audit.close());
  onSignal(
    endings,
    "SIGHUP",
    () => void audit.reopen().catch((error: unknown) => log.error("the audit log could not be opened anew", { error })),
  );
  const kernel = { config, clock: systemClock, log, metrics, audit };

  const watching = new AbortController();
  endings.push(() => watching.abort());
  const running = await createRuntime(kernel);
  const { runtime } = running;
  // After the control servers and the last records: a lease is given back when nothing more is decided here.
  endings.push(() => running.close());
  const life = createLife(kernel, runtime);
  endings.push(() => life.close());
  // First of all, so that a state folder of another Gatehouse is noticed before anything is served.
  runtime.watch(life.registry.sink, watching.signal).catch((cause: unknown) => stop.abort(unwatched(cause)));
  const door = createDoor(kernel, life);
  endings.push(() => door.close());

  const state: State = { ending: false, registry: life.registry, control: undefined };
  const http = await startHttp({
    ...config.http,
    cluster: config.cluster,
    log,
    metrics,
    ...door.api,
    notReady: () => notReady(state),
    warnings: () => runtime.faults(),
  });
  // Ends after the control servers: while they drain, probes are told why this replica is not ready.
  endings.push(() => http.close());
  stop.signal.throwIfAborted();
  const control = await startControl(kernel, { life, door, certificate });
  endings.push(() => control.close());
  state.control = control;
  const renewed = (found: ServerCertificate): void => control.publisher.setCertificate(found);
  endings.push(watchCertificate(files, { current: certificate, log, renewed }));
  endings.push(() => {
    state.ending = true;
    life.provisioner.close();
  });
  stop.signal.throwIfAborted();
  life.reaper.start();
  log.info("Gatehouse has started", { http: `${http.address}:${http.port}` });
}

function unwatched(cause: unknown): Error {
  return new Error(`the drivers cannot be watched: ${cause instanceof Error ? cause.message : String(cause)}`, {
    cause,
  });
}

interface State {
  ending: boolean;
  readonly registry: { readonly synced: boolean };
  control: { readonly publisher: { readonly ready: boolean } } | undefined;
}

function notReady({ ending, registry, control }: State): readonly string[] {
  const reasons: string[] = [];
  if (ending) reasons.push("this replica is ending");
  if (!registry.synced) reasons.push("the drivers have not all been read yet");
  if (control?.publisher.ready !== true) reasons.push("the first snapshot for Envoy is not complete");
  return reasons;
}

/** Resolves on the first signal to end; rejects when something broke. A second signal ends the process at once. */
function stopped(log: Log, broken: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (): void => reject(broken.reason as Error);
    if (broken.aborted) fail();
    broken.addEventListener("abort", fail, { once: true });
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.once(signal, () => {
        log.info("ending", { signal });
        process.once(signal, () => process.exit(1));
        resolve();
      });
    }
  });
}

function onSignal(endings: Ending[], signal: NodeJS.Signals, handler: () => void): void {
  process.on(signal, handler);
  endings.push(() => void process.off(signal, handler));
}
