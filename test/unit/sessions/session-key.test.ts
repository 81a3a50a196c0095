import { describe, expect, it } from "vitest";
import { GatewayError } from "../../../src/kernel/errors.ts";
import { displayKey, resolveSessionKey, type SessionKey } from "../../../src/sessions/session-key.ts";

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

describe("the header", () => {
  const accepted: readonly [string, string][] = [
    ["ns/app", "ns/app"],
    ["ns%2Fapp", "ns/app"],
    ["ns.app", "ns/app"],
    ["sjns-data-dev/etl-1", "sjns-data-dev/etl-1"],
    ["ns.app.v2", "ns/app.v2"],
    ["ns/app.v2", "ns/app.v2"],
    ["ns%2Fapp.v2", "ns/app.v2"],
    ["a--b/c--d", "a--b/c--d"],
    ["1/2", "1/2"],
    [`${"n".repeat(63)}/${"a".repeat(63)}`, `${"n".repeat(63)}/${"a".repeat(63)}`],
  ];
  it.each(accepted)("%s names %s", (header, key) => {
    expect(resolve(header)).toBe(key);
  });

  const refused = [
    "",
    " ",
    ",",
    "/",
    ".",
    "%2F",
    "ns",
    "ns/",
    "/app",
    "ns.",
    ".app",
    "%2Fapp",
    "ns%2F",
    "ns/app,ns/app",
    "ns/app,",
    "a,b",
    "ns/app, ns/other",
    "NS/app",
    "ns/App",
    "ns.aPp",
    "nS%2Fapp",
    "NS%2FAPP",
    "ns%2fapp",
    "ns%252Fapp",
    "ns%2Fapp%2Fx",
    "ns%2F%2Fapp",
    "ns%2Eapp",
    "ns/app%20",
    "ns/a%2Fb",
    "%6es/app",
    "ns//app",
    "ns/app/x",
    "a.b/c",
    "../app",
    "ns/..",
    "ns/../x",
    "ns/.app",
    "ns/app.",
    "ns/a..b",
    "ns..app",
    " ns/app",
    "ns/app ",
    "ns /app",
    "ns/a pp",
    "ns/app\n",
    "ns/app\r\nx: y",
    "ns\t/app",
    "ns/app\0",
    "\0",
    "-ns/app",
    "ns-/app",
    "ns/-app",
    "ns/app-",
    "ns/a.-b",
    "n_s/app",
    "ns/a_b",
    "ns|x/app",
    "ns/app|x",
    "ns@x/app",
    "nś/app",
    "ns/аpp",
    "ns/app\u200b",
    "ns\u2215app",
    "ns\uff0fapp",
    "n\u017f/app",
    "\u212a/app",
    `${"n".repeat(64)}/app`,
    `ns/${"a".repeat(64)}`,
    `ns/${"a.".repeat(127)}aa`,
    "n".repeat(100_000),
    "ns:app",
    "ns\\app",
    "ns/app?x",
    "ns/app#x",
    "ns/app;x",
    "ns/{app}",
    "ns/*",
    "*/*",
  ];
  it.each(refused.map((header) => [header.slice(0, 60), header]))("%j is refused", (_, header) => {
    expect(reasonOf(header)).toBe("SESSION_KEY_INVALID");
  });
});

describe("the host", () => {
  const accepted: readonly [string, string][] = [
    ["app--ns.spark.example.com", "ns/app"],
    ["app--ns.spark.example.com:15003", "ns/app"],
    ["app--ns.spark.example.com.", "ns/app"],
    ["App--NS.Spark.Example.COM.:15003", "ns/app"],
    ["etl-1--sjns-data-dev.spark.example.com", "sjns-data-dev/etl-1"],
  ];
  it.each(accepted)("%s names %s", (host, key) => {
    expect(resolve(undefined, host)).toBe(key);
  });

  const none = [
    "",
    "localhost",
    "localhost:15003",
    "127.0.0.1:15003",
    "[::1]:15003",
    "gatehouse.svc",
    "example.com",
    "spark.example.com",
    "spark.example.com:15003",
    "SPARK.example.com.",
    "app--ns.other.example.com",
    "app--ns.spark.example.com.evil.com",
    "app--nsspark.example.com",
    "app--ns.spar\u212a.example.com",
  ];
  it.each(none)("%j names no session", (host) => {
    expect(resolve(undefined, host)).toBe("default-ns/default-app");
  });

  const refused = [
    "app",
    "app-ns",
    "--ns",
    "app--",
    "--",
    "a---b",
    "a--b--c",
    "a----b",
    "-a--b",
    "a--b-",
    "x.app--ns",
    "app--ns.",
    "app.x--ns",
    "a_b--ns",
    "app--n s",
    "app--ns%2f",
    "app\0--ns",
    "\u212a--ns",
    "app,app--ns",
    "..",
    "*",
    `${"a".repeat(40)}--${"b".repeat(40)}`,
  ].map((label) => `${label}.${DOMAIN}`);
  const tails = ["app--ns.spark.example.com..", "app--ns.spark.example.com:", "app--ns.spark.example.com:1x"];
  it.each([...refused, ...tails, "app--ns.spark.example.com:1:2", ".spark.example.com"])("%j is refused", (host) => {
    expect(reasonOf(undefined, host)).toBe("SESSION_KEY_INVALID");
  });

  it("names nothing where no domain is configured", () => {
    const source = { header: undefined, host: `app--ns.${DOMAIN}`, domain: undefined, cluster: "local" };
    expect(resolveSessionKey({ ...source, fallback: () => fallbackKey })).toBe(fallbackKey);
  });
});

describe("header and host together", () => {
  it("must agree", () => {
    const host = `app--ns.${DOMAIN}`;
    expect(reasonOf("ns/app", host)).toBe("ns/app");
    expect(reasonOf("ns.app", host)).toBe("ns/app");
    expect(reasonOf("ns/other", host)).toBe("SESSION_KEY_CONFLICT");
    expect(reasonOf("other/app", host)).toBe("SESSION_KEY_CONFLICT");
    expect(reasonOf("app/ns", host)).toBe("SESSION_KEY_CONFLICT");
    expect(reasonOf("ns/app", `bad.${DOMAIN}`)).toBe("SESSION_KEY_INVALID");
    expect(reasonOf("", host)).toBe("SESSION_KEY_INVALID");
  });

  it("a fallback that throws is heard", () => {
    const fallback = (): never => {
      throw new GatewayError("SESSION_KEY_NEEDED", "no team");
    };
    const source = { header: undefined, host: "x", domain: DOMAIN, cluster: "local", fallback };
    expect(() => resolveSessionKey(source)).toThrowError("no team");
  });
});
