import { existsSync } from "node:fs";
import type { Driver } from "../../src/drivers/driver.ts";
import { processMarks } from "../../src/edges/local/java-command.ts";
import { findDriverProcesses, sessionMembers } from "../../src/edges/local/process-identity.ts";
import { createLocalRuntime } from "../../src/edges/local/runtime.ts";
import { driverFolder } from "../../src/edges/local/state-file.ts";
import { sparkWorld } from "../support/local-world.ts";
import { driverRuntimeContract } from "./driver-runtime.contract.ts";

driverRuntimeContract("local processes", async () => {
  const { options, dispose } = await sparkWorld();
  const leaders = new Map<string, number>();
  const processOf = ({ uid }: Driver) => {
    const [found] = findDriverProcesses((each) => processMarks(options.folder, each)).filter((one) => one.uid === uid);
    if (found !== undefined) leaders.set(uid, found.pid);
    return found?.pid;
  };
  return {
    open: () => createLocalRuntime(options),
    cluster: "local",
    profile: "default",
    brokenProfile: { name: "broken", cause: /^driver exited with code 1: ClassNotFoundException: no\.such\.Plugin$/ },
    failureMemoryMs: options.failureMemoryMs ?? 0,
    noticeMs: 500,
    startMs: 90_000,
    async kill(driver) {
      process.kill(processOf(driver) ?? Number.NaN, "SIGKILL");
    },
    async leftovers(driver) {
      const pid = processOf(driver);
      const leader = leaders.get(driver.uid);
      const members = leader === undefined ? [] : sessionMembers(leader);
      const own = driverFolder(options.folder, driver.uid);
      return [
        ...(pid === undefined ? [] : [`process ${pid}`]),
        ...members.map(String),
        ...(existsSync(own) ? [own] : []),
      ];
    },
    dispose,
  };
});
