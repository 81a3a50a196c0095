import { type FieldValue, type Message, type Snapshot, typeUrls } from "./resource.ts";

/**
 * Whether Envoy can run with this snapshot: every name that one resource mentions is there, and nothing is left over.
 * Returns the faults in words; none means consistent.
 */
export function checkConsistency(snapshot: Snapshot): string[] {
  return [
    ...Object.entries(snapshot.resources).flatMap(([typeUrl, byName]) => wrongNames(typeUrl, byName)),
    ...unpairedEndpoints(snapshot),
    ...danglingNames(snapshot),
  ];
}

function wrongNames(typeUrl: string, byName: ReadonlyMap<string, Message>): string[] {
  const own = typeUrl === typeUrls.endpoints ? "cluster_name" : "name";
  return [...byName].filter(([name, message]) => message[own] !== name).map(([name]) => `${name} has another ${own}`);
}

function unpairedEndpoints({ resources }: Snapshot): string[] {
  const faults: string[] = [];
  const endpoints = resources[typeUrls.endpoints];
  let paired = 0;
  for (const [name, cluster] of resources[typeUrls.cluster]) {
    if (cluster["type"] !== "EDS") continue;
    if (endpoints.has(name)) paired += 1;
    else faults.push(`cluster ${name} has no endpoints`);
  }
  if (paired === endpoints.size) return faults;
  for (const name of endpoints.keys()) {
    if (resources[typeUrls.cluster].get(name)?.["type"] !== "EDS") faults.push(`endpoints ${name} have no EDS cluster`);
  }
  return faults;
}

/** Where one resource names another: the field, the type it names, and where the name is in it. */
const references = [
  { field: "envoy_grpc", type: typeUrls.cluster, name: "cluster_name" },
  { field: "server_uri", type: typeUrls.cluster, name: "cluster" },
  { field: "rds", type: typeUrls.route, name: "route_config_name" },
  { field: "tls_certificate_sds_secret_configs", type: typeUrls.secret, name: "name" },
  { field: "route", type: typeUrls.cluster, name: "cluster" },
] as const;

function danglingNames({ resources }: Snapshot): string[] {
  const faults: string[] = [];
  const visit = (value: FieldValue, where: string): void => {
    if (isList(value)) for (const item of value) visit(item, where);
    else if (isMessage(value)) for (const [field, inner] of Object.entries(value)) enter(field, inner, where);
  };
  const enter = (field: string, value: FieldValue, where: string): void => {
    const reference = references.find((candidate) => candidate.field === field);
    if (reference !== undefined) {
      for (const holder of isList(value) ? value : [value]) {
        const name = isMessage(holder) ? holder[reference.name] : undefined;
        if (typeof name === "string" && !resources[reference.type].has(name)) {
          faults.push(`${where} refers to ${name}, which is not there`);
        }
      }
    }
    visit(value, where);
  };
  for (const type of [typeUrls.listener, typeUrls.route]) {
    for (const [name, message] of resources[type]) visit(message, `${type.slice(type.lastIndexOf(".") + 1)} ${name}`);
  }
  return faults;
}

// Array.isArray does not narrow readonly arrays.
const isList = (value: FieldValue): value is readonly FieldValue[] => Array.isArray(value);

// A Secret has no fields of its own, so it is walked as an empty message.
const isMessage = (value: FieldValue): value is Message =>
  typeof value === "object" && value !== null && !Array.isArray(value);
