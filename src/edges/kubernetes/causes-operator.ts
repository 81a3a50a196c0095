import { meaningfulLine } from "./causes-log.ts";
import { safeLine } from "./causes-text.ts";
import type { DriverKind } from "./kinds.ts";
import type { DriverObjects, Found } from "./observe-types.ts";

interface OperatorWord {
  readonly state: string | undefined;
  readonly message: string | undefined;
}

/** States from which no start comes back. Those that an operator passes through on its way to another try are not here. */
const hopeless: Readonly<Record<DriverKind, Readonly<Record<string, string>>>> = {
  pod: {},
  "spark-application": {
    FAILED: "the application failed",
    SUBMISSION_FAILED: "the application could not be submitted",
    COMPLETED: "the application ended before its Spark Connect server was ready",
    SUSPENDED: "the application is suspended: set spec.suspend to false",
  },
  "spark-connect": { Failed: "the Spark Connect server failed" },
  "apache-spark-application": {
    Failed: "the application failed",
    SchedulingFailure: "the application could not be submitted",
    DriverStartTimedOut: "the driver's pod did not start in time",
    DriverReadyTimedOut: "the driver was not ready in time",
    ExecutorsStartTimedOut: "too few executors started in time",
    DriverEvicted: "the driver's pod was evicted",
    Succeeded: "the application ended before its Spark Connect server was ready",
    ResourceReleased: "the operator gave the application up",
    TerminatedWithoutReleaseResources: "the operator gave the application up",
  },
};

/** What the operator says of a start that it gave up. */
export function operatorFailure(objects: DriverObjects): Found | undefined {
  const { state, message } = wordOf(objects);
  const states = hopeless[objects.kind];
  if (state === undefined || !Object.hasOwn(states, state)) return undefined;
  const line = message === undefined ? undefined : meaningfulLine(message.split("\n"));
  return { summary: `${states[state]} (${state})${line === undefined ? "" : `: ${line}`}` };
}

/** The operator's state and message, for a message; undefined where it has written none. */
export function operatorState(objects: DriverObjects): string | undefined {
  const { state, message } = wordOf(objects);
  if (state === undefined) return undefined;
  return safeLine(message === undefined ? state : `${state} (${message})`, 200);
}

function wordOf({ kind, main: { status } }: DriverObjects): OperatorWord {
  switch (kind) {
    case "pod":
      return { state: undefined, message: undefined };
    case "spark-application": {
      const state = fieldOf(status, "applicationState");
      return { state: textOf(state, "state"), message: textOf(state, "errorMessage") };
    }
    case "spark-connect":
      return { state: textOf(status, "state"), message: falseCondition(status) };
    case "apache-spark-application": {
      const state = fieldOf(status, "currentState");
      return { state: textOf(state, "currentStateSummary"), message: textOf(state, "message") };
    }
  }
}

function falseCondition(status: unknown): string | undefined {
  const conditions = fieldOf(status, "conditions");
  if (!Array.isArray(conditions)) return undefined;
  const messages = conditions.filter((one) => fieldOf(one, "status") === "False").map((one) => textOf(one, "message"));
  return messages.find((message) => message !== undefined);
}

function fieldOf(object: unknown, name: string): unknown {
  return typeof object === "object" && object !== null ? Reflect.get(object, name) : undefined;
}

function textOf(object: unknown, name: string): string | undefined {
  const value = fieldOf(object, name);
  return typeof value === "string" && value !== "" ? value : undefined;
}
