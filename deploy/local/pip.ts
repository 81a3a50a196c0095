import { readdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "./command.ts";
import { InstallError, whyInstallFailed } from "./install-error.ts";
import { findPython } from "./python.ts";

export interface PipOptions {
  readonly env: Readonly<Record<string, string>>;
  /** Downloads and built wheels are kept below it. */
  readonly cache: string;
  /** Another environment's interpreter to install into; default the one that runs pip. */
  readonly into?: string;
}

/** Makes a virtual environment with the first fit Python, and nothing in it unless `withPip`. */
export async function makeEnvironment(
  folder: string,
  withPip: boolean,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const python = await findPython(env);
  const args = ["-m", "venv", ...(withPip ? [] : ["--without-pip"]), folder];
  const { code, output } = await runCommand(python, args, { env, timeoutMs: 120_000 });
  if (code === 0) return;
  if (/ensurepip is not available/.test(output)) {
    throw new InstallError(
      `${python} cannot make virtual environments: install its venv package (Debian, Ubuntu: python3-venv)`,
    );
  }
  throw whyInstallFailed("a Python environment", output, folder);
}

/** Runs `pip install` of that interpreter. @throws InstallError */
export async function pipInstall(
  python: string,
  what: string,
  args: readonly string[],
  { env, cache, into }: PipOptions,
): Promise<void> {
  const pip = [
    "-m",
    "pip",
    ...(into === undefined ? [] : ["--python", into]),
    "install",
    "--quiet",
    "--no-input",
    "--disable-pip-version-check",
  ];
  const reach = ["--retries", "2", "--timeout", "30", "--cache-dir", join(cache, "pip")];
  const { code, output } = await runCommand(python, [...pip, ...reach, ...args], { env, timeoutMs: 1_800_000 });
  if (code !== 0) throw whyInstallFailed(what, output, cache);
}

/** Gives the Spark in that environment a path that does not name the Python version, and drops what nobody runs. */
export async function linkSparkHome(folder: string): Promise<void> {
  const [version] = (await readdir(join(folder, "lib"))).filter((entry) => entry.startsWith("python3."));
  if (version === undefined) throw new InstallError(`the Python environment ${folder} has no site-packages`);
  const spark = join("lib", version, "site-packages/pyspark");
  await rm(join(folder, spark, "examples"), { recursive: true, force: true });
  await symlink(spark, join(folder, "spark"));
}
