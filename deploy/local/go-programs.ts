import { readdirSync, readFileSync } from "node:fs";
import { mkdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { buildWithGo, findGo, type GoBuild, type GoProgram, goEnvironment } from "./go-build.ts";
import {
  type Installation,
  installedFolder,
  installOnce,
  isInstalled,
  type Progress,
  removeDrafts,
} from "./install-once.ts";
import { withLock } from "./lock.mjs";
import { installEnvironment } from "./python.ts";
import { cacheFolder } from "./tools.ts";

/**
 * Builds the programs that are missing below the cache, one after the other, at the lowest priority; they share one
 * installation of Go and its caches, which are removed when all are there (kept where one fails, so that the next try is
 * shorter). Safe to call from several processes at once: one builds, the others wait.
 * @param progress told one line at a time, only while something is built or waited for
 * @param signal gives the build up
 * @returns the folders of the programs, in their order
 * @throws InstallError whose message is the one line to show, or the signal's reason
 */
export async function ensureGoPrograms(
  programs: readonly GoProgram[],
  progress: Progress,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const cache = cacheFolder();
  const work = join(cache, "go");
  const all = programs.map((program) => {
    const build = { program, work, cache, progress, signal };
    return { title: program.title, folder: join(cache, program.name), installation: installation(build) };
  });
  const missing = all.filter((one) => !isInstalled(one.folder, one.installation));
  if (missing.length > 0) {
    for (const folder of [cache, work, ...missing.map((one) => one.folder)]) await mkdir(folder, { recursive: true });
    const titles = missing.map(({ title }) => title).join(" or ");
    const waiting = (pid: string) => progress(`Waiting for process ${pid}, which builds ${titles} ...`);
    await withLock(join(cache, "go.lock"), waiting, async () => {
      for (const one of missing) {
        signal?.throwIfAborted();
        await removeDrafts(one.folder);
        await installOnce(one.folder, one.installation, progress);
      }
      // Gigabytes that nobody needs again.
      await rm(work, { recursive: true, force: true });
    });
  }
  return all.map((one) => installedFolder(one.folder, one.installation));
}

/**
 * One such program.
 * @returns its path
 * @throws InstallError whose message is the one line to show
 */
export async function ensureGoProgram(program: GoProgram, progress: Progress): Promise<string> {
  const [folder = ""] = await ensureGoPrograms([program], progress);
  return join(folder, program.binary);
}

function installation(build: GoBuild): Installation {
  const { title, effort, name, module, binary, links, pins } = build.program;
  const sources = sourceFiles(module).map((file) => readFileSync(join(module, file), "utf8"));
  return {
    title: `${title} for tests (built from source, ${effort}, once)`,
    name,
    pins: [...sources, ...pins].join("\n"),
    probes: [binary, ...links],
    async fill(draft) {
      const home = join(build.cache, "home");
      const temporary = join(build.work, "tmp");
      // What one that was cut off left.
      await rm(temporary, { recursive: true, force: true });
      for (const each of [temporary, home]) await mkdir(each, { recursive: true });
      const env = goEnvironment(installEnvironment({ home, temporary }), build.work);
      await buildWithGo(await findGo(build, env), build, draft, env);
      for (const link of links) await symlink(binary, join(draft, link));
    },
  };
}

/** go.mod, go.sum, main.go and then the module's other files in their names' order; its own tests build nothing. */
function sourceFiles(module: string): readonly string[] {
  const others = readdirSync(module)
    .filter((file) => file.endsWith(".go") && !file.endsWith("_test.go") && file !== "main.go")
    .sort();
  return ["go.mod", "go.sum", "main.go", ...others];
}
