import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { GoProgram } from "../../../deploy/local/go-build.ts";
import { ensureGoPrograms } from "../../../deploy/local/go-programs.ts";
import { helmRender } from "../../../deploy/local/helm-build.ts";
import type { Progress } from "../../../deploy/local/install-once.ts";
import { repositoryRoot } from "../../../deploy/local/layout.ts";

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
  readonly done: Promise<void>;
  /** Gives up a build of this process that is not done; `done` rejects then. The next one goes on where this one was. */
  stop(): void;
}

const module = join(repositoryRoot, "test/support/kube/go");
const links = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"] as const;

function programsIn(folder: string): KubeBinaries {
  const at = (name: (typeof links)[number]) => join(folder, name);
  return {
    etcd: at("etcd"),
    apiserver: at("kube-apiserver"),
    controllerManager: at("kube-controller-manager"),
    kubectl: at("kubectl"),
  };
}

/** The programs of the folder `$KUBEBUILDER_ASSETS`, where all four are there. */
function givenPrograms(): KubeBinaries | undefined {
  const given = process.env["KUBEBUILDER_ASSETS"];
  if (given === undefined || given === "") return undefined;
  const programs = programsIn(given);
  return Object.values(programs).every((path: string) => existsSync(path)) ? programs : undefined;
}

/** All four are one binary, which goes by the name that it is called by. */
function kubeProgram(): GoProgram {
  return {
    title: "Kubernetes' API server",
    effort: "about 7 minutes",
    name: "kube",
    module,
    binary: "kubebits",
    links,
    ldflags: ldflags(kubernetesVersion()),
    pins: [ldflags("v0.0"), links.join(" ")],
    wayOut: "set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver, kube-controller-manager and kubectl",
  };
}

/** What the programs say of themselves; clients refuse a server without a version. */
function ldflags(version: string): string {
  const minor = version.split(".")[1];
  const values = [`gitVersion=${version}`, "gitMajor=1", `gitMinor=${minor}`, "gitTreeState=clean"];
  const packages = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];
  return ["-s -w", ...packages.flatMap((one) => values.map((value) => `-X ${one}.${value}`))].join(" ");
}

function kubernetesVersion(): string {
  const pattern = /^require k8s\.io\/kubernetes (v1\.\d+\.\d+)$/m;
  const found = pattern.exec(readFileSync(join(module, "go.mod"), "utf8"))?.[1];
  if (found === undefined) throw new Error(`go.mod has no line like ${pattern.source}`);
  return found;
}

/**
 * The programs of the folder `$KUBEBUILDER_ASSETS` where all four are there; otherwise ours, built where they are missing
 * (some seven minutes on two cores, once): see `ensureGoPrograms`.
 * @throws InstallError whose message is the one line to show
 */
export async function ensureKubeBinaries(progress: Progress): Promise<KubeBinaries> {
  const given = givenPrograms();
  if (given !== undefined) return given;
  const [folder = ""] = await ensureGoPrograms([kubeProgram()], progress);
  return programsIn(folder);
}

/** Begins to build all that tests with Kubernetes run, Helm's template engine too, so that it is there when they ask. */
export function startKubeBuild(progress: Progress): KubeBuild {
  const abort = new AbortController();
  const programs = givenPrograms() === undefined ? [kubeProgram(), helmRender] : [helmRender];
  const done = ensureGoPrograms(programs, progress, abort.signal).then(() => undefined);
  done.catch(() => undefined);
  return { done, stop: () => abort.abort(new Error("the build of Kubernetes' API server was given up")) };
}
