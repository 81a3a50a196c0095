import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ApiError, WatchType } from "../../src/edges/kubernetes/api.ts";
import { createKubeApi } from "../../src/edges/kubernetes/kube-api.ts";
import { noMetrics } from "../../src/kernel/metrics.ts";

// What a real API server does too seldom, or never: only proxies, load balancers and broken networks do it.

type Reply = (request: IncomingMessage, response: ServerResponse) => unknown;

const path = "/api/v1/pods";
let folder: string;
let listener: Reply;
let seen: IncomingMessage[];
let server: ReturnType<typeof createServer>;
const endings: (() => void)[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "kube-transport-"));
  seen = [];
  server = createServer((request, response) => {
    seen.push(request);
    listener(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});

afterEach(async () => {
  for (const end of endings.splice(0)) end();
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
  rmSync(folder, { recursive: true });
});

function open(user: object = { token: "the-token" }, { prefix = "", requestTimeoutMs = 2_000 } = {}) {
  const { port } = server.address() as AddressInfo;
  const file = join(folder, "kubeconfig");
  const cluster = { server: `http://127.0.0.1:${port}${prefix}`, "insecure-skip-tls-verify": true };
  const content = {
    clusters: [{ name: "c", cluster }],
    users: [{ name: "u", user }],
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    "current-context": "x",
  };
  writeFileSync(file, JSON.stringify(content));
  const api = createKubeApi({ kubeconfigFile: file, requestTimeoutMs, metrics: noMetrics });
  endings.push(() => api.close());
  return api;
}

const get = { method: "GET", path } as const;
const failureOf = async (work: Promise<unknown>) =>
  await work.then(
    (answer) => expect.unreachable(`there was an answer: ${JSON.stringify(answer)}`),
    (error: unknown) => error as ApiError,
  );

async function watch(reply: Reply, signal = AbortSignal.timeout(5_000)) {
  listener = reply;
  const events: [WatchType, unknown][] = [];
  let opened = 0;
  const ended = await open()
    .watch({
      path,
      query: { resourceVersion: "5" },
      signal,
      onOpen: () => {
        opened += 1;
      },
      onEvent: (type, object) => void events.push([type, object]),
    })
    .then(
      () => undefined,
      (error: unknown) => error as ApiError,
    );
  return { events, ended, opened };
}

describe("an answer", () => {
  it.each<[string, Reply, object]>([
    ["that is no JSON", (_, r) => void r.end("<html>"), { status: 0, reason: "NoAnswer" }],
    [
      "that breaks off",
      (_, r) => void r.writeHead(200, { "content-length": 99 }).write("{", () => r.destroy()),
      { status: 0, message: "no answer from the API server (ECONNRESET)" },
    ],
    [
      "of a proxy",
      (_, r) => void r.writeHead(502).end("<html>Bad Gateway"),
      { status: 502, reason: "Status502", retryAfterMs: undefined },
    ],
    [
      "that asks to wait",
      (_, r) => void r.writeHead(429, { "retry-after": "7" }).end(),
      { status: 429, retryAfterMs: 7_000 },
    ],
    [
      "that asks to wait until a date",
      (_, r) => void r.writeHead(503, { "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" }).end(),
      { status: 503, retryAfterMs: undefined },
    ],
  ])("%s", async (_, reply, expected) => {
    listener = reply;
    const error = await failureOf(open(undefined, { requestTimeoutMs: 60_000 }).call(get));
    expect(error).toMatchObject({ name: "ApiError", ...expected });
    expect(error.message).not.toContain("the-token");
  });

  it.each<[string, Reply]>([
    ["that never comes", () => undefined],
    ["that never ends", (_, r) => void r.writeHead(200).write("{")],
  ])("%s", async (_, reply) => {
    listener = reply;
    const error = await failureOf(open(undefined, { requestTimeoutMs: 300 }).call(get));
    const message = "no answer from the API server within 300 ms";
    expect(error).toMatchObject({ name: "ApiError", status: 0, message });
    expect(error.message).not.toContain("the-token");
  });

  it("as text where a log is asked for", async () => {
    listener = (_, response) => void response.end("{ two\nlines");
    expect(await open().call({ ...get, answer: "text" })).toBe("{ two\nlines");
  });

  it("is asked for once more where a kept connection had been closed, for reads only", async () => {
    let kept = 0;
    listener = (request, response) => {
      kept += 1;
      if (kept % 2 === 0) request.socket.destroy();
      else response.end("{}");
    };
    const api = open();
    await api.call(get);
    await api.call(get);
    expect(seen).toHaveLength(3);
    expect(await failureOf(api.call({ method: "POST", path, body: {} }))).toMatchObject({ status: 0 });
    expect(seen).toHaveLength(4);
  });
});

describe("a request", () => {
  it("goes below the server's own path, with credential, body and query", async () => {
    const bodies: string[] = [];
    listener = async (request, response) => {
      let text = "";
      for await (const chunk of request) text += String(chunk);
      bodies.push(text);
      response.end("{}");
    };
    const api = open(undefined, { prefix: "/k8s/clusters/one/" });
    await api.call({ method: "PATCH", path, query: { a: "b c", n: 5, none: undefined }, body: { x: "ü" } });
    await api.call({ method: "DELETE", path, body: { y: 1 } });
    await api.call({ method: "PATCH", path, patch: "json", body: [] });
    expect(seen[0]).toMatchObject({ method: "PATCH", url: "/k8s/clusters/one/api/v1/pods?a=b+c&n=5" });
    expect(seen[0]?.headers).toMatchObject({
      authorization: "Bearer the-token",
      "content-type": "application/merge-patch+json",
      "content-length": "10",
      accept: "application/json",
    });
    expect(seen[2]?.headers["content-type"]).toBe("application/json-patch+json");
    expect(bodies).toEqual(['{"x":"ü"}', '{"y":1}', "[]"]);
  });
});

describe("credentials", () => {
  it("of a pod are missing where we run in none", async () => {
    const api = createKubeApi({ requestTimeoutMs: 1_000, metrics: noMetrics });
    endings.push(() => api.close());
    expect(await failureOf(api.call(get))).toMatchObject({
      status: 0,
      message: "the Kubernetes API's address or credentials cannot be read",
    });
  });

  it("that are refused are read again, and may end in a newline", async () => {
    const tokenFile = join(folder, "token");
    writeFileSync(tokenFile, "old\n");
    const api = open({ "auth-provider": { name: "tokenFile", config: { tokenFile } } });
    listener = (request, response) =>
      void response.writeHead(request.headers.authorization === "Bearer new" ? 200 : 401).end("{}");
    expect(await failureOf(api.call(get))).toMatchObject({ status: 401 });
    writeFileSync(tokenFile, "new\n");
    expect(await api.call(get)).toEqual({});
  });

  const exec = (script: string) => ({
    exec: { apiVersion: "client.authentication.k8s.io/v1", command: process.execPath, args: ["-e", script] },
  });

  it("come from a command, one run for many requests", async () => {
    const counter = join(folder, "runs");
    const credential = {
      kind: "ExecCredential",
      status: { token: "made", expirationTimestamp: "2099-01-01T00:00:00Z" },
    };
    const api = open(
      exec(
        `require("fs").appendFileSync(${JSON.stringify(counter)}, "x"); console.log(${JSON.stringify(JSON.stringify(credential))})`,
      ),
    );
    listener = (_, response) => void response.end("{}");
    await Promise.all(Array.from({ length: 5 }, async () => await api.call(get)));
    expect(seen.map(({ headers }) => headers.authorization)).toEqual(Array.from({ length: 5 }, () => "Bearer made"));
    expect(readFileSync(counter, "utf8")).toBe("x");
  });

  it.each(['console.log("secret-token is not JSON")', 'console.error("secret-token"); process.exit(1)'])(
    "of a broken command are not told: %s",
    async (script) => {
      const error = await failureOf(open(exec(script)).call(get));
      expect(error).toMatchObject({ status: 0, message: "the Kubernetes API's address or credentials cannot be read" });
      expect(inspect(error, { depth: 10 })).not.toContain("secret-token");
    },
  );
});

describe("a watch", () => {
  const line = (type: string, name: string) => `${JSON.stringify({ type, object: { name } })}\n`;

  it("is told of when it is accepted, before anything happens", async () => {
    const stop = new AbortController();
    const watching = watch((_, response) => {
      response.writeHead(200).flushHeaders();
      setTimeout(() => stop.abort(), 50);
    }, stop.signal);
    expect(await watching).toMatchObject({ opened: 1, events: [], ended: { status: 0 } });
    expect(seen[0]?.url).toBe("/api/v1/pods?resourceVersion=5&watch=true");
  });

  it("outlives the time limit of requests", async () => {
    listener = (_, response) => {
      response.writeHead(200).flushHeaders();
      setTimeout(() => response.end(line("ADDED", "a")), 600);
    };
    const events: WatchType[] = [];
    const api = open(undefined, { requestTimeoutMs: 200 });
    await api.watch({ path, query: {}, signal: AbortSignal.timeout(5_000), onEvent: (type) => void events.push(type) });
    expect(events).toEqual(["ADDED"]);
  });

  it("puts events together over chunks, and ends in peace", async () => {
    const bytes = Buffer.from(line("ADDED", "ä€😀") + line("DELETED", "b"));
    const { events, ended } = await watch(async (_, response) => {
      for (const byte of bytes) {
        response.write(Buffer.from([byte]));
        await new Promise(setImmediate);
      }
      response.end();
    });
    expect(ended).toBeUndefined();
    expect(events).toEqual([
      ["ADDED", { name: "ä€😀" }],
      ["DELETED", { name: "b" }],
    ]);
  });

  it("that breaks off has no answer, after all that came whole", async () => {
    const { events, ended } = await watch((_, response) => {
      response.write(`${line("ADDED", "a")}{"type":"ADD`, () => setTimeout(() => response.destroy(), 20));
    });
    expect(events).toHaveLength(1);
    expect(ended).toMatchObject({ status: 0, reason: "NoAnswer" });
  });

  it("that is refused says why", async () => {
    const body = JSON.stringify({ kind: "Status", code: 410, reason: "Expired", message: "too old" });
    const { ended, opened } = await watch((_, response) => void response.writeHead(410).end(body));
    expect(ended).toMatchObject({ status: 410, reason: "Expired", message: "too old" });
    expect(opened).toBe(0);
  });

  it("of a line without end is given up", async () => {
    const { ended } = await watch((_, response) => {
      const block = "x".repeat(1024 * 1024);
      const more = () => void (response.destroyed || response.write(block, more));
      more();
    });
    expect(ended).toMatchObject({ status: 0, message: expect.stringContaining("longer than") as string });
  });
});
