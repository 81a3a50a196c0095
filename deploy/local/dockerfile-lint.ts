import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "./command.ts";
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

const requirements = join(repositoryRoot, "deploy/local/requirements/hadolint.txt");
const program = "bin/hadolint";

/**
 * What hadolint says against a Dockerfile, one fault a line; "" where it is content. It is installed below the cache where it
 * is missing (11 MB).
 * @throws InstallError whose message is the one line to show
 */
export async function dockerfileFaults(path: string, progress: Progress): Promise<string> {
  const cache = cacheFolder();
  const folder = join(cache, "hadolint");
  const env = installEnvironment({ home: join(cache, "home"), temporary: folder });
  const hadolint: Installation = {
    title: "hadolint",
    name: "hadolint",
    pins: readFileSync(requirements, "utf8"),
    probes: [program],
    async fill(draft) {
      const python = await ensureInstaller(cache, progress);
      await pipInstall(python, "hadolint", ["--no-deps", "--target", draft, "-r", requirements], { env, cache });
    },
  };
  if (!isInstalled(folder, hadolint)) {
    for (const each of [folder, join(cache, "home")]) await mkdir(each, { recursive: true });
    const waiting = (pid: string) => progress(`Waiting for process ${pid}, which installs hadolint ...`);
    await withLock(join(cache, "hadolint.lock"), waiting, async () => {
      await removeDrafts(folder);
      await installOnce(folder, hadolint, progress);
    });
  }
  const checked = await runCommand(join(installedFolder(folder, hadolint), program), ["--no-color", path], {
    env,
    timeoutMs: 60_000,
  });
  return checked.code === 0 ? "" : checked.output.trim();
}
