import { mkdtempSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { Agent, createServer, request } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ensureCertificates } from "../../../deploy/local/certificates.ts";
import { writePrivateFile } from "../../../deploy/local/files.ts";
import type { KubeCluster } from "./cluster.ts";

/** A request as the API server would get it. */
export interface SeenRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
}

export interface Refusal {
  readonly status: number;
  readonly reason?: string;
  readonly retryAfterSeconds?: number;
}

/** Stands between one user and the API server, and does what networks, gateways and busy servers do. */
export interface ApiProxy {
  /** Path of a kubeconfig file in which a user of that token reaches the API server through here. */
  kubeconfigFor(token: string): string;
  /** What is answered instead of the API server; undefined: the request goes through. */
  refuse: (request: SeenRequest) => Refusal | undefined;
  /** How long a request waits before it goes on. ms */
  delayMs: number;
  /** Requests so far. */
  readonly seen: readonly SeenRequest[];
  /** Ends the watches that are open, in mid-stream. */
  breakWatches(): void;
  /** Each open watch is told that its version is too old. @returns how many there were */
  expireWatches(): number;
  /** Watch events whose JSON holds that text stay here, in order, until the returned function is called. */
  holdBack(word: string): () => void;
  close(): Promise<void>;
}

interface OpenWatch {
  readonly answer: ServerResponse;
  readonly held: string[];
  rest: string;
}

export async function startApiProxy(cluster: KubeCluster): Promise<ApiProxy> {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-api-proxy-"));
  const files = await ensureCertificates(folder);
  const agent = new Agent({ keepAlive: true, ca: cluster.caPem });
  const watches = new Set<OpenWatch>();
  const seen: SeenRequest[] = [];
  const words = new Set<string>();
  let users = 0;
  const isHeld = (line: string) => [...words].some((word) => line.includes(word));
  const serve = async (incoming: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const url = new URL(incoming.url ?? "/", cluster.url);
    const about = { method: incoming.method ?? "GET", path: url.pathname, query: url.searchParams };
    seen.push(about);
    if (proxy.delayMs > 0) await delay(proxy.delayMs);
    const refused = proxy.refuse(about);
    if (refused !== undefined) return refuseWith(incoming, answer, refused);
    const { host: _, ...headers } = incoming.headers;
    const outgoing = request(url, { method: about.method, headers, agent });
    outgoing.once("error", () => answer.destroy());
    answer.once("close", () => outgoing.destroy());
    outgoing.once("response", (from) => {
      from.once("error", () => answer.destroy());
      answer.writeHead(from.statusCode ?? 502, from.headers);
      if (url.searchParams.get("watch") === "true" && from.statusCode === 200) forward(from, answer);
      else from.pipe(answer);
    });
    incoming.pipe(outgoing);
  };
  /** Line by line, so that single events can be held back. */
  const forward = (from: IncomingMessage, answer: ServerResponse): void => {
    const watch: OpenWatch = { answer, held: [], rest: "" };
    watches.add(watch);
    answer.flushHeaders();
    answer.once("close", () => watches.delete(watch));
    from.setEncoding("utf8").on("data", (text: string) => {
      const lines = `${watch.rest}${text}`.split("\n");
      watch.rest = lines.pop() ?? "";
      for (const line of lines) {
        if (isHeld(line)) watch.held.push(line);
        else answer.write(`${line}\n`);
      }
    });
    from.once("end", () => answer.end());
  };
  const server = createServer(
    { cert: readFileSync(files.certFile), key: readFileSync(files.keyFile) },
    (incoming, answer) => void serve(incoming, answer),
  );
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const proxy: ApiProxy = {
    kubeconfigFor(token) {
      users += 1;
      const path = join(folder, `${users}.kubeconfig`);
      writePrivateFile(path, kubeconfig(address, readFileSync(files.caFile), token));
      return path;
    },
    refuse: () => undefined,
    delayMs: 0,
    seen,
    breakWatches() {
      for (const { answer } of watches) answer.destroy();
    },
    expireWatches() {
      const object = { kind: "Status", apiVersion: "v1", status: "Failure", reason: "Expired", code: 410 };
      const error = { type: "ERROR", object: { ...object, message: "too old resource version: 1 (2)" } };
      for (const { answer } of watches) answer.end(`${JSON.stringify(error)}\n`);
      return watches.size;
    },
    holdBack(word) {
      words.add(word);
      return () => {
        words.delete(word);
        for (const { answer, held } of watches) for (const line of held.splice(0)) answer.write(`${line}\n`);
      };
    },
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => void server.close(() => resolve()));
      agent.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return proxy;
}

/** As the API server and the gateways before it refuse: with a Status, and maybe with a time to wait. */
function refuseWith(incoming: IncomingMessage, answer: ServerResponse, refused: Refusal): void {
  const { status, reason = `Status${status}`, retryAfterSeconds } = refused;
  incoming.resume();
  const wait = retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) };
  answer.writeHead(status, { "content-type": "application/json", ...wait });
  const said = { kind: "Status", apiVersion: "v1", status: "Failure", code: status, reason };
  answer.end(JSON.stringify({ ...said, message: `the test refuses with ${status}` }));
}

function kubeconfig(server: string, ca: Buffer, token: string): string {
  const content = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: { server, "certificate-authority-data": ca.toString("base64") } }],
    users: [{ name: "test", user: { token } }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test", namespace: "default" } }],
    "current-context": "test",
  };
  return JSON.stringify(content);
}
