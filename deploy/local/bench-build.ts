import { join } from "node:path";
import type { GoProgram } from "./go-build.ts";
import { ensureGoPrograms } from "./go-programs.ts";
import type { Progress } from "./install-once.ts";
import { repositoryRoot } from "./layout.ts";

const binary = "bench-peers";

/** What Gatehouse is measured against, and the load that measures it. */
export const benchPeers: GoProgram = {
  title: "the bench's peers",
  effort: "about a minute",
  name: "bench-peers",
  module: join(repositoryRoot, "test/bench/peers"),
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
export async function ensureBenchPeers(progress: Progress): Promise<string> {
  const [folder = ""] = await ensureGoPrograms([benchPeers], progress);
  return join(folder, binary);
}
