import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { repositoryRoot } from "../../../deploy/local/layout.ts";
import { plainEnvironment } from "../../../deploy/local/parts.ts";
import { type KubeWorld, startKubeWorld } from "../../support/kube/world.ts";
import { type Stack, startStack } from "../../support/stack.ts";
import { processorMicros } from "../children.ts";
import type { Figure, Sample, Scenario, Target, Variant } from "../scenario.ts";

const names = { local: "local runtime", kubernetes: "Kubernetes runtime, with a kubeconfig file" } as const;

const ready = "from the start of the process to readiness";
const loading = "of that, to load the code";
const processor = "processor time until then";
const memory = "memory then";

const figures: readonly Figure[] = [
  { name: ready, unit: "ms", digits: 0, better: "less", plot: true },
  { name: loading, unit: "ms", digits: 0, better: "less" },
  { name: processor, unit: "ms", digits: 0, better: "less" },
  { name: memory, unit: "MB", digits: 0, better: "less" },
];

const targets: readonly Target[] = [
  { text: "ready without a driver, local runtime", figure: ready, variant: names.local, atMost: 1_000 },
];

const about = `\`node dist/cli.js serve\` without a driver, until \`/readyz\` answers 200 for the first time (asked every few
milliseconds): configuration read, audit log open, drivers listed, all servers listening, first snapshot complete. Loading the
code is measured in a process of its own that does nothing else. With a kubeconfig file the Kubernetes project's own client library
reads it, which takes half a second to load; in a pod Gatehouse reads its ServiceAccount itself.`;

/** Must-reach 7, first half: how long Gatehouse takes to serve. */
export const startup: Scenario = {
  id: "startup",
  title: "Start-up",
  about,
  figures,
  targets,
  async prepare() {
    const local = await startStack({ start: ["issuer"] });
    let world: KubeWorld | undefined;
    const close = async (): Promise<void> => {
      await local.stop();
      await world?.stop();
    };
    try {
      world = await startKubeWorld({ crds: false });
      const replica = await world.replica({ start: ["issuer"] });
      return {
        variants: [variant(names.local, local, "local"), variant(names.kubernetes, replica, "kubernetes")],
        close,
      };
    } catch (error) {
      await close();
      throw error;
    }
  },
};

function variant(name: string, stack: Stack, runtime: "local" | "kubernetes"): Variant {
  return {
    name,
    async measure(): Promise<Sample> {
      const codeMs = await loadingMs(runtime);
      const begun = performance.now();
      await stack.gatehouse.launch();
      while (!(await isReady(stack))) await new Promise((resolve) => setTimeout(resolve, 3));
      const readyMs = performance.now() - begun;
      const { pid } = stack.gatehouse;
      const sample = {
        [ready]: readyMs,
        [loading]: codeMs,
        [processor]: processorMicros(pid) / 1_000,
        [memory]: residentMegabytes(pid),
      };
      await stack.gatehouse.stop();
      return sample;
    },
  };
}

/** @throws Error where Gatehouse has ended instead */
function isReady({ gatehouse, ports }: Stack): Promise<boolean> {
  if (!gatehouse.running) throw new Error("Gatehouse has ended");
  return new Promise((resolve) => {
    const request = get({ host: "127.0.0.1", port: ports.http, path: "/readyz", agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    request.on("error", () => resolve(false));
  });
}

function residentMegabytes(pid: number): number {
  const [, kilobytes = "NaN"] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) / 1_024;
}

/** Everything that a start imports, and nothing done with it. */
async function loadingMs(runtime: "local" | "kubernetes"): Promise<number> {
  const modules = ["config/load.js", "main.js", `edges/${runtime}/runtime.js`, "edges/envoy/encode-bootstrap.js"];
  const urls = modules.map((module) => pathToFileURL(join(repositoryRoot, "dist", module)).href);
  const also = runtime === "kubernetes" ? ["@kubernetes/client-node"] : [];
  const imports = [...urls, ...also].map((module) => `import(${JSON.stringify(module)})`);
  const script = `await Promise.all([${imports.join(",")}]); process.stdout.write(String(performance.now()));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    cwd: repositoryRoot,
    env: plainEnvironment(),
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  await once(child, "close");
  if (child.exitCode !== 0) throw new Error("Gatehouse's code cannot be loaded");
  return Number(text);
}
