import { describe, expect, it } from "vitest";
import { startFailure } from "../../../src/edges/kubernetes/causes.ts";
import type { DriverKind } from "../../../src/edges/kubernetes/kinds.ts";
import type { KubeEvent, Pod, Stored } from "../../../src/edges/kubernetes/objects.ts";
import type { DriverObjects } from "../../../src/edges/kubernetes/observe-types.ts";
import { after, container, context, made, objectsOf, podWith, running, token } from "./observe-objects.ts";

const at = (seconds: number) => made + seconds * 1_000;
const fail = (status: Pod["status"], seconds = 20, more: Partial<DriverObjects> = {}) =>
  startFailure(objectsOf(podWith(status), more), at(seconds), context);

const scheduled = { type: "PodScheduled", status: "True", lastTransitionTime: after(2) } as const;
const waiting = (reason: string, message?: string): Pod["status"] => ({
  phase: "Pending",
  conditions: [scheduled],
  containerStatuses: [container({ waiting: { reason, ...(message === undefined ? {} : { message }) } })],
});
const event = (reason: string, message: string, more: Partial<KubeEvent> = {}): KubeEvent => ({
  metadata: { name: "e" },
  type: "Warning",
  reason,
  message,
  lastTimestamp: after(10),
  ...more,
});
const unschedulable: Pod["status"] = {
  phase: "Pending",
  conditions: [
    {
      type: "PodScheduled",
      status: "False",
      reason: "Unschedulable",
      message: "0/3 nodes are available: 3 Insufficient cpu.",
      lastTransitionTime: after(1),
    },
  ],
};

describe("a pod that no node takes", () => {
  it("has failed after the grace, with the scheduler's words", () => {
    expect(fail(unschedulable, 60)).toBeUndefined();
    expect(fail(unschedulable, 61)).toEqual({
      summary:
        "no node can take the driver's pod: 0/3 nodes are available: 3 Insufficient cpu.; ask for fewer cores or less memory, or add nodes",
      exitCode: undefined,
      at: at(61),
    });
    expect(fail(unschedulable, 200)?.at).toBe(at(61));
  });
});

describe("an image that cannot be pulled", () => {
  it("is named", () => {
    expect(fail(waiting("ImagePullBackOff", 'Back-off pulling image "apache/spark:4.1.0"'))?.summary).toBe(
      'the image "apache/spark:4.1.0" cannot be pulled (ImagePullBackOff): Back-off pulling image "apache/spark:4.1.0"; correct the image or its pull secret',
    );
    const registry = `registry.example/${"folder/".repeat(40)}spark:1`;
    const resolving = `failed to resolve reference "${registry}": pull access denied`;
    const said = `Back-off pulling image "${registry}": ErrImagePull: rpc error: code = NotFound desc = ${resolving}`;
    expect(fail(waiting("ImagePullBackOff", said))?.summary).toMatch(
      /cannot be pulled \(ImagePullBackOff\): \.\.\..*: pull access denied; correct the image or its pull secret$/,
    );
    expect(fail(waiting("InvalidImageName"))?.summary).toContain('"apache/spark:4.1.0" is not a valid image name');
  });

  it("is given a second try", () => {
    const pull = (count: number) => event("Failed", "Failed to pull image: 503", { count });
    expect(fail(waiting("ErrImagePull"))).toBeUndefined();
    expect(fail(waiting("ErrImagePull"), 20, { events: [pull(1)] })).toBeUndefined();
    expect(fail(waiting("ErrImagePull"), 20, { events: [pull(2)] })?.summary).toContain("ErrImagePull");
    expect(fail(waiting("ErrImagePull"), 62)?.summary).toContain("ErrImagePull");
  });

  it("may be a sidecar's or an init container's", () => {
    const broken = { ...container({ waiting: { reason: "ImagePullBackOff" } }), name: "init", image: "mine:1" };
    expect(fail({ phase: "Pending", initContainerStatuses: [broken] })?.summary).toContain('the image "mine:1"');
    const nameless = { ...broken, image: "" };
    expect(fail({ phase: "Pending", initContainerStatuses: [nameless] })?.summary).toContain(
      'the image of container "init"',
    );
  });
});

describe("a container that cannot be made", () => {
  it("has failed after the grace: a Secret may come later than its pod", () => {
    const status = waiting("CreateContainerConfigError", 'secret "x" not found');
    expect(fail(status, 61)).toBeUndefined();
    expect(fail(status, 62)?.summary).toBe(
      'the container "spark-kubernetes-driver" cannot be made (CreateContainerConfigError): secret "x" not found',
    );
  });

  it("is nothing to worry about while it is being made", () => {
    expect(fail(waiting("ContainerCreating"), 299)).toBeUndefined();
    expect(fail(waiting("PodInitializing"), 299)).toBeUndefined();
  });
});

describe("a driver that ended before it was ready", () => {
  const ended = (exitCode: number, reason?: string): Pod["status"] => ({
    phase: "Failed",
    containerStatuses: [
      container({ terminated: { exitCode, finishedAt: after(9), ...(reason === undefined ? {} : { reason }) } }),
    ],
  });

  it("is explained by its log", () => {
    const logTail = [
      "26/11/21 10:29:26 INFO Executor: Starting",
      'Exception in thread "main" org.apache.spark.SparkException: it failed',
      "\tat a.B.c(B.scala:1)",
      `Caused by: java.lang.ClassNotFoundException: no.such.Plugin ${token}`,
      "26/11/21 10:29:27 ERROR Utils: the shutdown's own trouble",
    ];
    expect(fail(ended(1, "Error"), 20, { logTail })).toEqual({
      summary: "the driver ended with exit code 1: ClassNotFoundException: no.such.Plugin [redacted]",
      exitCode: 1,
      at: at(9),
    });
    const java = ["Error occurred during initialization of VM", "Too small maximum heap"];
    expect(fail(ended(1), 20, { logTail: java })?.summary).toContain("VM: Too small maximum heap");
    expect(fail(ended(127), 20, { logTail: ["", "sh: java: not found", " "] })?.summary).toContain(
      "127: sh: java: not found",
    );
  });

  it("used too much memory", () => {
    expect(fail(ended(137, "OOMKilled"))).toMatchObject({
      exitCode: 137,
      summary: expect.stringContaining("OOMKilled"),
    });
  });

  it("ended by itself, or for a reason of its container's", () => {
    expect(fail({ ...ended(0, "Completed"), phase: "Succeeded" })?.summary).toContain("ended by itself before");
    expect(fail(ended(128, "StartError"))?.summary).toBe("the driver ended with exit code 128 (StartError)");
  });

  it("ended although a sidecar runs on", () => {
    const proxy = { ...container({ running: {} }), name: "istio-proxy" };
    const status: Pod["status"] = { ...ended(1), phase: "Running" };
    expect(fail({ ...status, containerStatuses: [proxy, ...(status?.containerStatuses ?? [])] })?.exitCode).toBe(1);
  });

  it("ends again and again", () => {
    const status: Pod["status"] = {
      phase: "Running",
      containerStatuses: [
        container({ waiting: { reason: "CrashLoopBackOff" } }, 3, {
          terminated: { exitCode: 1, message: "no such file" },
        }),
      ],
    };
    expect(fail(status)).toMatchObject({
      summary: "the driver ended again and again (CrashLoopBackOff) with exit code 1: no such file",
      exitCode: 1,
    });
  });

  it("is waited for while its container may be restarted", () => {
    const { spec, ...pod } = podWith({ ...ended(1), phase: "Running" });
    const restarted: Stored<Pod> = { ...pod, spec: { ...spec, restartPolicy: "Always" } };
    expect(startFailure(objectsOf(restarted), at(20), context)).toBeUndefined();
  });

  it("was evicted, or lost with its node", () => {
    const evicted: Pod["status"] = {
      phase: "Failed",
      reason: "Evicted",
      message: "The node was low on resource: memory.",
    };
    expect(fail(evicted)?.summary).toContain("evicted: The node was low on resource: memory.");
    expect(fail({ phase: "Failed", reason: "NodeLost", message: "gone" })?.summary).toContain("NodeLost: gone");
  });

  it("was deleted, and its operator makes another", () => {
    const { metadata, ...pod } = podWith(ended(143));
    const going: Stored<Pod> = { ...pod, metadata: { ...metadata, deletionTimestamp: after(8) } };
    expect(startFailure(objectsOf(going, { kind: "spark-connect" }), at(20), context)).toBeUndefined();
  });

  it("has an init container that failed", () => {
    const init = { ...container({ terminated: { exitCode: 2 } }), name: "fetch" };
    expect(fail({ phase: "Failed", initContainerStatuses: [init] })).toMatchObject({
      summary: 'the init container "fetch" failed with exit code 2',
      exitCode: 2,
    });
  });
});

describe("what an operator says", () => {
  const of = (kind: DriverKind, status: object | undefined, more: Partial<DriverObjects> = {}, seconds = 20) => {
    const main = { ...podWith(undefined), ...(status === undefined ? {} : { status }) } as DriverObjects["main"];
    return startFailure(
      { ...objectsOf(podWith(undefined)), kind, main, pod: undefined, ...more },
      at(seconds),
      context,
    );
  };

  it.each([
    [
      "spark-application",
      { applicationState: { state: "FAILED", errorMessage: "driver pod not found" } },
      "driver pod not found",
    ],
    [
      "spark-application",
      {
        applicationState: {
          state: "SUBMISSION_FAILED",
          errorMessage: 'failed to run\nException in thread "main" x.y.Zed: no\n\tat a.b(c)',
        },
      },
      "could not be submitted (SUBMISSION_FAILED): Zed: no",
    ],
    ["spark-application", { applicationState: { state: "COMPLETED" } }, "ended before"],
    [
      "spark-connect",
      { state: "Failed", conditions: [{ status: "False", message: "no service" }] },
      "(Failed): no service",
    ],
    [
      "apache-spark-application",
      { currentState: { currentStateSummary: "SchedulingFailure", message: "bad spec" } },
      "could not be submitted (SchedulingFailure): bad spec",
    ],
    [
      "apache-spark-application",
      { currentState: { currentStateSummary: "DriverStartTimedOut" } },
      "did not start in time",
    ],
  ] as const)("ends the start: %s %#", (kind, status, text) => {
    expect(of(kind, status)?.summary).toContain(text);
  });

  it.each([
    ["spark-application", { applicationState: { state: "SUBMITTED" } }],
    ["spark-application", { applicationState: { state: "PENDING_RERUN", errorMessage: "x" } }],
    ["spark-connect", { state: "NotReady" }],
    ["apache-spark-application", { currentState: { currentStateSummary: "ScheduledToRestart" } }],
    ["apache-spark-application", { currentState: "odd" }],
    ["spark-connect", undefined],
    ["spark-connect", { state: "constructor" }],
  ] as const)("does not end it: %s %#", (kind, status) => {
    expect(of(kind, status)).toBeUndefined();
  });

  it("gives way to what the pod says", () => {
    const status = { applicationState: { state: "FAILED", errorMessage: "driver container failed" } };
    const pod = podWith({ phase: "Failed", containerStatuses: [container({ terminated: { exitCode: 3 } })] });
    expect(of("spark-application", status, { pod })).toMatchObject({ exitCode: 3 });
  });

  it("may be an event only", () => {
    const events = [event("FailedCreate", 'pods "x" is forbidden: exceeded quota: q, requested: cpu=2')];
    expect(of("spark-connect", { state: "Provisioning" }, { events })).toEqual({
      summary: expect.stringContaining("exceeded quota: q, requested: cpu=2; ask for less or have the quota raised"),
      exitCode: undefined,
      at: at(10),
    });
    expect(of("spark-connect", {}, { events: [event("FailedCreate", "timeout")] })).toBeUndefined();
  });

  it("is told where the start took too long", () => {
    expect(of("spark-connect", undefined, {}, 300)?.summary).toBe(
      "the driver was not ready within 300 s; last seen: no pod yet, its operator has not looked at it (is the operator running?)",
    );
    expect(of("spark-connect", { state: "Provisioning" }, {}, 300)?.summary).toContain(
      "the operator says Provisioning",
    );
  });
});

describe("a start that takes too long", () => {
  it("says what was seen last", () => {
    expect(fail(running(), 299)).toBeUndefined();
    expect(fail(running(), 300)).toEqual({
      summary:
        "the driver was not ready within 300 s; last seen: the pod is ready and its port 15002 cannot be reached from Gatehouse (a NetworkPolicy?)",
      exitCode: undefined,
      at: at(300),
    });
    expect(fail(running(), 900, { answers: true, token: undefined })).toMatchObject({
      summary: expect.stringContaining("the Secret with the driver's token is missing"),
      at: at(300),
    });
    expect(fail(running(), 300, { refusal: "UNAUTHENTICATED" })?.summary).toContain(
      "the pod is ready and accepts connections at port 15002, but did not answer a first call (UNAUTHENTICATED)",
    );
    expect(fail(running("False"), 300)?.summary).toContain("the pod runs and is not ready");
    const mount = [event("Old", "x", { lastTimestamp: after(1) }), event("FailedMount", 'secret "y" not found')];
    expect(fail(waiting("ContainerCreating"), 300, { events: mount })?.summary).toContain(
      'waiting (ContainerCreating); FailedMount: secret "y" not found',
    );
    expect(fail(undefined, 300)?.summary).toContain("the pod waits for a node");
    expect(fail({ phase: "Pending", conditions: [scheduled] }, 300)?.summary).toContain("the pod is Pending");
  });
});

describe("every message", () => {
  it("is one line of ASCII, at most 500 characters, without the driver's token", () => {
    const odd = `\u001b[31m\u2018no\u2019 ${token} ${Buffer.from(token).toString("base64")}\n${"\u2026".repeat(2_000)}`;
    const all = [
      fail(waiting("ImagePullBackOff", odd)),
      fail(waiting("CreateContainerConfigError", odd), 100),
      fail({ phase: "Failed", reason: "Evicted", message: odd }),
      fail({ phase: "Failed", containerStatuses: [container({ terminated: { exitCode: 1, message: odd } })] }),
      fail({ phase: "Failed", containerStatuses: [container({ terminated: { exitCode: 1 } })] }, 20, {
        logTail: [odd],
      }),
      fail(waiting("ContainerCreating"), 300, { events: [event("FailedMount", odd)] }),
    ];
    for (const failure of all) {
      expect(failure?.summary).toMatch(/^[\x20-\x7e]{20,500}$/);
      expect(failure?.summary).not.toContain(token);
      expect(failure?.summary).not.toContain(Buffer.from(token).toString("base64"));
    }
  });

  it("holds no part of the token, wherever the message is cut", () => {
    for (let at = 100; at < 500; at += 1) {
      const said = `${"x".repeat(at)}${token}`;
      for (const failure of [
        fail(waiting("ImagePullBackOff", said)),
        fail({ phase: "Failed", containerStatuses: [container({ terminated: { exitCode: 1 } })] }, 20, {
          logTail: [said],
        }),
        fail(unschedulable, 300, { events: [event("FailedScheduling", said)] }),
      ]) {
        expect(failure?.summary).not.toContain(token.slice(0, 5));
      }
    }
  });
});
