import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { NotLeader, outcomeOf, parseOutcome, parseStart, settle } from "../../../src/edges/kubernetes/peer-messages.ts";
import { isGenuine, isGenuineAnswer, signAnswer, signRequest } from "../../../src/edges/kubernetes/peer-signatures.ts";
import { GatewayError } from "../../../src/kernel/errors.ts";

const key = randomBytes(32);
const other = randomBytes(32);
const now = 1_700_000_000_000;
const request = { timestamp: String(now), nonce: "nonce", body: Buffer.from("{}") };
const wire = (value: unknown) => Buffer.from(JSON.stringify(value));

const thrown = (act: () => void): unknown => {
  try {
    act();
  } catch (error) {
    return error;
  }
  return undefined;
};

describe("a peer's request", () => {
  const mac = signRequest([key, other], request);

  it("is genuine within half a minute, by any of the keys", () => {
    expect(isGenuine([key], request, mac, now)).toBe(true);
    expect(isGenuine([other, key], request, mac, now + 30_000)).toBe(true);
    expect(isGenuine([key], request, mac, now - 30_000)).toBe(true);
    expect(isGenuine([key], request, mac, now + 30_001)).toBe(false);
    expect(isGenuine([key], request, mac, now - 30_001)).toBe(false);
    expect(isGenuine([other], request, mac, now)).toBe(false);
  });

  it.each([
    { timestamp: String(now + 1) },
    { timestamp: "" },
    { timestamp: "NaN" },
    { timestamp: `${now}.0` },
    { nonce: "other" },
    { body: Buffer.from("{ }") },
  ])("is not where anything differs: %j", (change) => {
    expect(isGenuine([key], { ...request, ...change }, mac, now)).toBe(false);
  });
});

describe("a peer's answer", () => {
  const body = wire({ kind: "started" });

  it("belongs to one request, and is no request", () => {
    const mac = signAnswer([key], "nonce", body);
    expect(isGenuineAnswer([key], "nonce", body, mac)).toBe(true);
    expect(isGenuineAnswer([key], "other", body, mac)).toBe(false);
    expect(isGenuineAnswer([key], "nonce", wire({ kind: "not_leader" }), mac)).toBe(false);
    expect(isGenuineAnswer([key], "nonce", request.body, signRequest([key], request))).toBe(false);
  });
});

describe("an outcome", () => {
  it("carries the leader's error as it is", () => {
    const error = new GatewayError("DRIVER_LIMIT", "three drivers are running", {
      retryAfterMs: 5_000,
      fields: { limit: "3" },
      cause: new Error("not for others"),
    });
    const told = outcomeOf(error);
    expect(JSON.stringify(told)).not.toContain("not for others");
    const arrived = parseOutcome(wire(told));
    const again = thrown(() => settle(arrived!));
    expect(again).toBeInstanceOf(GatewayError);
    expect(again).toMatchObject({
      reason: "DRIVER_LIMIT",
      message: "three drivers are running",
      retryAfterMs: 5_000,
      fields: { limit: "3" },
    });
  });

  it.each([new Error("secret detail"), "text", undefined])(
    "tells of what is unknown only to try again: %s",
    (cause) => {
      const told = outcomeOf(cause);
      expect(told).toMatchObject({ kind: "refused", reason: "DRIVER_STARTING", retryAfterMs: 1_000 });
      expect(JSON.stringify(told)).not.toContain("secret");
    },
  );

  it("of a later version with a reason that we do not know is one to try again", () => {
    const told = { kind: "refused", reason: "toString", message: "?", fields: {} };
    expect(thrown(() => settle(parseOutcome(wire(told))!))).toMatchObject({
      reason: "DRIVER_STARTING",
      retryAfterMs: 1_000,
    });
  });

  it("says who does not lead", () => {
    expect(outcomeOf(new NotLeader("no"))).toEqual({ kind: "not_leader" });
    expect(thrown(() => settle({ kind: "not_leader" }))).toBeInstanceOf(NotLeader);
    expect(thrown(() => settle({ kind: "started" }))).toBeUndefined();
  });

  it.each([Buffer.from("<html>"), wire(null), wire({}), wire({ kind: "refused" })])(
    "is not read from anything else: %s",
    (body) => {
      expect(parseOutcome(body)).toBeUndefined();
    },
  );
});

describe("an order", () => {
  const order = {
    key: { cluster: "c", namespace: "n", app: "a" },
    owner: "alice@local",
    ownerUser: "alice",
    sharedWithGroups: ["team"],
    profile: "default",
  };

  it("arrives as it was sent; what a later version adds is left out", () => {
    expect(parseStart(wire(order))).toEqual(order);
    expect(parseStart(wire({ ...order, later: 1 }))).toEqual(order);
  });

  it.each([{ key: undefined }, { key: { cluster: "c" } }, { owner: 5 }, { sharedWithGroups: "team" }])(
    "is not taken where something is missing: %j",
    (change) => {
      expect(parseStart(wire({ ...order, ...change }))).toBeUndefined();
    },
  );
});
