import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ConfigTree } from "../../../deploy/local/gatehouse-config.ts";
import { mergeConfig } from "../../../deploy/local/gatehouse-config.ts";
import { freePort } from "../../../deploy/local/ports.ts";
import { ensureTools } from "../../../deploy/local/tools.ts";
import { type Stack, type StackOptions, startStack } from "../stack.ts";
import type { KubeAdmin } from "./access.ts";
import { grant, type PolicyRule, serviceAccountToken, serviceAccountUser } from "./access-rights.ts";
import { type KubeCluster, startKubeCluster } from "./cluster.ts";
import { operatorCrds } from "./crds.ts";
import { type NodeAgent, startNodeAgent } from "./node-agent.ts";
import { driverRules, leaseRules } from "./rules.ts";

export interface KubeWorldOptions {
  /** Namespaces for drivers that exist from the start. Default that of alice's team and that of bob's. */
  readonly driverNamespaces?: readonly string[];
  /** What Gatehouse may do in each of them. Default the chart's rules for all kinds. */
  readonly rules?: readonly PolicyRule[];
  /** Default true: the kinds of the three operators exist from the start. */
  readonly crds?: boolean;
  readonly nodeLabels?: Readonly<Record<string, string>>;
  /** Added at the end of the API server's arguments. */
  readonly apiServerArgs?: readonly string[];
}

export interface ReplicaOptions extends StackOptions {
  /** The ServiceAccount, in the home namespace, that it is. Default "gatehouse". */
  readonly account?: string;
  /** Where it reaches the API server; default there itself. */
  readonly apiUrl?: string;
}

/** A real API server with a test node agent, and replicas of Gatehouse with an Envoy each that use it. */
export interface KubeWorld {
  readonly cluster: KubeCluster;
  readonly agent: NodeAgent;
  /** Where Gatehouse's Lease lies. */
  readonly homeNamespace: string;
  readonly driverNamespaces: readonly string[];
  /** One more replica. The first one brings the issuer; the later ones trust it, and take tokens from it. */
  replica(options?: ReplicaOptions): Promise<Stack>;
  readonly stacks: readonly Stack[];
  /** Ends everything, the replicas first. */
  stop(): Promise<void>;
}

const homeNamespace = "gatehouse";

export async function startKubeWorld(options: KubeWorldOptions = {}): Promise<KubeWorld> {
  const driverNamespaces = options.driverNamespaces ?? ["sjns-analytics-dev", "sjns-platform-dev"];
  const tools = await ensureTools([], (line) => void process.stderr.write(`${line}\n`));
  const cluster = await startKubeCluster({
    crds: options.crds === false ? [] : operatorCrds,
    ...(options.apiServerArgs && { apiServerArgs: options.apiServerArgs }),
  });
  const stacks: Stack[] = [];
  let agent: NodeAgent | undefined;
  const stop = async (): Promise<void> => {
    for (const stack of [...stacks].reverse()) await stack.stop();
    await agent?.stop();
    await cluster.stop();
  };
  try {
    const { admin } = cluster;
    for (const namespace of [homeNamespace, ...driverNamespaces]) await admin.createNamespace(namespace);
    agent = await startNodeAgent({ admin, tools, ...(options.nodeLabels && { labels: options.nodeLabels }) });
    const sealKeyFile = join(dirname(cluster.caFile), "seal.keys");
    await writeFile(sealKeyFile, `${randomBytes(32).toString("base64")}\n`, { mode: 0o600 });
    return {
      cluster,
      agent,
      homeNamespace,
      driverNamespaces,
      stacks,
      stop,
      async replica({ account = "gatehouse", apiUrl, ...own } = {}) {
        const rules = options.rules ?? driverRules;
        const token = await accountToken(admin, account, driverNamespaces, rules);
        const kubeconfig = await pointedAt(cluster.kubeconfigFor(token), apiUrl);
        const base = replicaConfig({ kubeconfig, sealKeyFile, driverNamespaces, peerPort: await freePort() });
        const [first] = stacks;
        const shared = first === undefined ? {} : { identity: { issuers: [trusted(first)] } };
        const config = mergeConfig(mergeConfig(base, shared), own.config ?? {});
        const start = first === undefined ? {} : { start: ["gatehouse", "envoy"] as const };
        const stack = await startStack({ ...start, ...own, config });
        if (first !== undefined) lend(stack, first);
        stacks.push(stack);
        return stack;
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A token of that ServiceAccount, which may do there what the rules say. */
async function accountToken(
  admin: KubeAdmin,
  account: string,
  driverNamespaces: readonly string[],
  rules: readonly PolicyRule[],
): Promise<string> {
  const token = await serviceAccountToken(admin, homeNamespace, account);
  const user = serviceAccountUser(homeNamespace, account);
  await grant(admin, `${account}-lease`, { user, namespace: homeNamespace, rules: leaseRules });
  for (const namespace of driverNamespaces) await grant(admin, `${account}-drivers`, { user, namespace, rules });
  return token;
}

/** The kubeconfig file, changed to that server. */
async function pointedAt(kubeconfig: string, server: string | undefined): Promise<string> {
  if (server === undefined) return kubeconfig;
  const content = JSON.parse(await readFile(kubeconfig, "utf8")) as { clusters: { cluster: object }[] };
  content.clusters = content.clusters.map((each) => ({
    ...each,
    cluster: { server, "insecure-skip-tls-verify": server.startsWith("http:") },
  }));
  await writeFile(kubeconfig, JSON.stringify(content), { mode: 0o600 });
  return kubeconfig;
}

const trusted = ({ issuerUrl }: Stack): ConfigTree => ({
  name: "local",
  issuer: issuerUrl,
  audiences: ["gatehouse"],
  algorithms: ["RS256"],
});

interface ReplicaParts {
  readonly kubeconfig: string;
  readonly sealKeyFile: string;
  readonly driverNamespaces: readonly string[];
  readonly peerPort: number;
}

function replicaConfig({ kubeconfig, sealKeyFile, driverNamespaces, peerPort }: ReplicaParts): ConfigTree {
  return {
    on_demand: { image: "apache/spark:4.1.0-python3", executor_instances: 0 },
    runtime: {
      kind: "kubernetes",
      kubernetes: {
        kubeconfig_file: kubeconfig,
        namespaces: driverNamespaces,
        seal_key_file: sealKeyFile,
        lease: { namespace: homeNamespace, duration_seconds: 6, renew_deadline_seconds: 4, retry_seconds: 0.5 },
        peer: { listen: `127.0.0.1:${peerPort}`, advertise: `127.0.0.1:${peerPort}` },
        start_timeout_seconds: 120,
      },
    },
  };
}

/** Tokens of `borrower` come from the issuer of `lender`. */
function lend(borrower: Stack, lender: Stack): void {
  const token: Stack["token"] = async (...about) => await lender.token(...about);
  Object.assign(borrower, { token });
}
