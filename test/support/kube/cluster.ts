import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { boundToUs } from "../../../deploy/local/bound.ts";
import { writePrivateFile } from "../../../deploy/local/files.ts";
import { freePort } from "../../../deploy/local/ports.ts";
import { type KubeAdmin, kubeAdmin } from "./access.ts";
import { ensureKubeBinaries, type KubeBinaries } from "./build.ts";
import { type ClusterPart, type ClusterParts, clusterParts } from "./cluster-parts.ts";
import { type CustomResourceDefinition, installCrds, operatorCrds } from "./crds.ts";
import { makePki } from "./pki.ts";

export interface KubeClusterOptions {
  /** There before the controllers start, which learn of later kinds after some 20 s only. Default the three operators'. */
  readonly crds?: readonly CustomResourceDefinition[];
  /** Added at the end of the API server's arguments. */
  readonly apiServerArgs?: readonly string[];
  /** Of kube-controller-manager. Default: what namespaces, ServiceAccounts, owned objects and quotas need. */
  readonly controllers?: readonly string[];
}

export interface CommandAnswer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A Kubernetes control plane on loopback, without any node. */
export interface KubeCluster {
  /** `https://127.0.0.1:port` */
  readonly url: string;
  readonly port: number;
  readonly caFile: string;
  readonly caPem: string;
  /** Token of a user in `system:masters`. */
  readonly adminToken: string;
  /** Path; the admin there is known by a client certificate. */
  readonly adminKubeconfig: string;
  /** A client of that admin; ends with the cluster. */
  readonly admin: KubeAdmin;
  /** Path of a new file in which a user is known by that token. */
  kubeconfigFor(token: string, namespace?: string): string;
  /** What the cluster's processes are; the API server keeps its port and data over `restart`. */
  readonly etcd: ClusterPart;
  /** For what the API server cannot be asked for, such as a compaction. */
  readonly etcdUrl: string;
  readonly apiServer: ClusterPart;
  readonly controllerManager: ClusterPart;
  /** As the admin; ends after 60 s at the latest. */
  kubectl(args: readonly string[], stdin?: string): Promise<CommandAnswer>;
  /** Ends the processes and removes the files. May be called twice. */
  stop(): Promise<void>;
}

const defaultControllers = [
  "garbage-collector-controller",
  "namespace-controller",
  "resourcequota-controller",
  "root-ca-certificate-publisher-controller",
  "serviceaccount-controller",
];

/**
 * Starts a cluster and resolves when it takes pods. Nothing is left where that fails.
 * The programs are built where they are missing, which takes minutes: see `ensureKubeBinaries`.
 */
export async function startKubeCluster(options: KubeClusterOptions = {}): Promise<KubeCluster> {
  const programs = await ensureKubeBinaries((line) => void process.stderr.write(`${line}\n`));
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-kube-"));
  const ends: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    const results = await Promise.allSettled(ends.splice(0).map((end) => end()));
    await rm(folder, { recursive: true, force: true });
    for (const result of results) if (result.status === "rejected") throw result.reason;
  };
  try {
    const { parts, admin, ...facts } = await prepare(folder, programs, options);
    ends.push(async () => admin.close());
    // By force: what they would save on the way out is removed with them.
    for (const part of Object.values(parts)) ends.push(async () => (part.running ? await part.kill9() : undefined));
    await parts.etcd.start();
    await parts.apiServer.start();
    await installCrds(admin, options.crds ?? operatorCrds);
    await parts.controllerManager.start();
    return { ...facts, ...parts, admin, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

type Prepared = Omit<KubeCluster, keyof ClusterParts | "stop"> & { readonly parts: ClusterParts };

/** Keys, tokens, files and ports; nothing runs yet. */
async function prepare(folder: string, programs: KubeBinaries, options: KubeClusterOptions): Promise<Prepared> {
  const etcdPort = await freePort();
  const port = await freePort(undefined, new Set([etcdPort]));
  const url = `https://127.0.0.1:${port}`;
  const [pki, bound] = await Promise.all([makePki(join(folder, "pki")), boundToUs()]);
  const tokens = { admin: newToken(), controllers: newToken() };
  const tokenFile = join(folder, "tokens.csv");
  writePrivateFile(tokenFile, staticTokens(tokens));
  const admin = kubeAdmin({ url, caPem: pki.caPem, token: tokens.admin });
  const kubeconfig = kubeconfigWriter(folder, url, pki.caPem);
  const adminKubeconfig = kubeconfig("admin", {
    "client-certificate-data": base64(pki.admin.certPem),
    "client-key-data": base64(pki.admin.keyPem),
  });
  const parts = clusterParts({
    folder,
    programs,
    bound,
    pki,
    admin,
    etcdPort,
    port,
    tokenFile,
    controllerKubeconfig: kubeconfig("controllers", { token: tokens.controllers }),
    controllers: options.controllers ?? defaultControllers,
    apiServerArgs: options.apiServerArgs ?? [],
  });
  let users = 0;
  return {
    parts,
    url,
    port,
    etcdUrl: `http://127.0.0.1:${etcdPort}`,
    caFile: pki.caFile,
    caPem: pki.caPem,
    adminToken: tokens.admin,
    adminKubeconfig,
    admin,
    kubeconfigFor(token, namespace) {
      users += 1;
      return kubeconfig(`user-${users}`, { token }, namespace);
    },
    kubectl: async (args, stdin = "") =>
      await runKubectl({ program: programs.kubectl, kubeconfig: adminKubeconfig, folder, args, stdin }),
  };
}

const newToken = () => randomBytes(24).toString("hex");
const base64 = (content: string) => Buffer.from(content).toString("base64");

function staticTokens(tokens: { readonly admin: string; readonly controllers: string }): string {
  const controllers = "system:kube-controller-manager";
  return [
    `${tokens.admin},token-admin,token-admin,"system:masters"`,
    `${tokens.controllers},${controllers},kcm`,
    "",
  ].join("\n");
}

function kubeconfigWriter(folder: string, server: string, caPem: string) {
  return (name: string, user: Readonly<Record<string, string>>, namespace = "default"): string => {
    const path = join(folder, `${name}.kubeconfig`);
    // JSON is YAML, and needs no escapes of our own.
    const content = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "test", cluster: { server, "certificate-authority-data": base64(caPem) } }],
      users: [{ name: "test", user }],
      contexts: [{ name: "test", context: { cluster: "test", user: "test", namespace } }],
      "current-context": "test",
    };
    writePrivateFile(path, JSON.stringify(content));
    return path;
  };
}

interface KubectlCall {
  readonly program: string;
  readonly kubeconfig: string;
  readonly folder: string;
  readonly args: readonly string[];
  readonly stdin: string;
}

async function runKubectl({ program, kubeconfig, folder, args, stdin }: KubectlCall): Promise<CommandAnswer> {
  const child = spawn(program, ["--kubeconfig", kubeconfig, ...args], {
    cwd: folder,
    env: { PATH: process.env["PATH"], HOME: folder },
    timeout: 60_000,
    killSignal: "SIGKILL",
  });
  // It need not read what it is given.
  child.stdin.on("error", () => undefined);
  child.stdin.end(stdin);
  const exit = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
  const [code, stdout, stderr] = await Promise.all([exit, text(child.stdout), text(child.stderr)]);
  return { code, stdout, stderr };
}
