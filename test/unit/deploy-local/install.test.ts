import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { whyInstallFailed } from "../../../deploy/local/install-error.ts";
import {
  type Installation,
  installedFolder,
  installOnce,
  isInstalled,
  removeDrafts,
} from "../../../deploy/local/install-once.ts";
import { javaKeyStore } from "../../../deploy/local/trust-store.ts";

let tools: string;
beforeEach(() => {
  tools = mkdtempSync(join(tmpdir(), "gatehouse-tools-"));
});
afterEach(() => rmSync(tools, { recursive: true, force: true }));

const thing = (more: Partial<Installation> = {}): Installation => ({
  title: "Thing",
  name: "thing",
  pins: "1",
  probes: ["file"],
  fill: (folder) => Promise.resolve(writeFileSync(join(folder, "file"), "")),
  ...more,
});
const silent = () => undefined;

describe("installing a folder once", () => {
  it("makes the whole folder or none, and clears away what was cut off", async () => {
    const cut = thing({ fill: (folder) => Promise.reject(new Error(`cut off in ${readdirSync(folder).length}`)) });
    await expect(installOnce(tools, cut, silent)).rejects.toThrow("cut off in 0");
    expect(readdirSync(tools)).toEqual([]);
    writeFileSync(join(tools, ".making-thing-0000"), "");
    await removeDrafts(tools);
    await installOnce(tools, thing(), silent);
    expect(readdirSync(tools)).toEqual([installedFolder(tools, thing()).slice(tools.length + 1)]);
  });

  it("does nothing when it is there, and makes another folder for other pins", async () => {
    await installOnce(tools, thing(), silent);
    await installOnce(tools, thing({ fill: () => Promise.reject(new Error("again")) }), silent);
    await installOnce(tools, thing({ pins: "2" }), silent);
    expect(readdirSync(tools)).toHaveLength(2);
  });

  it("makes it anew when a part of it is gone", async () => {
    await installOnce(tools, thing(), silent);
    rmSync(join(installedFolder(tools, thing()), "file"));
    expect(isInstalled(tools, thing())).toBe(false);
    await installOnce(tools, thing(), silent);
    expect(existsSync(join(installedFolder(tools, thing()), "file"))).toBe(true);
  });
});

describe("the line that says why an installer failed", () => {
  const why = (output: string) => whyInstallFailed("Spark", output, "/cache").message;

  it("is about the disk, the network, or the installer's own error", () => {
    expect(why("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device")).toBe(
      "no disk space left for Spark below /cache",
    );
    expect(why("WARNING: Retrying ... NewConnectionError(...)\nERROR: No matching distribution")).toContain(
      "cannot download Spark from the Python package index (NewConnectionError)",
    );
    expect(why("note: x\nERROR: wheel is broken\n")).toBe("cannot install Spark: ERROR: wheel is broken");
    expect(why("")).toBe("cannot install Spark: the installer did not say why");
  });
});

describe("a Java trust store", () => {
  it("has the format's header, its certificates, and a digest over all of it", () => {
    const store = javaKeyStore([Buffer.from("der")]);
    expect(store.subarray(0, 16).toString("hex")).toBe("feedfeed000000020000000100000002");
    expect(store.includes("authority-0")).toBe(true);
    expect(store.includes("der")).toBe(true);
    const content = store.subarray(0, -20);
    const keyed = Buffer.from("\0c\0h\0a\0n\0g\0e\0i\0t");
    const digest = createHash("sha1").update(keyed).update("Mighty Aphrodite").update(content).digest();
    expect(store.subarray(-20)).toEqual(digest);
  });
});
