import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { parse, parseAllDocuments } from "yaml";
import type { KubeObject } from "../../src/edges/kubernetes/objects.ts";
import { ensureHelmRender } from "./helm-build.ts";
import { repositoryRoot } from "./layout.ts";

export type ChartValues = Readonly<Record<string, unknown>>;

/** What became of one set of values. */
export interface Rendering {
  /** Paths inside the chart, NOTES.txt among them; empty where `error` is set. */
  readonly files: readonly { readonly path: string; readonly text: string }[];
  /** What lint warns of, one entry each. */
  readonly lint: readonly string[];
  /** Why it cannot be rendered. */
  readonly error?: string;
}

export interface RenderOptions {
  /** Default "gatehouse", both. */
  readonly release?: string;
  readonly namespace?: string;
  /** Default false. */
  readonly lint?: boolean;
}

export const chartFolder = join(repositoryRoot, "deploy/helm/gatehouse");
/** The chart's oldest Kubernetes is 1.30; this is the one that the tests run. */
const kubeVersion = "v1.36.3";

/** Renders the chart once for each set of values, with Helm's own engine and without a cluster: `lookup` finds nothing. */
export async function renderChart(
  values: readonly ChartValues[],
  { release = "gatehouse", namespace = "gatehouse", lint = false }: RenderOptions = {},
): Promise<readonly Rendering[]> {
  const program = await ensureHelmRender((line) => void process.stderr.write(`${line}\n`));
  const child = spawn(program, { env: {}, timeout: 60_000, killSignal: "SIGKILL" });
  child.stdin.on("error", () => undefined);
  child.stdin.end(JSON.stringify({ chart: chartFolder, release, namespace, kubeVersion, values, lint }));
  const exit = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
  const [code, stdout, stderr] = await Promise.all([exit, text(child.stdout), text(child.stderr)]);
  if (code !== 0) throw new Error(`helm-render ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as Rendering[];
}

/** The names of the chart's example values. */
export function exampleNames(): readonly string[] {
  return readdirSync(join(chartFolder, "examples"))
    .filter((file) => file.endsWith(".yaml"))
    .map((file) => file.slice(0, -".yaml".length))
    .sort();
}

export function exampleValues(name: string): ChartValues {
  return parse(readFileSync(join(chartFolder, "examples", `${name}.yaml`), "utf8")) as ChartValues;
}

/** What `kubectl apply -f` takes: all files but NOTES.txt. */
export function manifestText({ files }: Rendering): string {
  return files
    .filter(({ path }) => path.endsWith(".yaml"))
    .map(({ path, text }) => `---\n# Source: ${path}\n${text.trim().replace(/^---\n/, "")}\n`)
    .join("");
}

/** The objects of a manifest. @throws Error naming what is not YAML */
export function objectsOf(manifest: string): readonly KubeObject[] {
  return parseAllDocuments(manifest)
    .map((document) => {
      const [error] = document.errors;
      if (error !== undefined) throw error;
      return document.toJS() as KubeObject | null;
    })
    .filter((object) => object !== null);
}
