import { join } from "node:path";
import type { BoundCommand } from "../../../deploy/local/bound.ts";
import { type Child, startChild, waitFor } from "../../../deploy/local/processes.ts";
import { type StackPart, stackPart } from "../stack-part.ts";
import { type KubeAdmin, serviceAccounts } from "./access.ts";
import type { KubeBinaries } from "./build.ts";
import type { KubePki } from "./pki.ts";

/** A process of a cluster that a test may also hold still. */
export interface ClusterPart extends StackPart {
  /** SIGSTOP: connections stay open and nobody answers. */
  pause(): void;
  /** SIGCONT. */
  resume(): void;
}

export interface PartsOptions {
  readonly folder: string;
  readonly programs: KubeBinaries;
  /** How to start a program: see `boundToUs`. */
  readonly bound: (program: string, args: readonly string[]) => BoundCommand;
  readonly pki: KubePki;
  readonly admin: KubeAdmin;
  readonly etcdPort: number;
  readonly port: number;
  /** Lines of static tokens: `token,user,uid,"group,group"`. */
  readonly tokenFile: string;
  readonly controllerKubeconfig: string;
  readonly controllers: readonly string[];
  /** Added at the end of the API server's arguments. */
  readonly apiServerArgs: readonly string[];
}

export type ClusterParts = Readonly<Record<"etcd" | "apiServer" | "controllerManager", ClusterPart>>;

/** After SIGTERM the API server waits up to 60 s for open watches. */
const graceMs = 1500;
const deadlineMs = 60_000;

/** The three processes of a cluster, none of them started. */
export function clusterParts(options: PartsOptions): ClusterParts {
  const { programs, etcdPort, admin } = options;
  const part = (
    name: string,
    program: string,
    args: readonly string[],
    isReady: () => Promise<boolean>,
  ): ClusterPart => {
    const logFile = join(options.folder, `${name}.log`);
    const env = { PATH: process.env["PATH"], HOME: options.folder, TMPDIR: options.folder };
    const made = stackPart({
      name,
      logFile,
      graceMs,
      launch: async () =>
        await startChild({ name, ...options.bound(program, args), cwd: options.folder, env, logFile }),
      ready: async (child: Child) =>
        void (await waitFor(`${name} to serve`, isReady, { deadlineMs, children: [child], intervalMs: 25 })),
    });
    // Its own getters (pid, running) must stay getters.
    return Object.defineProperties(
      { pause: () => made.signal("SIGSTOP"), resume: () => made.signal("SIGCONT") },
      Object.getOwnPropertyDescriptors(made),
    ) as ClusterPart;
  };
  const health = async () => await fetch(`http://127.0.0.1:${etcdPort}/health`).then((answer) => answer.ok, no);
  const readyz = async () => await admin.request("GET", "/readyz").then(yes, no);
  const hasAccount = async () => await admin.get(serviceAccounts, "default", "default").then(yes, no);
  return {
    etcd: part("etcd", programs.etcd, etcdArguments(options), health),
    apiServer: part("kube-apiserver", programs.apiserver, apiServerArguments(options), readyz),
    controllerManager: part(
      "kube-controller-manager",
      programs.controllerManager,
      controllerArguments(options),
      hasAccount,
    ),
  };
}

const yes = () => true;
const no = () => false;

function etcdArguments({ folder, etcdPort }: PartsOptions): string[] {
  const url = `http://127.0.0.1:${etcdPort}`;
  return [
    "--name=test",
    `--data-dir=${join(folder, "etcd")}`,
    "--listen-peer-urls=http://127.0.0.1:0",
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    "--unsafe-no-fsync",
    "--log-level=warn",
  ];
}

function apiServerArguments(options: PartsOptions): string[] {
  const { folder, pki, etcdPort, port, tokenFile, apiServerArgs } = options;
  return [
    `--etcd-servers=http://127.0.0.1:${etcdPort}`,
    "--bind-address=127.0.0.1",
    "--advertise-address=127.0.0.1",
    `--secure-port=${port}`,
    `--cert-dir=${folder}`,
    `--tls-cert-file=${pki.server.certFile}`,
    `--tls-private-key-file=${pki.server.keyFile}`,
    `--client-ca-file=${pki.caFile}`,
    `--token-auth-file=${tokenFile}`,
    "--authorization-mode=RBAC",
    "--service-account-issuer=https://kubernetes.default.svc",
    `--service-account-key-file=${pki.serviceAccounts.publicFile}`,
    `--service-account-signing-key-file=${pki.serviceAccounts.keyFile}`,
    "--service-cluster-ip-range=10.0.0.0/24",
    "--endpoint-reconciler-type=none",
    "--allow-privileged",
    "--profiling=false",
    ...apiServerArgs,
  ];
}

function controllerArguments({ pki, controllerKubeconfig, controllers }: PartsOptions): string[] {
  return [
    `--kubeconfig=${controllerKubeconfig}`,
    "--leader-elect=false",
    "--secure-port=0",
    `--service-account-private-key-file=${pki.serviceAccounts.keyFile}`,
    `--root-ca-file=${pki.caFile}`,
    "--use-service-account-credentials=true",
    `--controllers=${controllers.join(",")}`,
  ];
}
