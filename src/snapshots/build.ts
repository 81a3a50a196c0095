import type { Catalog } from "../drivers/catalog.ts";
import { driverResources, faultOf } from "./driver-clusters.ts";
import { listener } from "./listener.ts";
import { remember } from "./remember.ts";
import { type Message, type Skipped, type Snapshot, type TypeUrl, typeUrls } from "./resource.ts";
import { routeConfiguration } from "./routes.ts";
import type { ServerCertificate, SnapshotSettings } from "./settings.ts";
import { checkCluster, controlCluster } from "./shared.ts";

/**
 * Everything Envoy runs with, as a function of its arguments. Arguments that are the same objects as before give the
 * same resource objects as before, so that 10,000 drivers of which one changed cost little.
 */
export function buildSnapshot(catalog: Catalog, settings: SnapshotSettings, certificate: ServerCertificate): Snapshot {
  const clusters = new Map(fixedOf(settings).clusters);
  const endpoints = new Map<string, Message>();
  const skipped: Skipped[] = [];
  for (const driver of catalog.drivers) {
    const why = faultOf(driver);
    if (why !== undefined) {
      skipped.push({ uid: driver.uid, why });
      continue;
    }
    const made = driverResources(driver, settings);
    clusters.set(made.name, made.cluster);
    endpoints.set(made.name, made.endpoints);
  }
  const resources: Record<TypeUrl, ReadonlyMap<string, Message>> = {
    [typeUrls.cluster]: clusters,
    [typeUrls.endpoints]: endpoints,
    ...certificateResources(certificate),
    [typeUrls.listener]: new Map([["gatehouse", fixedOf(settings).listener]]),
    [typeUrls.route]: new Map([["gatehouse", fixedOf(settings).routes]]),
  };
  return { generation: catalog.generation, resources, skipped };
}

/** The one resource that a new certificate changes. */
export function certificateResources(
  certificate: ServerCertificate,
): Pick<Record<TypeUrl, ReadonlyMap<string, Message>>, typeof typeUrls.secret> {
  return { [typeUrls.secret]: new Map([["gatehouse-server", secretOf(certificate)]]) };
}

interface Fixed {
  readonly clusters: ReadonlyMap<string, Message>;
  readonly listener: Message;
  readonly routes: Message;
}

const fixedOf = remember((settings: SnapshotSettings): Fixed => {
  const control = {
    "gatehouse-process": settings.process,
    "gatehouse-access-log": settings.accessLog,
  };
  return {
    clusters: new Map([
      ["gatehouse-check", checkCluster("gatehouse-check", settings.check)],
      ...Object.entries(control).map(([name, endpoint]) => [name, controlCluster(name, endpoint)] as const),
    ]),
    listener: listener(settings),
    routes: routeConfiguration(settings.inspection),
  };
});

const secretOf = remember(
  (certificate: ServerCertificate): Message => ({
    name: "gatehouse-server",
    tls_certificate: {
      certificate_chain: { inline_string: certificate.chain },
      private_key: { inline_string: certificate.key },
    },
  }),
);
