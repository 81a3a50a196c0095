import { join } from "node:path";
import type { GoProgram } from "./go-build.ts";
import { ensureGoPrograms } from "./go-programs.ts";
import type { Progress } from "./install-once.ts";
import { repositoryRoot } from "./layout.ts";

const binary = "helm-render";

/** Renders charts with Helm's own packages. */
export const helmRender: GoProgram = {
  title: "Helm's template engine",
  effort: "about a minute",
  name: "helm",
  module: join(repositoryRoot, "test/support/kube/helm-go"),
  binary,
  links: [],
  ldflags: "-s -w",
  pins: [],
};

/**
 * That program, built where it is missing: see `ensureGoPrograms`.
 * @returns its path
 * @throws InstallError whose message is the one line to show
 */
export async function ensureHelmRender(progress: Progress): Promise<string> {
  const [folder = ""] = await ensureGoPrograms([helmRender], progress);
  return join(folder, binary);
}
