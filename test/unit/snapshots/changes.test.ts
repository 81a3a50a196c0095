import { describe, expect, it } from "vitest";
import type { Driver } from "../../../src/drivers/driver.ts";
import { createRegistry } from "../../../src/drivers/registry.ts";
import { createEnvoyCache } from "../../../src/edges/envoy/ads.ts";
import { createPublisher } from "../../../src/flows/publish.ts";
import { silentLog } from "../../../src/kernel/log.ts";
import { noMetrics } from "../../../src/kernel/metrics.ts";
import { Secret } from "../../../src/kernel/secret.ts";
import { buildSnapshot } from "../../../src/snapshots/build.ts";
import { checkConsistency } from "../../../src/snapshots/consistency.ts";
import { typeUrls } from "../../../src/snapshots/resource.ts";
import type { ResourceCache } from "../../../src/xds/resource-cache.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { pick, seeded } from "../../support/seeded.ts";
import { exampleCertificate, exampleDriver, exampleSettings } from "./example.ts";

// Whatever happens to drivers, change by change: Envoy is offered exactly what a snapshot of everything holds.

const versions = (cache: ResourceCache) =>
  Object.fromEntries(
    Object.values(typeUrls).map((typeUrl) => [
      typeUrl,
      [...cache.names(typeUrl)].sort().map((name) => [name, cache.get(typeUrl, name)?.version]),
    ]),
  );

function randomDriver(random: () => number): Driver {
  const app = `app-${Math.floor(random() * 30)}`;
  const uid = pick(random, [`uid-${app}`, `uid-${app}`, `uid-${app}-2`, `no|uid-${app}`]);
  const port = pick(random, [15002, 15002, 15003, 0]);
  const host = pick(random, ["127.0.0.5", "127.0.0.6", "::1", "no-address"]);
  const phase = pick(random, ["starting", "ready", "ready", "ready", "draining", "failed"] as const);
  const key = {
    ...exampleDriver(app).key,
    namespace: pick(random, ["sjns-data-dev", "sjns-data-dev", "sjns-other-dev"]),
  };
  const address = phase === "starting" ? undefined : { host, port };
  return { ...exampleDriver(app), uid, key, phase, address, recorded: undefined };
}

describe("resources taken over change by change", () => {
  it.each(Array.from({ length: 20 }, (_, seed) => seed))("are those of a whole snapshot (seed %i)", async (seed) => {
    const random = seeded(seed);
    const clock = createFakeClock();
    const registry = createRegistry({ clock, log: silentLog, metrics: noMetrics });
    const settings = exampleSettings;
    let certificate = exampleCertificate;
    const cache = createEnvoyCache();
    const publisher = createPublisher({ registry, cache, settings, certificate, clock, log: silentLog });
    for (let i = 0; i < 20; i += 1) registry.sink.upsert(randomDriver(random));
    registry.sink.synced();
    for (let step = 0; step < 20; step += 1) {
      for (let i = Math.floor(random() * 100); i >= 0; i -= 1) {
        const present = registry.all();
        if (random() < 0.4 && present.length > 0) {
          const { uid, key } = pick(random, present);
          registry.sink.remove({ uid, key, cause: "died", summary: "", at: clock.now() });
        } else registry.sink.upsert(randomDriver(random));
        if (random() < 0.1) await clock.advance(random() * 120);
      }
      if (random() < 0.2) {
        certificate = { chain: `chain ${step}`, key: new Secret("another key") };
        publisher.setCertificate(certificate);
      }
      await clock.advance(2_000);
      const whole = buildSnapshot(registry.catalog(), settings, certificate);
      const oracle = createEnvoyCache();
      oracle.replace(whole.resources);
      expect(checkConsistency(whole)).toEqual([]);
      expect(versions(cache)).toEqual(versions(oracle));
    }
  });
});
