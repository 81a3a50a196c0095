import { join } from "node:path";
import type { GoProgram } from "./go-build.ts";
import { ensureGoProgram } from "./go-programs.ts";
import type { Progress } from "./install-once.ts";
import { repositoryRoot } from "./layout.ts";

/** Renders charts with Helm's own packages. */
export const helmRender: GoProgram = {
  title: "Helm's template engine",
  effort: "about a minute",
  name: "helm",
  module: join(repositoryRoot, "test/support/kube/helm-go"),
  binary: "helm-render",
  links: [],
  ldflags: "-s -w",
  pins: [],
};

/** That program's path, built where it is missing: see `ensureGoProgram`. */
export const ensureHelmRender = (progress: Progress): Promise<string> => ensureGoProgram(helmRender, progress);
