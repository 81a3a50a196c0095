import { join } from "node:path";
import type { GoProgram } from "./go-build.ts";
import { ensureGoProgram } from "./go-programs.ts";
import type { Progress } from "./install-once.ts";
import { repositoryRoot } from "./layout.ts";

/** What Gatehouse is measured against, and the load that measures it. */
export const benchPeers: GoProgram = {
  title: "the bench's peers",
  effort: "about a minute",
  name: "bench-peers",
  module: join(repositoryRoot, "test/bench/peers"),
  binary: "bench-peers",
  links: [],
  ldflags: "-s -w",
  pins: [],
};

/** That program's path, built where it is missing: see `ensureGoProgram`. */
export const ensureBenchPeers = (progress: Progress): Promise<string> => ensureGoProgram(benchPeers, progress);
