interface MetricSpec {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  /** Histogram bucket limits in the metric's own unit. */
  readonly buckets?: readonly number[];
}

const seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120] as const;

/** The one registry of metrics. Labels are bounded sets: never a user, a session or a token. */
export const metricSpecs = {
  gatehouse_decisions_total: {
    type: "counter",
    help: "Decisions by verdict and reason.",
    labels: ["verdict", "reason"],
  },
  gatehouse_decision_seconds: {
    type: "histogram",
    help: "Time from a check's arrival to its answer, without the time held.",
    labels: ["verdict"],
    buckets: seconds,
  },
  gatehouse_held_seconds: {
    type: "histogram",
    help: "Time that a call was held for its driver.",
    labels: ["outcome"],
    buckets: seconds,
  },
  gatehouse_holds: { type: "gauge", help: "Calls being held for a driver now.", labels: [] },
  gatehouse_messages_total: {
    type: "counter",
    help: "Request messages inspected, by method and outcome.",
    labels: ["method", "outcome"],
  },
  gatehouse_sessions_active: {
    type: "gauge",
    help: "Sessions with a driver that is busy or not yet idle.",
    labels: [],
  },
  gatehouse_streams: { type: "gauge", help: "Client streams known to be alive.", labels: [] },
  gatehouse_drivers: { type: "gauge", help: "Drivers by phase.", labels: ["phase"] },
  gatehouse_driver_start_seconds: {
    type: "histogram",
    help: "Time from the order to the driver's readiness or failure.",
    labels: ["outcome"],
    buckets: [1, 2, 4, 6, 8, 10, 15, 20, 30, 60, 120, 300],
  },
  gatehouse_reaps_total: { type: "counter", help: "Drivers stopped by the reaper, by cause.", labels: ["reason"] },
  gatehouse_record_writes_total: {
    type: "counter",
    help: "Writes of drivers' records of their use, by outcome (written, failed).",
    labels: ["outcome"],
  },
  gatehouse_driver_ends_total: { type: "counter", help: "Drivers that ended, by cause.", labels: ["cause"] },
  gatehouse_xds_pushes_total: { type: "counter", help: "Delta responses sent, by resource type.", labels: ["type"] },
  gatehouse_xds_acks_total: {
    type: "counter",
    help: "Acknowledged delta responses, by resource type.",
    labels: ["type"],
  },
  gatehouse_xds_nacks_total: { type: "counter", help: "Refused delta responses, by resource type.", labels: ["type"] },
  gatehouse_xds_streams: { type: "gauge", help: "Connected delta ADS streams.", labels: [] },
  gatehouse_token_cache_total: {
    type: "counter",
    help: "Looks at what is remembered of tokens: hit (good), refused (bad) or miss.",
    labels: ["result"],
  },
  gatehouse_jwks_fetches_total: {
    type: "counter",
    help: "Fetches of an issuer's keys, by outcome.",
    labels: ["outcome"],
  },
  gatehouse_audit_records_total: {
    type: "counter",
    help: "Audit records by kind and outcome.",
    labels: ["kind", "outcome"],
  },
  gatehouse_kubernetes_requests_total: {
    type: "counter",
    help: "Requests to the Kubernetes API by verb (get, list, watch, create, patch, update, delete), resource and HTTP status (0: no answer).",
    labels: ["verb", "resource", "code"],
  },
  gatehouse_kubernetes_events_total: {
    type: "counter",
    help: "Watch events received, by resource and type.",
    labels: ["resource", "type"],
  },
  gatehouse_kubernetes_relists_total: {
    type: "counter",
    help: "Full lists after the first one, by resource and cause.",
    labels: ["resource", "cause"],
  },
  gatehouse_leader: {
    type: "gauge",
    help: "1 while this replica leads: it alone starts and stops drivers.",
    labels: [],
  },
  gatehouse_access_log_streams: { type: "gauge", help: "Connected access log streams.", labels: [] },
} as const satisfies Record<string, MetricSpec>;

export type MetricName = keyof typeof metricSpecs;
export type MetricLabels<N extends MetricName> = Readonly<Record<(typeof metricSpecs)[N]["labels"][number], string>>;

/** Port: measurements. Implemented by `edges/http/metrics.ts`. */
export interface Metrics {
  /** Adds to a counter (default 1). */
  count<N extends MetricName>(name: N, labels: MetricLabels<N>, by?: number): void;
  /** Sets a gauge. */
  set<N extends MetricName>(name: N, labels: MetricLabels<N>, value: number): void;
  /** Adds one observation to a histogram, in seconds. */
  observe<N extends MetricName>(name: N, labels: MetricLabels<N>, value: number): void;
}

/** Measures nothing; for tests of pure code. */
export const noMetrics: Metrics = { count: () => undefined, set: () => undefined, observe: () => undefined };
