import { describe, expect, it } from "vitest";
import { measuredAs, readLines, statusError } from "../../../src/edges/kubernetes/kube-requests.ts";

async function* chunks(bytes: Buffer, size: number) {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size);
}

const read = async (text: string, size: number, limit?: number) => {
  const lines: unknown[] = [];
  await readLines(chunks(Buffer.from(text), size), (line) => lines.push(line), limit);
  return lines;
};

describe("the lines of a watch", () => {
  const events = [
    { type: "ADDED", object: { name: "ä€😀" } },
    { type: "BOOKMARK", object: { n: [1, "\n"] } },
  ];
  const text = events.map((event) => `${JSON.stringify(event)}\n`).join("");

  it.each([1, 2, 3, 5, 7, 64, 4_096])("are whole in chunks of %d bytes", async (size) => {
    expect(await read(text, size)).toEqual(events);
  });

  it("may be empty, and end with a carriage return", async () => {
    expect(await read('\n\r\n{"a":1}\r\n\n', 3)).toEqual([{ a: 1 }]);
  });

  it("leave out what was cut off", async () => {
    expect(await read(`${text}{"type":"ADD`, 10)).toEqual(events);
  });

  it("are refused above the limit, and where they are no JSON", async () => {
    await expect(read(`${text}"${"x".repeat(2_000)}"\n`, 100, 1_000)).rejects.toMatchObject({ status: 0 });
    await expect(read(`${text}<html>\n`, 100)).rejects.toMatchObject({
      status: 0,
      message: "a watch event is not JSON",
    });
  });
});

describe("a Status", () => {
  it("becomes an error with Kubernetes' own word and its wish to wait", () => {
    const status = {
      kind: "Status",
      code: 429,
      reason: "TooManyRequests",
      message: "slow",
      details: { retryAfterSeconds: 3 },
    };
    expect(statusError(status)).toMatchObject({
      status: 429,
      reason: "TooManyRequests",
      message: "slow",
      retryAfterMs: 3_000,
    });
    expect(statusError(status, 503, 1_000)).toMatchObject({ status: 503, retryAfterMs: 1_000 });
  });

  it.each([undefined, null, "text", 5, {}, { code: "x", reason: 5, message: {}, details: [] }])(
    "may be anything: %j",
    (body) => {
      expect(statusError(body, 502)).toMatchObject({
        status: 502,
        reason: "Status502",
        message: "the API server answered with status 502",
        retryAfterMs: undefined,
      });
    },
  );

  it("does not fill the log", () => {
    expect(statusError({ message: "x".repeat(5_000) }, 422).message.length).toBeLessThan(1_100);
  });
});

describe("requests are counted", () => {
  it.each([
    ["GET", "/api/v1/pods", "list", "pods"],
    ["GET", "/api/v1/namespaces/ns/pods", "list", "pods"],
    ["GET", "/api/v1/namespaces/ns/pods/p", "get", "pods"],
    ["GET", "/api/v1/namespaces/ns/pods/p/log", "get", "pods/log"],
    ["PATCH", "/api/v1/namespaces/ns/pods/p/status", "patch", "pods/status"],
    ["GET", "/api/v1/namespaces", "list", "namespaces"],
    ["GET", "/api/v1/namespaces/ns", "get", "namespaces"],
    ["POST", "/apis/coordination.k8s.io/v1/namespaces/ns/leases", "create", "leases"],
    ["PUT", "/apis/coordination.k8s.io/v1/namespaces/ns/leases/l", "update", "leases"],
    ["DELETE", "/apis/spark.apache.org/v1/namespaces/ns/sparkapplications/a", "delete", "sparkapplications"],
    ["GET", "/apis/spark.apache.org/v1/sparkapplications", "list", "sparkapplications"],
    ["GET", "/readyz", "get", "other"],
  ])("%s %s as %s %s", (method, path, verb, resource) => {
    expect(measuredAs(method, path)).toEqual({ verb, resource });
  });
});
