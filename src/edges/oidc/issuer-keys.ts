import type { IssuerConfig } from "../../identity/issuer.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { Metrics } from "../../kernel/metrics.ts";
import { fetchKeys, KeyFetchError } from "./fetch-keys.ts";
import { type VerificationKey, verificationKey } from "./verification-key.ts";

export interface KeyTimes {
  /** Age at which keys are fetched again, in seconds. */
  readonly cacheMaxAgeSeconds: number;
  /** Least time between two fetches that unknown keys cause, in seconds; less than 1 counts as 1. */
  readonly cooldownSeconds: number;
  /** Time limit of one fetch, discovery included, in milliseconds. */
  readonly timeoutMs: number;
  /** How long known keys stay in use while the issuer is away, in seconds. */
  readonly maxStaleSeconds: number;
}

interface IssuerKeysOptions extends KeyTimes {
  readonly issuer: Pick<IssuerConfig, "name" | "issuer" | "jwksUri">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Called whenever keys arrived, the same ones or others. */
  readonly onFetched: () => void;
}

/** The keys of one issuer, kept fresh in the background. */
export interface IssuerKeys {
  /** The keys that may have made a signature: all that fit where the token names no `kid`. */
  find(alg: string, kid: string | undefined): readonly VerificationKey[];
  /** Whether the issuer still publishes the key of that thumbprint, as far as is known. */
  has(id: string): boolean;
  /** Asks the issuer again where the cooldown allows it; one fetch serves all who ask meanwhile. Never rejects. */
  refresh(): Promise<KeyState>;
  close(): void;
}

interface KeyState {
  /** Whether the issuer answered when it was last asked. */
  readonly answered: boolean;
  /** When asking again may help, in milliseconds from now. */
  readonly retryAfterMs: number;
}

const FIRST_RETRY_MS = 1000;
const MIN_COOLDOWN_MS = 1000;

/** Doubles with each failure, up to the cooldown. */
function retryDelayMs(failures: number, cooldownMs: number): number {
  return Math.min(cooldownMs, FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 20));
}

/** @returns the outcome's name in the metrics */
function told({ log, issuer }: IssuerKeysOptions, thrown: unknown, timedOut: boolean, failures: number): string {
  const known = thrown instanceof KeyFetchError ? thrown.message : "the issuer cannot be reached";
  const error = timedOut ? "no answer in time" : known;
  log.warn("an issuer's keys could not be fetched", { issuer: issuer.name, error, failures });
  return timedOut ? "timeout" : "error";
}

async function loadKeys(
  issuer: IssuerKeysOptions["issuer"],
  signal: AbortSignal,
  log: Log,
): Promise<VerificationKey[]> {
  const entries = await fetchKeys(issuer, signal);
  const keys = (await Promise.all(entries.map(verificationKey))).filter((key) => key !== undefined);
  if (keys.length === 0) log.warn("the issuer publishes no key that can verify tokens", { issuer: issuer.name });
  return keys;
}

/**
 * Begins with a fetch and repeats it at `cacheMaxAgeSeconds`, so a call with a known key never waits for the issuer. While
 * fetches fail, they are tried again at growing intervals up to the cooldown, and known keys stay in use until they
 * are `maxStaleSeconds` old; after that none is.
 */
export function createIssuerKeys(options: IssuerKeysOptions): IssuerKeys {
  const { clock, log, metrics, issuer } = options;
  const cooldownMs = Math.max(MIN_COOLDOWN_MS, options.cooldownSeconds * 1000);
  let keys: readonly VerificationKey[] = [];
  let loadedAt: number | undefined;
  let failures = 0;
  let notBefore = 0;
  let closed = false;
  let inFlight: Promise<void> | undefined;
  let stopping: AbortController | undefined;
  let cancelTimer = (): void => undefined;

  async function attempt(): Promise<void> {
    cancelTimer();
    const controller = new AbortController();
    stopping = controller;
    const cancelTimeout = clock.after(options.timeoutMs, () => controller.abort());
    let next = options.cacheMaxAgeSeconds * 1000;
    let outcome = "ok";
    try {
      keys = await loadKeys(issuer, controller.signal, log);
      options.onFetched();
      loadedAt = clock.now();
      failures = 0;
      notBefore = loadedAt + cooldownMs;
    } catch (thrown) {
      if (closed) return;
      failures += 1;
      next = retryDelayMs(failures, cooldownMs);
      notBefore = clock.now() + next;
      outcome = told(options, thrown, controller.signal.aborted, failures);
    } finally {
      cancelTimeout();
    }
    metrics.count("gatehouse_jwks_fetches_total", { outcome });
    if (!closed) cancelTimer = clock.after(next, () => void fetchNow());
  }

  function fetchNow(): Promise<void> {
    inFlight ??= attempt().finally(() => {
      inFlight = undefined;
    });
    return inFlight;
  }

  const usable = (): readonly VerificationKey[] =>
    loadedAt !== undefined && clock.now() - loadedAt <= options.maxStaleSeconds * 1000 ? keys : [];

  void fetchNow();
  return {
    find: (alg, kid) => usable().filter((key) => (kid === undefined || key.kid === kid) && key.fits(alg)),
    has: (id) => usable().some((key) => key.id === id),
    async refresh() {
      if (!closed && (inFlight !== undefined || clock.now() >= notBefore)) await fetchNow();
      return { answered: failures === 0, retryAfterMs: Math.max(0, notBefore - clock.now()) };
    },
    close() {
      closed = true;
      cancelTimer();
      stopping?.abort();
    },
  };
}
