import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { runCommand } from "./command.ts";
import { InstallError } from "./install-error.ts";

const names = ["python3.13", "python3.12", "python3.11", "python3.10", "python3"];
const probe = "import sys, venv, ensurepip; print(sys.version_info[0] * 100 + sys.version_info[1])";

/**
 * A Python >= 3.10 that can make virtual environments: $PYTHON, or the first fit one on the PATH.
 * @throws InstallError saying what to install
 */
export async function findPython(env: Readonly<Record<string, string>>): Promise<string> {
  const chosen = process.env["PYTHON"];
  let withoutVenv: string | undefined;
  for (const name of chosen === undefined || chosen === "" ? names : [chosen]) {
    const { code, output } = await runCommand(name, ["-c", probe], { env, timeoutMs: 20_000 });
    if (code === 0 && Number(output.trim()) >= 310) return name;
    if (/No module named '?(venv|ensurepip)/.test(output)) withoutVenv ??= name;
  }
  if (withoutVenv !== undefined) {
    throw new InstallError(
      `${withoutVenv} cannot make virtual environments: install its venv package (Debian, Ubuntu: python3-venv)`,
    );
  }
  if (chosen !== undefined && chosen !== "") {
    throw new InstallError(`PYTHON=${chosen} is not a Python 3.10 or newer: set it to one, or unset it`);
  }
  throw new InstallError("Python 3.10 or newer was not found on the PATH: install python3 and python3-venv");
}

const passedOn =
  /^(PATH|LANG|LC_ALL|PIP_(INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|CERT|TRUSTED_HOST|PROXY|CLIENT_CERT|CONFIG_FILE)|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|(https?|no|all)_proxy)$/i;

/**
 * The environment of all that is run while installing: what reaching a package index may need, and a home and a
 * temporary folder of our own.
 */
export function installEnvironment(folders: { home: string; temporary: string }): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name, value]) => value !== undefined && passedOn.test(name));
  const configured = [".config/pip/pip.conf", ".pip/pip.conf"].map((file) => join(homedir(), file)).find(existsSync);
  return {
    ...(configured === undefined ? {} : { PIP_CONFIG_FILE: configured }),
    ...(Object.fromEntries(kept) as Record<string, string>),
    HOME: folders.home,
    TMPDIR: folders.temporary,
    PYTHONNOUSERSITE: "1",
  };
}
