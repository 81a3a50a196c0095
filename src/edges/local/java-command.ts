import { join } from "node:path";
import type { DriverAddress } from "../../drivers/driver.ts";
import type { LocalProfile, SparkInstallation } from "./options.ts";

export interface JavaCommandInput {
  readonly uid: string;
  /** The runtime's folder, to tell its drivers from another's. */
  readonly folder: string;
  /** What the driver writes goes below it. */
  readonly ownFolder: string;
  readonly address: DriverAddress;
  readonly token: string | undefined;
  readonly profile: LocalProfile;
  readonly installation: SparkInstallation;
}

export interface JavaCommand {
  readonly args: readonly string[];
  /** The whole environment: nothing of Gatehouse's own reaches a driver. */
  readonly env: Readonly<Record<string, string>>;
}

const openedPackages = [
  "java.base/java.lang",
  "java.base/java.lang.invoke",
  "java.base/java.lang.reflect",
  "java.base/java.io",
  "java.base/java.net",
  "java.base/java.nio",
  "java.base/java.util",
  "java.base/java.util.concurrent",
  "java.base/java.util.concurrent.atomic",
  "java.base/jdk.internal.ref",
  "java.base/sun.nio.ch",
  "java.base/sun.nio.cs",
  "java.base/sun.security.action",
  "java.base/sun.util.calendar",
  "java.security.jgss/sun.security.krb5",
];

/** Settings that a profile cannot change: they decide on who reaches the driver, and where we find it. */
const reserved = /^spark\.(connect\.grpc\.binding\.|connect\.authenticate\.|master$|submit\.deployMode$)/;

/** Whether Spark's Connect server of that version can ask for a token of its own. */
export const hasTokens = (sparkVersion: string): boolean => Number.parseInt(sparkVersion, 10) >= 4;

/** Arguments by which a driver's process is recognised after a crash of ours. */
export function processMarks(folder: string, uid: string): readonly string[] {
  return [`-Dgatehouse.uid=${uid}\0`, `-Dgatehouse.folder=${folder}\0`];
}

/**
 * How to start a Spark Connect server with Java alone: Spark's own script asks for modules that a small Java lacks. The token
 * goes through the environment, because everyone on the machine can read arguments.
 */
export function javaCommand(input: JavaCommandInput): JavaCommand {
  const { installation, profile, ownFolder } = input;
  const classPath = [`${installation.sparkHome}/jars/*`, ...(installation.extraJars ?? [])].join(":");
  return {
    args: [
      `-Xmx${profile.driverMemory}`,
      "-XX:+UseSerialGC",
      // Spark's first plans need more than Java begins with; it would stop for a full collection in the middle of them.
      "-XX:MetaspaceSize=256m",
      ...(installation.javaArguments ?? []),
      ...openedPackages.map((opened) => `--add-opens=${opened}=ALL-UNNAMED`),
      "-Djdk.reflect.useDirectMethodHandle=false",
      "-Dio.netty.tryReflectionSetAccessible=true",
      ...processMarks(input.folder, input.uid).map((mark) => mark.slice(0, -1)),
      `-Djava.io.tmpdir=${join(ownFolder, "tmp")}`,
      `-Dderby.system.home=${join(ownFolder, "derby")}`,
      "-cp",
      classPath,
      "org.apache.spark.deploy.SparkSubmit",
      ...sparkConf(input).flatMap(([name, value]) => ["--conf", `${name}=${value}`]),
      "--class",
      "org.apache.spark.sql.connect.service.SparkConnectServer",
      "spark-internal",
    ],
    env: {
      PATH: "/usr/local/bin:/usr/bin:/bin",
      HOME: ownFolder,
      LANG: "C.UTF-8",
      SPARK_HOME: installation.sparkHome,
      SPARK_LOCAL_DIRS: join(ownFolder, "local"),
      SPARK_LOCAL_IP: input.address.host,
      PYSPARK_PYTHON: installation.python,
      PYSPARK_DRIVER_PYTHON: installation.python,
      ...(input.token === undefined ? {} : { SPARK_CONNECT_AUTHENTICATE_TOKEN: input.token }),
    },
  };
}

function sparkConf({ address, ownFolder, profile, uid }: JavaCommandInput): readonly (readonly [string, string])[] {
  const free = Object.entries(profile.sparkConf).filter(([name]) => !reserved.test(name));
  const conf: Record<string, string> = {
    "spark.app.name": `gatehouse-${uid}`,
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": String(Math.max(2, profile.driverCores)),
    "spark.sql.warehouse.dir": join(ownFolder, "warehouse"),
    ...Object.fromEntries(free),
    "spark.master": `local[${profile.driverCores}]`,
    "spark.submit.deployMode": "client",
    "spark.connect.grpc.binding.address": address.host,
    "spark.connect.grpc.binding.port": String(address.port),
  };
  return Object.entries(conf);
}
