import type { Draining, Driver, DriverEnd, DriverFailure } from "../../drivers/driver.ts";
import type { DriverKind } from "./kinds.ts";
import type { DriverResource, KubeEvent, Pod, Stored } from "./objects.ts";
import type { KubernetesProfile } from "./options.ts";

/** All that is known of one driver's objects at one moment. */
export interface DriverObjects {
  readonly kind: DriverKind;
  /** For a plain pod, the pod. */
  readonly main: Stored<DriverResource> | Stored<Pod>;
  /** Whether the main object carries a seal of ours about these very facts. */
  readonly sealed: boolean;
  /** When this process saw the main object first, ms by its own clock. Absent: as old as the API server says. */
  readonly seenAt?: number | undefined;
  /** The main object's pod as `podOf` finds it; undefined only once the list of pods is complete and it has none. */
  readonly pod: Stored<Pod> | undefined;
  /**
   * `podIncarnation` of the first pod that was seen ready for this main object; undefined while there was none. Where it
   * is undefined the annotation of the same meaning counts.
   */
  readonly firstPodUid: string | undefined;
  /** The driver's own token, as far as its Secret is known. */
  readonly token: string | undefined;
  /** Of the main object and of its pod, in any order. */
  readonly events: readonly KubeEvent[];
  /** Whether a first call was answered at the pod's present address. Counts only until the driver was ready. */
  readonly answers: boolean;
  /** The gRPC status of a first call that did not count as answered; undefined where none got as far as a connection. */
  readonly refusal?: string | undefined;
  /** The last lines of the driver's log, newest last; empty where they were not read. */
  readonly logTail: readonly string[];
  /** The failure that was observed before: a start that failed stays failed, or its time would change with every look. */
  readonly failed?: DriverFailure | undefined;
  /** Set once we ordered its end. */
  readonly stopOrdered?: Draining["reason"] | undefined;
}

/** What a start is measured against. */
export interface StartLimits {
  /** The port on which a driver has to listen. */
  readonly port: number;
  readonly startTimeoutMs: number;
  /** How long a pod may be unschedulable, or lack what its containers need, before its start has failed. ms */
  readonly unschedulableGraceMs: number;
}

export interface ObserveContext extends StartLimits {
  /** ms since the epoch */
  readonly now: number;
  readonly cluster: string;
  readonly profiles: Readonly<Record<string, Pick<KubernetesProfile, "allowTokenless">>>;
}

/** A driver, as its objects show it. */
export interface ObservedDriver {
  readonly what: "driver";
  readonly driver: Driver;
  /** Whether its first call may be sent, with its token, to its pod's address. */
  readonly callable: boolean;
  /** The pod that serves, from `ready` on: what `firstPodUid` and the annotation have to be from now on. */
  readonly readyPod: string | undefined;
  /** What is wrong with the object without doing harm, a line each; for the log. */
  readonly notes: readonly string[];
}

/** What the objects mean. */
export type Observed =
  | ObservedDriver
  /** The driver is gone or going, whatever an operator may make of its main object yet. */
  | { readonly what: "ended"; readonly end: DriverEnd }
  /** Not ours to serve; one line that says what to change. */
  | { readonly what: "foreign"; readonly why: string };

/** Why a start failed. */
export interface StartFailure {
  /** One line that says what to change: printable ASCII, at most 500 characters, without secrets. */
  readonly summary: string;
  readonly exitCode: number | undefined;
  /** ms since the epoch */
  readonly at: number;
}

/** What a rule finds; without a time where the objects tell none. */
export interface Found {
  readonly summary: string;
  readonly exitCode?: number | undefined;
  readonly at?: number | undefined;
}
