import type { ContainerCommand } from "./kubelet-env.ts";
import type { AgentContainer } from "./kubelet-types.ts";

/** A Spark Connect server as a container's command asks for it, made small enough for a test. */
export interface SparkLaunch {
  readonly conf: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string>>;
  readonly port: number;
  /** Java's heap, in Spark's notation. */
  readonly heap: string;
}

const mark = /SparkConnectServer|SparkConnectPlugin|start-connect-server\.sh/;
const connectPlugin = "org.apache.spark.sql.connect.SparkConnectPlugin";

/** Needs a cluster, or a path of the image, or is decided by how the test starts Java. */
const foreign =
  /^spark\.(kubernetes|dynamicAllocation|executor\.extra\w+|shuffle\.service|decommission|submit|jars|files|archives)\b|^spark\.(master|local\.dir|driver\.(memory\w*|cores|extra\w+|defaultJavaOptions|blockManager\.port|port))$/;

/** Paths of the image, which are others here. */
const imagePaths = /^(PATH|HOME|JAVA_HOME|SPARK_HOME|SPARK_CONF_DIR|SPARK_LOCAL_DIRS|PYSPARK_.*PYTHON|PYTHONPATH)$/;

/** The Spark Connect server that this command starts; undefined where it starts something else. */
export function sparkLaunch(container: AgentContainer, command: ContainerCommand): SparkLaunch | undefined {
  if (!command.words.some((word) => mark.test(word))) return undefined;
  const all = confOf(command);
  const conf: Record<string, string> = {};
  for (const [name, value] of Object.entries(all)) if (!foreign.test(name)) conf[name] = value;
  const plugins = (conf["spark.plugins"] ?? "")
    .split(",")
    .filter((plugin) => plugin !== "" && plugin !== connectPlugin);
  delete conf["spark.plugins"];
  if (plugins.length > 0) conf["spark.plugins"] = plugins.join(",");
  // Spark refuses no executors at all, unless they come and go by need.
  if (all["spark.dynamicAllocation.enabled"] === "true") delete conf["spark.executor.instances"];
  // A name of a service: nothing resolves it here.
  if (!/^[\d.]+$/.test(conf["spark.driver.host"] ?? "0")) delete conf["spark.driver.host"];
  return {
    conf,
    env: Object.fromEntries(Object.entries(command.env).filter(([name]) => !imagePaths.test(name))),
    port: Number(all["spark.connect.grpc.binding.port"] ?? 15_002),
    heap: heapOf(container),
  };
}

/** A command for a shell is taken apart; another is a word. */
function inShell(word: string): readonly string[] {
  if (!mark.test(word) || !word.includes(" ")) return [word];
  const parts = word.match(/(?:[^\s"']|"[^"]*"|'[^']*')+/g) ?? [];
  return parts.map((part) => part.replaceAll(/["']/g, ""));
}

/** The settings of the properties files, then those among the arguments: the last of a name counts. */
function confOf({ words: given, files }: ContainerCommand): Readonly<Record<string, string>> {
  const words = given.flatMap(inShell);
  const conf: Record<string, string> = {};
  for (const [at, word] of words.entries()) {
    if (word !== "--properties-file") continue;
    for (const line of (files[words[at + 1] ?? ""] ?? "").split("\n")) {
      const split = line.indexOf("=");
      if (split > 0 && !line.startsWith("#")) conf[line.slice(0, split)] = line.slice(split + 1);
    }
  }
  for (const [at, word] of words.entries()) {
    const pair = word === "--conf" || word === "-c" ? words[at + 1] : /^--conf=(.*)$/s.exec(word)?.[1];
    const split = pair?.indexOf("=") ?? -1;
    if (pair !== undefined && split > 0) conf[pair.slice(0, split)] = pair.slice(split + 1);
    const name = word === "--name" ? words[at + 1] : undefined;
    if (name !== undefined) conf["spark.app.name"] = name;
  }
  return conf;
}

/** Seven tenths of the container's memory, but no more than 1 GiB and no less than Spark asks for. */
function heapOf({ resources }: AgentContainer): string {
  const mebibytes = memory(resources?.limits?.["memory"] ?? resources?.requests?.["memory"] ?? "2Gi") / 2 ** 20;
  return `${Math.round(Math.min(1024, Math.max(512, mebibytes * 0.7)))}m`;
}

/** Bytes of a quantity of memory. */
function memory(quantity: string): number {
  const [, number = "0", unit = ""] = /^([\d.]+)([A-Za-z]*)$/.exec(quantity) ?? [];
  const units: Readonly<Record<string, number>> = {
    Ki: 2 ** 10,
    Mi: 2 ** 20,
    Gi: 2 ** 30,
    Ti: 2 ** 40,
    k: 1e3,
    M: 1e6,
    G: 1e9,
  };
  return Number(number) * (units[unit] ?? 1);
}
