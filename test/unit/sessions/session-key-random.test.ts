import { describe, expect, it } from "vitest";
import { GatewayError } from "../../../src/kernel/errors.ts";
import { displayKey, resolveSessionKey, type SessionKey, sessionKeyId } from "../../../src/sessions/session-key.ts";
import { pick, seeded, text } from "../../support/seeded.ts";

const fallbackKey: SessionKey = { cluster: "local", namespace: "default-ns", app: "default-app" };
const DOMAIN = "spark.example.com";

function resolve(header: string | undefined, host = "gatehouse:15003", domain: string | undefined = DOMAIN): string {
  return displayKey(resolveSessionKey({ header, host, domain, cluster: "local", fallback: () => fallbackKey }));
}

function reasonOf(header: string | undefined, host?: string): string {
  try {
    return resolve(header, host);
  } catch (thrown) {
    if (thrown instanceof GatewayError) return thrown.reason;
    throw thrown;
  }
}

describe("random names", () => {
  const letters = ["a", "b", "0", "-", "--"];
  const label = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;

  function name(random: () => number): string {
    for (;;) {
      const candidate = text(random, letters, 1, 6);
      if (label.test(candidate)) return candidate;
    }
  }

  it("come back as they were written, and only the same name gives the same key", () => {
    const random = seeded(20260101);
    const keys = new Map<string, string>();
    for (let i = 0; i < 5000; i += 1) {
      const namespace = name(random);
      const app = random() < 0.3 ? `${name(random)}.${name(random)}` : name(random);
      const meant = JSON.stringify([namespace, app]);
      const forms = [`${namespace}/${app}`, `${namespace}%2F${app}`, `${namespace}.${app}`];
      for (const form of forms) {
        const key = resolveSessionKey({
          header: form,
          host: "",
          domain: undefined,
          cluster: "c",
          fallback: () => fallbackKey,
        });
        expect([key.namespace, key.app]).toEqual([namespace, app]);
        const id = sessionKeyId(key);
        expect(keys.get(id) ?? meant).toBe(meant);
        keys.set(id, meant);
      }
      const plain = !/--|\./.test(namespace + app) && !namespace.includes("--") && !app.includes("--");
      const host = `${app}--${namespace}.${DOMAIN}`;
      if (plain) expect(resolve(undefined, host)).toBe(`${namespace}/${app}`);
      else expect(reasonOf(undefined, host)).toBe("SESSION_KEY_INVALID");
    }
  });

  it("noise is refused or is one of the three forms of the key that it gives", () => {
    const random = seeded(7);
    const letters = ["a", "b", "ab", "1", "a-b", "a", "b", "1"];
    const separators = ["/", ".", "%2F", "/", ".", "%2F", "-"];
    const hostile = ["A", "%", "%2f", "%25", ",", " ", "\0", "é", "_", "..", "\n", "\u212a"];
    const noise = [...letters, ...separators, ...hostile];
    let accepted = 0;
    for (let i = 0; i < 20_000; i += 1) {
      const header = text(random, noise, 0, 6);
      const outcome = reasonOf(header);
      if (outcome === "SESSION_KEY_INVALID") continue;
      accepted += 1;
      expect([outcome, outcome.replace("/", "%2F"), outcome.replace("/", ".")]).toContain(header);
    }
    expect(accepted).toBeGreaterThan(100);
  });

  it("random hosts are refused, foreign, or read back to the host that they were", () => {
    const random = seeded(11);
    const noise = ["a", "b", "B", "-", "--", ".", ":", "%2F", " ", "é", "_", "1"];
    for (let i = 0; i < 20_000; i += 1) {
      const host = `${text(random, noise, 0, 6)}${pick(random, [".", ""])}${DOMAIN}`;
      const outcome = reasonOf(undefined, host);
      if (outcome === "SESSION_KEY_INVALID" || outcome === "default-ns/default-app") continue;
      const [namespace, app] = outcome.split("/");
      expect(`${app}--${namespace}.${DOMAIN}`).toBe(host.toLowerCase());
    }
  });

  it("a host of 60 KiB costs no time", () => {
    const begun = performance.now();
    for (const part of [".", "-", "a.", "a--"]) {
      const long = part.repeat(60_000 / part.length);
      for (const host of [long, `${long}x`, `${long}.${DOMAIN}`]) {
        expect(reasonOf(undefined, host)).toBe("SESSION_KEY_INVALID");
      }
    }
    expect(performance.now() - begun).toBeLessThan(500);
  });
});
