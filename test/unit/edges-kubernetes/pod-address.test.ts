import { describe, expect, it } from "vitest";
import type { Pod } from "../../../src/edges/kubernetes/objects.ts";
import { observe } from "../../../src/edges/kubernetes/observe.ts";
import { podAddress } from "../../../src/edges/kubernetes/pod-address.ts";
import { context, podWith, running } from "./observe-objects.ts";

const at = (podIP: unknown) => podAddress({ metadata: { name: "p" }, status: { podIP } as Pod["status"] & object });

describe("a pod's address", () => {
  it.each(["10.1.2.3", "100.64.0.9", "192.168.0.4", "fd12:3456::9", "2001:db8::1", "127.9.0.1"])(
    "is its IP address: %s",
    (address) => {
      expect(at(address)).toBe(address);
    },
  );

  it.each([
    undefined,
    null,
    7,
    "",
    "localhost",
    "metadata.google.internal",
    "999.1.1.1",
    "10.1.2.3:80",
    "0x7f000001",
    "0.0.0.0",
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "ff02::1",
    "fd00:ec2::254",
  ])("is none where no pod may be: %s", (address) => {
    expect(at(address)).toBeUndefined();
  });

  it("is what a driver needs before it is ready", () => {
    const seen = (podIP: string) => {
      const pod = podWith({ ...running(), podIP });
      const objects = { kind: "pod", main: pod, sealed: true, pod, firstPodUid: undefined, token: "t" } as const;
      return observe({ ...objects, events: [], answers: true, logTail: [] }, context);
    };
    expect(seen("10.1.2.3")).toMatchObject({ driver: { phase: "ready", address: { host: "10.1.2.3" } } });
    expect(seen("169.254.169.254")).toMatchObject({ driver: { phase: "starting", address: undefined } });
  });
});
