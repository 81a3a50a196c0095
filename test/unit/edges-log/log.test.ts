import { expect, it } from "vitest";
import { createLog } from "../../../src/edges/log/log.ts";
import { Secret } from "../../../src/kernel/secret.ts";

const token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.c2ln";

function collect(level: "debug" | "info" | "warn" | "error" = "debug") {
  const lines: string[] = [];
  const log = createLog({ level, destination: { write: (line) => void lines.push(line) } });
  return { log, lines, parsed: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

it("writes one JSON object a line, with level, time and message", () => {
  const { log, parsed } = collect();
  log.child({ part: "xds" }).warn("refused\nagain", { type: "cds" });
  expect(parsed()).toEqual([
    { level: "warn", time: expect.stringMatching(/^\d{4}-.*Z$/), part: "xds", type: "cds", message: "refused\nagain" },
  ]);
});

it("leaves out what is less severe than its level", () => {
  const { log, lines } = collect("warn");
  log.debug("a");
  log.info("b");
  log.error("c");
  expect(lines).toHaveLength(1);
});

it("keeps credentials out, whatever they are called and wherever they stand", () => {
  const { log, lines } = collect();
  log.child({ token: "s3cret" }).info(`got ${token}`, {
    headers: { authorization: "Bearer s3cret", authentication: "s3cret" },
    deep: { er: { password: "s3cret" } },
    secret: new Secret("s3cret"),
    value: new Secret("s3cret"),
    error: new Error(`no: ${token}`, { cause: new Error(token) }),
  });
  expect(lines.join("")).not.toContain("s3cret");
  expect(lines.join("")).not.toContain(token);
});

it("keeps an error's stack and cause", () => {
  const { log, lines } = collect();
  log.error("failed", { error: new Error("outer", { cause: new Error("inner") }) });
  expect(lines.join("")).toMatch(/outer.*inner/);
});
