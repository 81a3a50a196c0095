import { readFileSync } from "node:fs";
import { cpus, release, totalmem, type } from "node:os";
import { join } from "node:path";
import { repositoryRoot } from "../../deploy/local/layout.ts";
import { runProgram } from "../../deploy/local/programs.ts";
import type { Machine } from "./record.ts";

export function thisMachine(): Machine {
  return {
    processor: cpus()[0]?.model ?? "unknown processor",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${type()} ${release()}`,
  };
}

const modules = {
  "grpc-go": "google.golang.org/grpc",
  "golang-jwt": "github.com/golang-jwt/jwt/v5",
  "go-control-plane": "github.com/envoyproxy/go-control-plane",
} as const;

/** What takes part, with its version. @param programs absolute paths */
export async function versionsOf(programs: {
  readonly envoy: string;
  readonly peers: string;
}): Promise<Readonly<Record<string, string>>> {
  const { stdout } = await runProgram(programs.envoy, ["--version"], { cwd: "/", env: {}, timeoutMs: 10_000 });
  const goMod = readFileSync(join(repositoryRoot, "test/bench/peers/go.mod"), "utf8");
  const pinned = Object.entries(modules).map(([name, path]) => [name, moduleVersion(goMod, path)] as const);
  return {
    Node: process.versions.node,
    Envoy: /\/(\d+\.\d+\.\d+)\//.exec(stdout)?.[1] ?? "unknown",
    Go: compilerOf(programs.peers),
    ...Object.fromEntries(pinned),
  };
}

const moduleVersion = (goMod: string, path: string): string =>
  goMod
    .split("\n")
    .map((line) => line.trim().replace(/^require /, ""))
    .find((line) => line.startsWith(`${path} `))
    ?.split(" ")[1]
    ?.replace(/^v/, "") ?? "unknown";

/** A program that Go has built says with what: a mark, and 32 bytes after its begin a length and the version. */
function compilerOf(program: string): string {
  const bytes = readFileSync(program);
  // The first one may be the text of a program that looks for it.
  for (let at = bytes.indexOf(goMark); at >= 0; at = bytes.indexOf(goMark, at + 1)) {
    const found = /^go(\d[\w.]*)/.exec(bytes.toString("latin1", at + 33, at + 60))?.[1];
    if (found !== undefined) return found;
  }
  return "unknown";
}

const goMark = Buffer.from("\xff Go buildinf:", "latin1");
