import { readdirSync, readFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DecisionRecord } from "../../src/decisions/audit.ts";
import { readRecords } from "../../src/edges/local/state-file.ts";
import type { Knock } from "../support/knock.ts";
import { beginTls, connectionHead } from "../support/protocols.ts";
import { aCall, type Headers, refusals, refusalWorld, session, sessionName } from "../support/refusal-world.ts";
import { refusedTokens } from "../support/refused-tokens.ts";

const world = refusalWorld();
const { as, bearer, toDrivers, recordsOf, noToken, expectRefused, home, elsewhere } = world;

beforeAll(world.start);
afterAll(world.stop);

const ago = (seconds: number): number => Math.floor(Date.now() / 1000) - seconds;

describe("other protocols", () => {
  test("TLS 1.2 and 1.3 with HTTP/2, nothing older", async () => {
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
    expect(await beginTls(world.stack, { ...old, ALPNProtocols: ["h2"] })).toMatch(/PROTOCOL_VERSION/);
    expect(await beginTls(world.stack, { maxVersion: "TLSv1.2", ALPNProtocols: ["h2"] })).toBe("TLSv1.2 h2");
    expect(await beginTls(world.stack, { ALPNProtocols: ["h2"] })).toBe("TLSv1.3 h2");
  });

  test("HTTP/1.1 and plain text get no answer, and nothing is decided", async () => {
    const [decided, before] = [(await world.stack.audit()).length, await toDrivers()];
    const token = await home().token("alice");
    world.sent.add(token);
    const get = `POST /spark.connect.SparkConnectService/Config HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\ncontent-type: application/grpc\r\n\r\n`;
    for (const encrypted of [true, false])
      expect(await connectionHead(world.stack, get, encrypted)).not.toMatch(/^HTTP\/1\.1 2/);
    const plain = connectHttp2(`http://127.0.0.1:${world.stack.ports.envoy}`);
    const ended = await new Promise<string>((resolve) => {
      plain.once("error", () => resolve("error"));
      plain.once("close", () => resolve("close"));
      plain.request({ ":path": "/", authorization: `Bearer ${token}` }).on("error", () => undefined);
    });
    expect(["error", "close"]).toContain(ended);
    expect([(await world.stack.audit()).length, await toDrivers()]).toEqual([decided, before]);
  });
});

describe.each(["separate", "fused"] as const)("with inspection.mode %s", (mode) => {
  beforeAll(async () => {
    if (mode === "fused") await world.fuse();
  });

  describe("who is calling", () => {
    test.each(refusedTokens(world))("$name: $reason", async (refusal) => {
      await expectRefused(refusal);
    });

    test("the same header more than once, as stock gRPC sends it", async () => {
      const [one, two] = [bearer(await home().token("alice")), bearer(await home().token("bob"))];
      const own = ["x-spark-session-id", session];
      const calls = [
        [["authorization", one["authorization"]], ["authorization", two["authorization"]], own],
        [["authorization", one["authorization"]], ["authorization", one["authorization"]], own],
        [["authentication", one["authorization"]], ["authentication", two["authorization"]], own],
        [["authorization", one["authorization"]], ["authentication", one["authorization"]], own],
        [["authorization", one["authorization"]], own, ["x-spark-session-id", "sjns-platform-dev.main"]],
      ];
      const before = await toDrivers();
      const run = await world.stack.pyspark("duplicate_metadata.py", {
        user: "alice",
        token: "none",
        env: {
          GATEHOUSE_CALLS: JSON.stringify({
            target: `localhost:${world.stack.ports.envoy}`,
            ca: world.stack.caFile,
            calls,
          }),
        },
      });
      const done = await run.done;
      const results = calls.map((_, index) => done.result(String(index)) as { code: number; decision_id: string });
      expect(results.map(({ code }) => code)).toEqual([16, 16, 16, 16, 3]);
      const reasons = await Promise.all(results.map(({ decision_id }) => recordsOf(decision_id)));
      expect(reasons.flat().map((record) => record.reason)).toEqual([
        ...Array.from({ length: 4 }, () => "CREDENTIALS_AMBIGUOUS"),
        "SESSION_KEY_INVALID",
      ]);
      expect(await toDrivers()).toBe(before);
    });

    test("alice of a second issuer is somebody else: not alice's session, not her default session", async () => {
      const other = await elsewhere().token("alice");
      const answer = await expectRefused({
        knock: async () => ({ headers: bearer(other), body: aCall }),
        code: 7,
        reason: "SESSION_FORBIDDEN",
      });
      expect(await recordsOf(answer.decisionId)).toMatchObject([
        { issuer: elsewhere().url, subject: "alice", user: "alice" },
      ]);

      // ReleaseSession starts nothing: it only says which session it would have been about.
      const path = "/spark.connect.SparkConnectService/ReleaseSession";
      const defaults = await Promise.all(
        [other, await home().token("alice")].map(async (each) => {
          world.sent.add(each);
          const { denial } = await world.door.knock({ path, headers: { authorization: `Bearer ${each}` } });
          expect(denial).toMatchObject({ code: 9, reason: "DRIVER_ABSENT" });
          return denial?.metadata["session"];
        }),
      );
      expect(defaults.every((name) => /^sjns-analytics-dev\/alice-[0-9a-f]{12}$/.test(name ?? ""))).toBe(true);
      expect(defaults[0]).not.toBe(defaults[1]);
    });
  });

  describe("whose session it is", () => {
    test("bob on alice's session, and on one that never was: the same code and text", async () => {
      const refused = { code: 7, reason: "SESSION_FORBIDDEN" } as const;
      const hers = await expectRefused({ ...refused, knock: async () => ({ headers: await as("bob"), body: aCall }) });
      const absent = await expectRefused({
        ...refused,
        knock: async () => ({ headers: await as("bob", { "x-spark-session-id": "sjns-analytics-dev.none" }) }),
      });
      const { decisionId: _, bytes: __, ...told } = hers.denial!;
      const { decisionId: ___, bytes: ____, ...toldOfNone } = absent.denial!;
      const renamed = JSON.stringify(toldOfNone).replaceAll("sjns-analytics-dev/none", sessionName);
      const id = (text: string): string => text.replace(/"decision_id":"[^"]*"/, "");
      expect(id(renamed)).toBe(id(JSON.stringify(told)));
      const records = (await recordsOf(hers.decisionId)) as DecisionRecord[];
      expect(records).toMatchObject([{ subject: "bob", session: sessionName, groups: [], team: "platform" }]);
    });

    const named = (value: string) => async (): Promise<Knock> => ({
      headers: await as("alice", { "x-spark-session-id": value }),
      body: aCall,
    });
    const atHost = (authority: string, headers: Headers) => async (): Promise<Knock> => {
      const { "x-spark-session-id": _, ...rest } = await as("alice");
      return { authority, headers: { ...rest, ...headers }, body: aCall };
    };
    const cases = [
      ...refusals(
        3,
        "SESSION_KEY_INVALID",
        ["empty", named("")],
        ["two values", named(`${session},${session}`)],
        ["upper case", named("sjns-analytics-dev.Main")],
        ["%252F", named("sjns-analytics-dev%252Fmain")],
        ["%2f", named("sjns-analytics-dev%2fmain")],
        ["two slashes", named("sjns-analytics-dev/main/x")],
        ["dots to climb", named("sjns-analytics-dev/../main")],
        ["a cluster's name", named("driver|sjns-analytics-dev/main|x")],
        ["bytes that are no text", named("sjns-analytics-dev.ma\xffn")],
        ["a host inside the domain that names nothing", atHost("main.spark.localhost", {})],
        ["a host with two names", atHost("main--a--b.spark.localhost", {})],
        ["a host with a label too many", atHost("x.main--sjns-analytics-dev.spark.localhost", {})],
      ),
      ...refusals(3, "SESSION_KEY_CONFLICT", [
        "header and host disagree",
        atHost("other--sjns-analytics-dev.spark.localhost:15003", { "x-spark-session-id": session }),
      ]),
    ];
    test.each(cases)("session name: $name", async (refusal) => {
      await expectRefused(refusal);
    });

    test.each(["main--sjns-analytics-dev.spark.localhost", "MAIN--sjns-analytics-dev.Spark.Localhost.:443"])(
      "the host name %s names the session",
      async (authority) => {
        const { "x-spark-session-id": _, ...headers } = await as("alice");
        const answer = await world.door.knock({ authority, headers, body: aCall });
        expect(answer).toMatchObject({ code: 0 });
        expect(await recordsOf(answer.decisionId)).toMatchObject([
          { kind: "decision", session: sessionName, reason: "OWNER" },
          { kind: "operation" },
        ]);
      },
    );

    test("bob does not get in by alice's host name either", async () => {
      await expectRefused({
        knock: async () => ({
          authority: "main--sjns-analytics-dev.spark.localhost",
          headers: { authorization: (await as("bob"))["authorization"]! },
        }),
        code: 7,
        reason: "SESSION_FORBIDDEN",
      });
    });
  });

  describe("what is asked for", () => {
    const at =
      (path: string, more: Partial<Knock> = {}) =>
      async (): Promise<Knock> => ({
        path,
        headers: await as("alice"),
        body: aCall,
        ...more,
      });
    const service = "/spark.connect.SparkConnectService";
    const cases = refusals(
      12,
      "METHOD_UNKNOWN",
      ["a method that is not there", at(`${service}/Configure`)],
      ["another case", at(`${service}/config`)],
      ["a slash at the end", at(`${service}/Config/`)],
      ["two slashes", at(`${service}//Config`)],
      ["two slashes in front", at(`/${service}/Config`)],
      ["a semicolon", at(`${service}/Config;x`)],
      ["an escaped slash", at(`${service}%2fConfig`)],
      ["an escaped slash with dots", at(`/x%2f..${service}/Config`)],
      ["a question", at(`${service}/Config?x=1`)],
      ["reflection", at("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")],
      ["health", at("/grpc.health.v1.Health/Check")],
      ["the root", at("/")],
      ["Envoy's own services", at("/envoy.service.auth.v3.Authorization/Check")],
    );
    test.each(cases)("$name", async (refusal) => {
      await expectRefused(refusal);
    });

    test.each([
      "/spark.connect.SparkConnectService/%2e/Config",
      "/x/%2e%2e/spark%2econnect.SparkConnectService/Config",
    ])("%s is Config for everybody: for the decision, the audit and the driver", async (path) => {
      const answer = await world.door.knock(await at(path)());
      expect(answer).toMatchObject({ code: 0 });
      expect((await recordsOf(answer.decisionId)).map((record) => "method" in record && record.method)).toEqual([
        "Config",
        "Config",
      ]);
    });

    test("a GET has no message, so inspection refuses it, under the decision's id", async () => {
      const before = await toDrivers();
      const answer = await world.door.knock(await at(`${service}/Config`, { method: "GET", body: new Uint8Array() })());
      expect(answer).toMatchObject({ code: 3, denial: { reason: "MESSAGE_MALFORMED", metadata: { user: "alice" } } });
      expect(answer.denial?.metadata["decision_id"]).toBe(answer.decisionId);
      expect(await recordsOf(answer.decisionId)).toMatchObject([
        { kind: "decision", verdict: "allow" },
        { kind: "operation", verdict: "deny", reason: "MESSAGE_MALFORMED" },
      ]);
      expect(await toDrivers()).toBe(before);
    });
  });

  describe("what a client cannot pretend", () => {
    const pretended: Headers = {
      "x-gatehouse-cluster": "driver|sjns-analytics-dev/main|00000000-0000-4000-8000-000000000000",
      "x-gatehouse-decision-id": "11111111-2222-4333-8444-555555555555",
      "x-gatehouse-user": "carol",
      "x-gatehouse-inspect": "false",
      "x-envoy-upstream-rq-timeout-ms": "1",
      "x-envoy-upstream-rq-per-try-timeout-ms": "1",
      "x-envoy-original-path": "/spark.connect.SparkConnectService/Interrupt",
      "x-envoy-decorator-operation": "x",
      "x-envoy-internal": "true",
      "x-envoy-auth-partial-body": "false",
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-proto": "http",
      "x-forwarded-host": "main--sjns-analytics-dev.spark.localhost",
      "x-forwarded-client-cert": "By=spiffe://gatehouse;URI=spiffe://envoy",
      "envoy.filters.http.ext-authz": '{"user_id":"carol@local","inspect":false}',
    };

    test("nothing of it gets bob in, nor anybody without a token", async () => {
      await expectRefused({
        knock: async () => ({ headers: await as("bob", pretended) }),
        code: 7,
        reason: "SESSION_FORBIDDEN",
      });
      await expectRefused({ knock: async () => ({ headers: pretended }), code: 16, reason: "TOKEN_MISSING" });
    });

    test("nothing of it changes a call of alice's: where it goes, how long it may take, what is audited", async () => {
      const answer = await world.door.knock({ headers: await as("alice", pretended), body: aCall });
      expect(answer).toMatchObject({ code: 0 });
      expect(answer.decisionId).not.toBe(pretended["x-gatehouse-decision-id"]);
      const [driver] = world.stack.drivers();
      expect(await recordsOf(answer.decisionId)).toMatchObject([
        { kind: "decision", verdict: "allow", reason: "OWNER", source_address: "127.0.0.1", driver_uid: driver?.uid },
        { kind: "operation", verdict: "allow", user_id: "alice@local" },
      ]);
    });

    test("bytes that are no text in some other header harm nothing", async () => {
      const answer = await world.door.knock({
        headers: await as("alice", { "x-note": "caf\xe9 \xff\xfe" }),
        body: aCall,
      });
      expect(answer).toMatchObject({ code: 0 });
      expect(await recordsOf(answer.decisionId)).toHaveLength(2);
    });

    test("a header with an underscore, or a path with a fragment, ends at the listener", async () => {
      const before = await toDrivers();
      const underscore = await world.door.knock({
        headers: await as("alice", { x_spark_session_id: session }),
        body: aCall,
      });
      expect(underscore).toMatchObject({ http: undefined, code: undefined });
      const fragment = await world.door.knock({
        path: "/spark.connect.SparkConnectService/Config#x",
        headers: await as("alice"),
        body: aCall,
      });
      expect(fragment).toMatchObject({ code: 13, decisionId: undefined });
      expect(await toDrivers()).toBe(before);
    });
  });
});

test("PySpark: one line that a person can read; a host name per session works", async () => {
  const url = async (token: string, more: { session?: string; host?: string } = {}): Promise<string> => {
    world.sent.add(token);
    return await world.stack.url({ user: "alice", token, ...more });
  };
  const bob = await home().token("bob", { team: "platform" });
  const urls = {
    expired: await url(await home().token("alice", { exp: ago(60) }), { session }),
    audience: await url(await home().token("alice", { aud: "grafana" }), { session }),
    forbidden: await url(bob, { session }),
    name: await url(await home().token("alice"), { session: "Main" }),
    host: await url(await home().token("alice"), { host: "main--sjns-analytics-dev.spark.localhost" }),
  };
  const before = await toDrivers();
  const run = await world.stack.pyspark("refused.py", {
    user: "alice",
    token: "none",
    env: { GATEHOUSE_URLS: JSON.stringify(urls) },
  });
  const done = await run.done;
  const texts = Object.fromEntries(
    ["expired", "audience", "forbidden", "name"].map((step) => [step, (done.result(step) as { text: string }).text]),
  );
  expect(texts).toEqual({
    expired: "(TOKEN_EXPIRED) the token has expired; get a new one and reconnect",
    audience: "(TOKEN_AUDIENCE_WRONG) the token is meant for another audience (aud); request one for gatehouse",
    forbidden:
      `(SESSION_FORBIDDEN) session ${sessionName} does not exist or you may not use it; ` +
      "name a session of your own, or ask its owner or an administrator",
    name:
      "(SESSION_KEY_INVALID) x-spark-session-id holds upper-case letters; " +
      "write it as <namespace>.<app> or <namespace>/<app>, in lower case",
  });
  for (const text of Object.values(texts)) expect(text).not.toContain("\n");
  expect(done.result("host")).toEqual({ rows: 3 });
  noToken(`${done.stdout}${done.stderr}`);
  expect(await toDrivers()).toBeGreaterThan(before);
});

describe("afterwards", () => {
  test("there is one driver, and it knows of nobody but alice", async () => {
    expect(world.stack.drivers().map(({ session: name }) => name)).toEqual([sessionName]);
    const log = await world.stack.driverLog(sessionName);
    expect(log).toContain("alice@local");
    expect(log).not.toMatch(/bob|elsewhere|carol/);
  });

  test("no token, of a user or of a driver, is in any log, in the audit, or in a process's arguments", async () => {
    const { records } = readRecords(join(world.stack.folder, "drivers"));
    const driverTokens = records.map(({ token }) => token);
    expect(driverTokens).toEqual([expect.stringMatching(/^[\w-]{43}$/)]);
    const dump = await fetch(`http://127.0.0.1:${world.stack.ports.admin}/config_dump`);
    const commands = readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => read(`/proc/${pid}/cmdline`));
    const texts: Record<string, string> = {
      gatehouse: await world.stack.gatehouse.log(),
      envoy: await world.stack.envoy.log(),
      audit: JSON.stringify(await world.stack.audit()),
      driver: await world.stack.driverLog(sessionName),
      commands: commands.join("\n"),
      configuration: await dump.text(),
    };
    expect(texts["commands"]).toContain(`gatehouse.uid=${records[0]?.uid}`);
    expect(texts["audit"]).toContain("TOKEN_EXPIRED");
    for (const [where, text] of Object.entries(texts)) {
      for (const token of driverTokens) expect(text.includes(token ?? "-"), where).toBe(false);
      noToken(text);
    }
  });
});

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
