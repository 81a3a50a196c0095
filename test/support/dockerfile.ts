import { cpSync, mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import { runCommand } from "../../deploy/local/command.ts";

export interface Step {
  /** In upper case. */
  readonly instruction: string;
  readonly text: string;
}

export interface Stage {
  readonly from: string;
  /** "" for the last one where it has no name. */
  readonly name: string;
  readonly steps: readonly Step[];
}

/** The stages of a Dockerfile, as far as ours needs: no escapes but line ends, no heredocs, no variables. */
export function stagesOf(dockerfile: string): readonly Stage[] {
  const stages: { from: string; name: string; steps: Step[] }[] = [];
  const lines = dockerfile
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .join("\n")
    .replaceAll(/\\\n\s*/g, "")
    .split("\n");
  for (const line of lines) {
    const [, word = "", text = ""] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
    const instruction = word.toUpperCase();
    const [, from = "", name = ""] = /^(\S+)(?:\s+AS\s+(\S+))?$/i.exec(text) ?? [];
    if (instruction === "FROM") stages.push({ from, name, steps: [] });
    else if (instruction !== "") stages.at(-1)?.steps.push({ instruction, text });
  }
  return stages;
}

/** Whether `.dockerignore` lets that path of the context's root in; only whole names with `!` after `*` are known. */
export function isInContext(dockerignore: string, path: string): boolean {
  const lines = dockerignore.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  if (lines[0] !== "*") throw new Error(".dockerignore does not begin with *");
  return lines.includes(`!${path.split("/")[0]}`);
}

export interface BuildOptions {
  readonly context: string;
  readonly dockerignore: string;
  /** An empty folder: each stage gets a root in it. */
  readonly folder: string;
  /** Of the RUN steps. */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Does what the stages' COPY and RUN steps say, with this machine's programs instead of the base image's and a folder of the
 * stage's own instead of its root.
 * @returns the root of the last stage
 * @throws Error with the output of a RUN step that failed
 */
export async function buildOnThisMachine(stages: readonly Stage[], options: BuildOptions): Promise<string> {
  const roots = new Map<string, string>();
  let root = "";
  for (const [i, stage] of stages.entries()) {
    root = join(options.folder, `${i}`);
    mkdirSync(root);
    const base = roots.get(stage.from);
    if (base !== undefined) cpSync(base, root, { recursive: true, verbatimSymlinks: true });
    roots.set(stage.name, root);
    await runStage(stage, { ...options, root, roots });
  }
  return root;
}

interface StageRun extends BuildOptions {
  readonly root: string;
  readonly roots: ReadonlyMap<string, string>;
}

async function runStage({ from, steps }: Stage, run: StageRun): Promise<void> {
  // A stage that is made from another starts where that one stood; ours has one place for all.
  let place = run.roots.has(from) ? join(run.root, "app") : run.root;
  for (const { instruction, text } of steps) {
    if (instruction === "WORKDIR") {
      place = join(run.root, text);
      mkdirSync(place, { recursive: true });
    } else if (instruction === "COPY") {
      copy(text.split(/\s+/), place, run);
    } else if (instruction === "RUN") {
      const { code, output } = await runCommand("sh", ["-c", text], { cwd: place, env: run.env, timeoutMs: 600_000 });
      if (code !== 0) throw new Error(`RUN ${text}\n${output}`);
    }
  }
}

function copy(words: readonly string[], place: string, { context, dockerignore, roots }: StageRun): void {
  const source = words[0]?.startsWith("--from=") ? roots.get(words[0].slice("--from=".length)) : undefined;
  const paths = source === undefined ? words : words.slice(1);
  const to = paths.at(-1) ?? "";
  const isFolder = to.endsWith("/");
  for (const path of paths.slice(0, -1)) {
    if (source === undefined && !isInContext(dockerignore, path)) throw new Error(`.dockerignore keeps ${path} out`);
    cpSync(join(source ?? context, path), isFolder ? join(place, to, basename(path)) : join(place, to), {
      recursive: true,
      verbatimSymlinks: true,
    });
  }
}
