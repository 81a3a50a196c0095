import { spawn } from "node:child_process";
import { createServer, type Server } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { listensAt } from "../../../src/edges/local/listener.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function listen(host: string): Promise<number> {
  const server = createServer();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("no port");
  return address.port;
}

describe.runIf(process.platform === "linux")("who listens at an address", () => {
  for (const bound of ["127.0.0.7", "0.0.0.0", "::", "::ffff:127.0.0.7"]) {
    it(`sees our own listener on ${bound}`, async () => {
      expect(listensAt(process.pid, "127.0.0.7", await listen(bound))).toBe(true);
    });
  }

  it("does not take another address's listener for it", async () => {
    expect(listensAt(process.pid, "127.0.0.8", await listen("127.0.0.7"))).toBe(false);
  });

  it("does not take another process's listener for ours", async () => {
    const port = await listen("127.0.0.7");
    const other = spawn("sleep", ["30"]);
    try {
      expect(listensAt(other.pid ?? 0, "127.0.0.7", port)).toBe(false);
    } finally {
      other.kill();
    }
  });

  it("says no for a process that is gone", async () => {
    expect(listensAt(2 ** 22 + 1, "127.0.0.7", await listen("127.0.0.7"))).toBe(false);
  });
});
