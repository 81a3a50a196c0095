import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { advertisedAddress, readSealKeys, replicaName } from "../../../src/wiring/replica.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "gatehouse-seal-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const fileOf = (text: string): string => {
  const file = join(folder, "seal.key");
  writeFileSync(file, text);
  return file;
};

describe("seal keys", () => {
  it("are read in order, one a line, empty lines left out, with or without padding", () => {
    const [one, two] = [randomBytes(32), randomBytes(48)];
    const text = `${one.toString("base64").replace(/=+$/, "")}\r\n\n${two.toString("base64")}\n`;
    expect(readSealKeys(fileOf(text)).map((key) => Buffer.from(key))).toEqual([one, two]);
  });

  it.each([
    ["no key", "\n\n", /holds no key/],
    ["a key that is too short", randomBytes(31).toString("base64"), /line 1: the key is shorter than 32 bytes/],
    ["no base64", `${randomBytes(32).toString("base64")}\nnot-a-key!`, /line 2: not a key in base64/],
  ])("are refused with the line at fault and without the key: %s", (_, text, why) => {
    const file = fileOf(text);
    let message = "";
    try {
      readSealKeys(file);
    } catch (thrown) {
      message = (thrown as Error).message;
    }
    expect(message).toMatch(why);
    for (const line of text.split("\n").filter((each) => each !== "")) expect(message).not.toContain(line);
  });

  it("say why their file cannot be read", () => {
    expect(() => readSealKeys(join(folder, "absent"))).toThrow(/seal_key_file: .*absent cannot be read \(ENOENT\)/);
  });
});

describe("a replica", () => {
  it("has a name that no other has, after its pod or its machine", () => {
    expect(replicaName({ POD_NAME: "gatehouse-0" })).toMatch(/^gatehouse-0_[0-9a-f-]{36}$/);
    expect(replicaName({})).toMatch(/_[0-9a-f-]{36}$/);
    expect(replicaName({}).startsWith(`${hostname()}_`)).toBe(true);
    expect(replicaName({})).not.toBe(replicaName({}));
  });

  it("is reached as configured, else at its pod's address, else where it listens", () => {
    const listen = "0.0.0.0:15012";
    expect(advertisedAddress({ listen, advertise: "peer:1" }, { POD_IP: "10.0.0.7" })).toBe("peer:1");
    expect(advertisedAddress({ listen }, { POD_IP: "10.0.0.7" })).toBe("10.0.0.7:15012");
    expect(advertisedAddress({ listen }, { POD_IP: "fd00::7" })).toBe("[fd00::7]:15012");
    expect(advertisedAddress({ listen: "127.0.0.1:0" }, {})).toBe("127.0.0.1:0");
  });
});
