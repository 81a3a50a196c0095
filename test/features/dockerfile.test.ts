import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CommandResult, runCommand } from "../../deploy/local/command.ts";
import { dockerfileFaults } from "../../deploy/local/dockerfile-lint.ts";
import { repositoryRoot } from "../../deploy/local/layout.ts";
import { cacheFolder } from "../../deploy/local/tools.ts";
import { buildOnThisMachine, isInContext, stagesOf } from "../support/dockerfile.ts";

// The image without Docker: its steps are done in folders, with this machine's Node and npm.

const path = join(repositoryRoot, "deploy/Dockerfile");
const dockerignore = readFileSync(join(repositoryRoot, ".dockerignore"), "utf8");
const stages = stagesOf(readFileSync(path, "utf8"));
const last = stages.at(-1);
const stepOf = (instruction: string): string | undefined =>
  last?.steps.find((step) => step.instruction === instruction)?.text;

describe("the Dockerfile", () => {
  it("has nothing that hadolint minds", async () => {
    expect(await dockerfileFaults(path, (line) => void process.stderr.write(`${line}\n`))).toBe("");
  });

  it("is made from one pinned Node, of the version that package.json asks for", () => {
    const names = new Set(stages.map(({ name }) => name));
    const bases = new Set(stages.map(({ from }) => from).filter((from) => !names.has(from)));
    expect([...bases]).toEqual([expect.stringMatching(/^node:20\.(19|[2-9]\d)(\.\d+)?-\w+-slim$/)]);
  });

  it("runs as a user that is not root, and nothing but Gatehouse", () => {
    expect(stepOf("USER")).toBe("65532:65532");
    expect(JSON.parse(stepOf("ENTRYPOINT") ?? "")).toEqual([
      "node",
      "--max-semi-space-size=4",
      "--no-memory-reducer",
      "/app/dist/cli.js",
    ]);
    expect(last?.steps.filter(({ instruction }) => instruction === "RUN" || instruction === "ADD")).toEqual([]);
  });

  it.each([".git", "test", "deploy", "node_modules", ".cache", ".gatehouse", "dist"])("never sees %s", (folder) => {
    expect(isInContext(dockerignore, folder)).toBe(false);
  });
});

describe("the image", () => {
  let folder: string;
  let root: string;
  const gatehouse = async (...args: string[]): Promise<CommandResult> => {
    const [program = "", ...given] = JSON.parse(stepOf("ENTRYPOINT") ?? "[]") as string[];
    const entry = given.pop() ?? "";
    return await runCommand(program, [...given, join(root, entry), ...args], {
      env: pathOnly,
      cwd: root,
      timeoutMs: 30_000,
    });
  };
  const pathOnly = { PATH: process.env["PATH"] ?? "" };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "gatehouse-image-"));
    const npm = { npm_config_cache: join(cacheFolder(), "npm"), npm_config_update_notifier: "false" };
    const reach = Object.entries(process.env).filter(([name]) =>
      /^(https?_proxy|no_proxy|npm_config_\w+|NODE_EXTRA_CA_CERTS|HOME)$/i.test(name),
    );
    const env = { ...pathOnly, ...(Object.fromEntries(reach) as Record<string, string>), ...npm };
    root = await buildOnThisMachine(stages, { context: repositoryRoot, dockerignore, folder, env });
  }, 600_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("checks a configuration", async () => {
    const config = join(folder, "gatehouse.yaml");
    writeFileSync(config, "tls: {certificate_file: a, private_key_file: b}\non_demand: {enabled: false}\n");
    const refused = await gatehouse("check-config", "--config", config);
    expect(refused.code).toBe(78);
    expect(refused.output).toContain("identity");
    const issuers = "[{name: corp, issuer: https://id.example.com, audiences: [spark]}]";
    writeFileSync(config, `${readFileSync(config, "utf8")}identity: {issuers: ${issuers}}\n`);
    expect(await gatehouse("check-config", "--config", config)).toEqual({
      code: 0,
      output: "the configuration is sound\n",
    });
  });

  it("makes Envoy's start-up configuration", async () => {
    const { code, output } = await gatehouse("envoy-bootstrap", "--config", join(folder, "gatehouse.yaml"));
    expect(code).toBe(0);
    expect(JSON.parse(output)).toHaveProperty("dynamic_resources.ads_config");
  });

  it("holds no sources, tests or development packages", () => {
    for (const path of ["src", "test", "node_modules/typescript", "node_modules/vitest"]) {
      expect(existsSync(join(root, "app", path))).toBe(false);
    }
    expect(existsSync(join(root, "app/node_modules/fastify"))).toBe(true);
  });
});
