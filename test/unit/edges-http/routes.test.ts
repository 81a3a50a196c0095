import { expect, it } from "vitest";
import { createMetrics } from "../../../src/edges/http/metrics.ts";
import { openApi, routes } from "../../../src/edges/http/routes.ts";
import type { Metrics } from "../../../src/kernel/metrics.ts";

interface Operation {
  readonly summary: string;
  readonly parameters: readonly { readonly name: string; readonly in: string }[];
  readonly responses: Readonly<Record<string, object>>;
  readonly security?: readonly object[];
}

const described = openApi("1.2.3") as { info: { version: string }; paths: Record<string, Record<string, Operation>> };

it("describes every route, with its parameters, answers and credentials", () => {
  expect(described.info.version).toBe("1.2.3");
  for (const route of Object.values(routes)) {
    const operation = described.paths[route.path]?.[route.method.toLowerCase()];
    expect(operation?.summary).toBe(route.summary);
    expect(Object.keys(operation?.responses ?? {})).toEqual(Object.keys(route.answers));
    expect(operation?.security !== undefined).toBe(route.secured);
    const names = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    expect(operation?.parameters.map((parameter) => parameter.name)).toEqual(names);
  }
});

it("needs credentials for everything below /v1/ and for nothing else", () => {
  for (const route of Object.values(routes)) expect(route.secured).toBe(route.path.startsWith("/v1/"));
});

it("measures a metric only as what it is", () => {
  const metrics: Metrics = createMetrics();
  expect(() => metrics.set("gatehouse_decisions_total", { verdict: "allow", reason: "OWNER" }, 1)).toThrow(TypeError);
  expect(() => metrics.count("gatehouse_holds", {})).toThrow(TypeError);
});
