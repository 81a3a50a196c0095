import { type DriverKind, kinds } from "../../../src/edges/kubernetes/kinds.ts";
import type { KubeAdmin } from "./access.ts";
import { reconcileApache } from "./operator-apache.ts";
import { type OperatorWorld, type Reconcile, runOperator } from "./operator-loop.ts";
import { reconcileSparkApplication } from "./operator-spark-application.ts";
import { reconcileSparkConnect } from "./operator-spark-connect.ts";

export type OperatorKind = Exclude<DriverKind, "pod">;

export interface Operator {
  /** The next submission of an object fails with that message, as the operator reports such a failure. */
  failNext(message: string): void;
  /** Nothing is reconciled any more; what it made stays. */
  stop(): Promise<void>;
}

const reconciles: Readonly<Record<OperatorKind, Reconcile>> = {
  "spark-application": reconcileSparkApplication,
  "spark-connect": reconcileSparkConnect,
  "apache-spark-application": reconcileApache,
};

/**
 * Starts a test stand-in for the operator of that kind: it does what the operator's reconcile does with the objects that
 * Gatehouse makes, no more. Its kind's CRD must be there.
 */
export async function startOperator(kind: OperatorKind, { admin }: { readonly admin: KubeAdmin }): Promise<Operator> {
  const failures: string[] = [];
  const closed = new AbortController();
  const world: OperatorWorld = { admin, of: kinds[kind], takeFailure: () => failures.shift() };
  await admin.list(world.of);
  const running = runOperator(world, reconciles[kind], closed.signal);
  return {
    failNext: (message) => void failures.push(message),
    async stop() {
      closed.abort();
      await running;
    },
  };
}
