import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { createAddressPool, parseRange } from "../../../src/edges/local/address-pool.ts";

describe("a pool of addresses", () => {
  it("reads ranges", () => {
    expect(parseRange("127.77.0.0/16").count).toBe(65_534);
    expect(parseRange("127.0.0.9/32")).toEqual({ first: 0x7f000009, count: 1 });
    expect(parseRange("127.0.0.77/24")).toEqual({ first: 0x7f000001, count: 254 });
    for (const wrong of ["127.0.0.1", "127.0.0.0/33", "300.0.0.0/8", "::1/64", ""]) {
      expect(() => parseRange(wrong)).toThrow("is not an IPv4 range");
    }
  });

  it("gives each address once before it gives one again, and none that is in use", async () => {
    const pool = createAddressPool("127.93.0.0/29", 20_123, () => 0.99);
    const given: string[] = [];
    for (let i = 0; i < 6; i += 1) given.push(await pool.next(new Set()));
    expect(new Set(given).size).toBe(6);
    expect(await pool.next(new Set(given.slice(1)))).toBe(given[0]);
    await expect(pool.next(new Set(given))).rejects.toThrow("no free address in 127.93.0.0/29");
  });

  it("skips an address on which the port is taken", async () => {
    const server = createServer();
    await new Promise<void>((done) => server.listen({ host: "127.93.1.1", port: 0 }, () => done()));
    const { port } = server.address() as { port: number };
    try {
      expect(await createAddressPool("127.93.1.0/30", port, () => 0).next(new Set())).toBe("127.93.1.2");
      await expect(createAddressPool("127.93.1.1/32", port).next(new Set())).rejects.toThrow("EADDRINUSE");
    } finally {
      await new Promise<void>((done) => server.close(() => done()));
    }
  });
});
