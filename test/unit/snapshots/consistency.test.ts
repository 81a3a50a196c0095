import { describe, expect, it } from "vitest";
import { buildSnapshot } from "../../../src/snapshots/build.ts";
import { checkConsistency } from "../../../src/snapshots/consistency.ts";
import { type Message, type Snapshot, type TypeUrl, typeUrls } from "../../../src/snapshots/resource.ts";
import { exampleCertificate, exampleDriver, exampleSettings } from "./example.ts";

const sound = buildSnapshot({ generation: 1, drivers: [exampleDriver("a")] }, exampleSettings, exampleCertificate);

/** The sound snapshot with one type changed. */
function spoilt(type: TypeUrl, change: (resources: Map<string, Message>) => void): Snapshot {
  const resources = new Map(sound.resources[type]);
  change(resources);
  return { ...sound, resources: { ...sound.resources, [type]: resources } };
}

describe("checkConsistency", () => {
  it("finds nothing in a snapshot as it is built", () => {
    expect(checkConsistency(sound)).toEqual([]);
  });

  it.each<[string, TypeUrl, (resources: Map<string, Message>) => void, RegExp]>([
    ["endpoints missing", typeUrls.endpoints, (all) => all.clear(), /^cluster driver\|.* has no endpoints$/],
    ["endpoints left over", typeUrls.endpoints, (all) => all.set("x", { cluster_name: "x" }), /^endpoints x have no/],
    ["ext_authz's cluster missing", typeUrls.cluster, (all) => all.delete("gatehouse-check"), /gatehouse-check, which/],
    ["ext_proc's cluster missing", typeUrls.cluster, (all) => all.delete("gatehouse-process"), /gatehouse-process, wh/],
    ["the log's cluster missing", typeUrls.cluster, (all) => all.delete("gatehouse-access-log"), /access-log, which/],
    ["routes missing", typeUrls.route, (all) => all.clear(), /^Listener gatehouse refers to gatehouse, which is not/],
    ["the certificate missing", typeUrls.secret, (all) => all.clear(), /refers to gatehouse-server, which is not/],
    ["a wrong name", typeUrls.secret, (all) => all.set("y", { name: "z" }), /^y has another name$/],
    [
      "a route to nowhere",
      typeUrls.route,
      (all) =>
        all.set("gatehouse", { name: "gatehouse", virtual_hosts: [{ routes: [{ route: { cluster: "gone" } }] }] }),
      /^RouteConfiguration gatehouse refers to gone/,
    ],
  ])("finds %s", (_what, type, change, fault) => {
    const faults = checkConsistency(spoilt(type, change));
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(fault);
  });
});
