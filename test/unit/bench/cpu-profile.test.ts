import { expect, test } from "vitest";
import { fileOf, summarize } from "../../bench/cpu-profile.ts";

const root = "/checkout/";
const frame = (functionName: string, url = "") => ({ functionName, url, lineNumber: 6 });
const profile = {
  nodes: [
    { id: 1, callFrame: frame("(root)"), children: [2, 3, 4, 7] },
    { id: 2, callFrame: frame("(idle)") },
    { id: 3, callFrame: frame("(garbage collector)") },
    { id: 4, callFrame: frame("verify", `file://${root}dist/edges/oidc/token-verifier.js`), children: [5] },
    { id: 5, callFrame: frame("digest", "node:internal/crypto/hash"), children: [6] },
    { id: 6, callFrame: frame("CheckRequest$decode") },
    { id: 7, callFrame: frame("", `file://${root}node_modules/@grpc/grpc-js/build/src/call.js`) },
  ],
  startTime: 1000,
  // The first is before the window.
  samples: [4, 2, 3, 4, 5, 6, 7],
  timeDeltas: [0, 100, 500, 100, 100, 100, 200, 0],
};

test("time counts for the part that asked for it, within the window, and idle time not at all", () => {
  const { busy, parts, functions } = summarize(profile, { from: 1050, to: 10_000 }, root);
  expect(parts.map(({ name, share }) => [name, share])).toEqual([
    ["token", 2 / 5],
    ["decode", 2 / 5],
    ["garbage collection", 1 / 5],
  ]);
  expect(busy).toBe(0.5);
  expect(functions.find(({ name }) => name === "digest")).toMatchObject({ part: "token" });
});

test("what is decoded of the access log counts as activity's", () => {
  const nodes = [
    { id: 1, callFrame: frame("StreamAccessLogsMessage$decode"), children: [2] },
    { id: 2, callFrame: frame("Struct$decode") },
  ];
  const { parts } = summarize(
    { ...profile, nodes, samples: [1, 2, 2], timeDeltas: [100, 100, 100] },
    { from: 0, to: 1e6 },
    root,
  );
  expect(parts).toEqual([{ name: "activity", share: 1 }]);
});

test("files are named as people know them", () => {
  expect(fileOf(`file://${root}dist/flows/authorize.js`, root)).toBe("src/flows/authorize.ts");
  expect(fileOf(`file://${root}node_modules/@grpc/grpc-js/build/src/call.js`, root)).toBe(
    "@grpc/grpc-js: build/src/call.js",
  );
  expect(fileOf("node:internal/fs/utils", root)).toBe("node:internal/fs/utils");
  expect(fileOf("", root)).toBe("");
});
