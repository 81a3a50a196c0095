import { describe, expect, it } from "vitest";
import type { DriverKind } from "../../../src/edges/kubernetes/kinds.ts";
import { driverContainer, podIncarnation, podOf } from "../../../src/edges/kubernetes/pod-of.ts";
import { container, name, podWith } from "./observe-objects.ts";

const owner = (uid: string) => ({ apiVersion: "v1", kind: "X", name, uid });
const labels = { "spark-role": "driver", "spark.operator/spark-app-name": name };
const pod = (its: string, more: object = {}) =>
  podWith(undefined, {
    metadata: { name: its, uid: `pod-${its}`, ownerReferences: [owner("uid-1")], labels, ...more },
  });
const main = (status: object | undefined) => ({ ...podWith(undefined), ...(status === undefined ? {} : { status }) });
const found = (kind: DriverKind, status: object | undefined, ...pods: ReturnType<typeof pod>[]) =>
  podOf(kind, main(status), pods)?.metadata.name;

describe("the pod of a main object", () => {
  it("is the object itself where it is a pod", () => {
    const plain = podWith({ phase: "Running" });
    expect(podOf("pod", plain, [])).toBe(plain);
  });

  it.each([
    ["spark-application", { driverInfo: { podName: "x-driver" } }],
    ["spark-connect", { server: { podName: "x-driver" } }],
  ] as const)("is what the status of a %s names", (kind, status) => {
    expect(found(kind, status, pod("y-driver"), pod("x-driver"))).toBe("x-driver");
    expect(found(kind, status, pod("y-driver"))).toBeUndefined();
    for (const other of [undefined, {}, { driverInfo: null, server: 1 }, { driverInfo: {}, server: {} }]) {
      expect(found(kind, other, pod("x-driver"))).toBeUndefined();
    }
  });

  it("is the latest attempt of an Apache SparkApplication", () => {
    const attempts = [pod(`${name}-0-driver`), pod(`${name}-10-driver`), pod(`${name}-9-driver`)];
    expect(found("apache-spark-application", undefined, ...attempts)).toBe(`${name}-10-driver`);
  });

  it("is told by labels where an Apache pod has another name, and is never an executor", () => {
    const kind = "apache-spark-application";
    expect(found(kind, undefined, pod("odd"))).toBe("odd");
    expect(found(kind, undefined, pod("odd"), pod(`${name}-0-driver`))).toBe(`${name}-0-driver`);
    expect(found(kind, undefined, pod("odd", { labels: { "spark-role": "driver" } }))).toBeUndefined();
    const executor = { labels: { ...labels, "spark-role": "executor" } };
    expect(found(kind, undefined, pod("odd", executor), pod(`${name}-0-driver`, executor))).toBeUndefined();
  });

  it("is never one that the main object does not own, or of another namespace", () => {
    const named = { driverInfo: { podName: "x" } };
    expect(found("spark-application", named, pod("x", { ownerReferences: [owner("uid-0")] }))).toBeUndefined();
    expect(found("spark-application", named, pod("x", { ownerReferences: undefined }))).toBeUndefined();
    expect(found("spark-application", named, pod("x", { namespace: "other" }))).toBeUndefined();
    const strange = pod(`${name}-1-driver`, { ownerReferences: [owner("uid-0")] });
    expect(found("apache-spark-application", undefined, strange)).toBeUndefined();
  });
});

describe("the driver's container", () => {
  const proxy = { ...container({ running: {} }, 3), name: "istio-proxy" };

  it("is found among sidecars", () => {
    const driver = container({ running: {} }, 1);
    const of = (...containerStatuses: (typeof driver)[]) => driverContainer(podWith({ containerStatuses }))?.name;
    expect(of(proxy, driver)).toBe("spark-kubernetes-driver");
    expect(of(proxy, { ...driver, name: "spark-driver" })).toBe("spark-driver");
    expect(of(proxy)).toBe("istio-proxy");
    expect(of()).toBeUndefined();
    const own = podWith({ containerStatuses: [proxy, { ...driver, name: "mine" }] });
    expect(driverContainer({ ...own, spec: { containers: [{ name: "mine" }, { name: "istio-proxy" }] } })?.name).toBe(
      "mine",
    );
  });

  it("makes a new incarnation of its pod with each restart, a sidecar's does not", () => {
    const of = (restarts: number) =>
      podIncarnation(podWith({ containerStatuses: [proxy, container({ running: {} }, restarts)] }));
    expect([of(0), of(1), of(2)]).toEqual(["uid-1", "uid-1-r1", "uid-1-r2"]);
    expect(podIncarnation(podWith(undefined))).toBe("uid-1");
  });
});
