import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
  type Installation,
  installedFolder,
  installOnce,
  isInstalled,
  type Progress,
  removeDrafts,
} from "../../../deploy/local/install-once.ts";
import { withLock } from "../../../deploy/local/lock.mjs";
import { cacheFolder } from "../../../deploy/local/tools.ts";
import { buildKube, kubePins } from "./build-go.ts";

/** Absolute paths of one build of Kubernetes' programs. */
export interface KubeBinaries {
  readonly etcd: string;
  readonly apiserver: string;
  readonly controllerManager: string;
  readonly kubectl: string;
}

/** A build that goes on in the background. */
export interface KubeBuild {
  /** Resolves when the programs are there. Need not be waited for: a fault is kept until somebody does. */
  readonly done: Promise<KubeBinaries>;
  /** Gives up a build of this process that is not done; `done` rejects then. The next one goes on where this one was. */
  stop(): void;
}

const names = {
  etcd: "etcd",
  apiserver: "kube-apiserver",
  controllerManager: "kube-controller-manager",
  kubectl: "kubectl",
};

function programsIn(folder: string): KubeBinaries {
  const at = (name: keyof typeof names) => join(folder, names[name]);
  return {
    etcd: at("etcd"),
    apiserver: at("apiserver"),
    controllerManager: at("controllerManager"),
    kubectl: at("kubectl"),
  };
}

/**
 * The programs of the folder `$KUBEBUILDER_ASSETS` where all four are there; otherwise ours, built from source below the
 * cache where they are missing (some seven minutes on two cores, once), at low priority. Safe to call from several
 * processes at once: one builds, the others wait.
 * @param progress told one line at a time, only while something is built or waited for
 * @throws InstallError whose message is the one line to show
 */
export async function ensureKubeBinaries(progress: Progress, signal?: AbortSignal): Promise<KubeBinaries> {
  const given = process.env["KUBEBUILDER_ASSETS"];
  if (given !== undefined && given !== "") {
    const programs = programsIn(given);
    if (Object.values(programs).every((path: string) => existsSync(path))) return programs;
  }
  const cache = cacheFolder();
  // Not among the tools: installing one of those clears the unfinished ones away, and waits for their lock.
  const folder = join(cache, "kube");
  const kube: Installation = {
    title: "Kubernetes' API server for tests (built from source, about 7 minutes, once)",
    name: "kube",
    pins: kubePins(),
    probes: Object.values(names),
    fill: async (draft) => await buildKube({ draft, cache, work: join(folder, "work"), progress, signal }),
  };
  if (!isInstalled(folder, kube)) {
    await mkdir(folder, { recursive: true });
    const waiting = (pid: string) => progress(`Waiting for process ${pid}, which builds Kubernetes' API server ...`);
    await withLock(join(cache, "kube.lock"), waiting, async () => {
      signal?.throwIfAborted();
      await removeDrafts(folder);
      await installOnce(folder, kube, progress);
    });
  }
  return programsIn(installedFolder(folder, kube));
}

/** Begins what `ensureKubeBinaries` would do, so that it is done when the first test asks. */
export function startKubeBuild(progress: Progress): KubeBuild {
  const abort = new AbortController();
  const done = ensureKubeBinaries(progress, abort.signal);
  done.catch(() => undefined);
  return { done, stop: () => abort.abort(new Error("the build of Kubernetes' API server was given up")) };
}
