import { createHash } from "node:crypto";
import { readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "./command.ts";
import { InstallError } from "./install-error.ts";
import { trustStorePassword, writeTrustStore } from "./trust-store.ts";

/** The server part of Spark Connect, which Spark 3.5 for Python does not carry. */
export const connectJar = {
  coordinates: "org.apache.spark:spark-connect_2.12:3.5.7",
  resolved: "jars/org.apache.spark_spark-connect_2.12-3.5.7.jar",
  file: "spark-connect_2.12-3.5.7.jar",
  sha256: "15366e21273a874c760b51fa00743a2acb8fa78642cc35d7a076a3ade0c5eef6",
} as const;

export interface ConnectJarOptions {
  /** Where the jar is put. */
  readonly folder: string;
  readonly java: string;
  readonly sparkHome: string;
  readonly python: string;
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Downloads the jar with the resolver inside Spark itself, which knows the repository (or a mirror that the user's own
 * settings name), and checks its hash.
 * @throws InstallError
 */
export async function fetchConnectJar({ folder, java, sparkHome, python, env }: ConnectJarOptions): Promise<void> {
  const ivy = join(folder, "ivy");
  const store = join(folder, "trust.jks");
  const trusted = await writeTrustStore(store, python, env);
  const trust = [`-Djavax.net.ssl.trustStore=${store}`, `-Djavax.net.ssl.trustStorePassword=${trustStorePassword}`];
  // There is no application of that name: resolving comes first, and is all that is wanted.
  const submit = ["--packages", connectJar.coordinates, "--conf", `spark.jars.ivy=${ivy}`, "--class", "none.None"];
  const { output } = await runCommand(
    java,
    [
      ...(trusted ? [...trust, "-Djavax.net.ssl.trustStoreType=JKS"] : []),
      ...proxySettings(),
      `-Duser.home=${folder}`,
      "-cp",
      `${sparkHome}/jars/*`,
      "org.apache.spark.deploy.SparkSubmit",
      ...submit,
      "spark-internal",
    ],
    { env: { ...env, SPARK_LOCAL_IP: "127.0.0.1" }, cwd: folder, timeoutMs: 300_000 },
  );
  const content = await readFile(join(ivy, connectJar.resolved)).catch(() => undefined);
  if (content === undefined) throw new InstallError(whyNotResolved(output));
  const hash = createHash("sha256").update(content).digest("hex");
  if (hash !== connectJar.sha256) {
    throw new InstallError(`the downloaded ${connectJar.file} is not the expected one (sha256 ${hash}): not installed`);
  }
  await rename(join(ivy, connectJar.resolved), join(folder, connectJar.file));
  await rm(ivy, { recursive: true, force: true });
  await rm(store, { force: true });
}

/** Java does not read the proxy from the environment. */
function proxySettings(): string[] {
  const value = process.env["HTTPS_PROXY"] ?? process.env["https_proxy"];
  if (value === undefined || !URL.canParse(value)) return [];
  const { hostname, port } = new URL(value);
  return [`-Dhttps.proxyHost=${hostname}`, `-Dhttps.proxyPort=${port === "" ? "80" : port}`];
}

function whyNotResolved(output: string): string {
  if (/No space left on device/.test(output)) return `no disk space left for ${connectJar.file}`;
  const lines = output.split("\n").map((line) => line.trim());
  const telling = lines.find((line) => /unresolved dependency|PKIX|not found|timed out|Exception/.test(line));
  return `cannot download ${connectJar.coordinates}: ${telling ?? "the resolver did not say why"}; check the network`;
}
