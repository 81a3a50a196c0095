import { expect, it } from "vitest";
import { GatewayError } from "../../../src/kernel/errors.ts";

const frames = (error: Error): number => (error.stack ?? "").split("\n").filter((line) => line.includes(" at ")).length;

it("a refusal costs no stack; what the log is to explain has one", () => {
  expect(frames(new GatewayError("TOKEN_EXPIRED", "the token has expired"))).toBe(0);
  expect(frames(new GatewayError("INTERNAL", "internal error"))).toBeGreaterThan(0);
  expect(frames(new GatewayError("AUDIT_UNAVAILABLE", "no record", { cause: new Error("disk") }))).toBeGreaterThan(0);
  const unknown = GatewayError.from(new TypeError("who knows"));
  expect(frames(unknown)).toBeGreaterThan(0);
  expect(frames(unknown.cause as Error)).toBeGreaterThan(0);
});

it("other errors keep their stacks", () => {
  const limit = Error.stackTraceLimit;
  expect(() => GatewayError.from(new GatewayError("TOKEN_EXPIRED", "the token has expired"))).not.toThrow();
  expect(Error.stackTraceLimit).toBe(limit);
  expect(frames(new Error("other"))).toBeGreaterThan(0);
});
