import { randomBytes } from "node:crypto";
import type { StartRequest } from "../../drivers/runtime.ts";
import { GatewayError } from "../../kernel/errors.ts";
import { factsText, nameOf } from "./facts.ts";
import { collectionPath, type KindSpec, kinds, objectPath } from "./kinds.ts";
import { annotation, type DriverFacts } from "./labels.ts";
import type { DriverResource, Secret, Stored } from "./objects.ts";
import type { KubernetesProfile, KubernetesRuntimeOptions } from "./options.ts";
import { seal } from "./seal.ts";
import { buildResource } from "./template.ts";
import type { TemplateInput } from "./template-input.ts";
import { driverLabels } from "./template-metadata.ts";
import { buildTokenSecret } from "./template-secret.ts";

/** All that one attempt of a start creates. */
export interface StartPlan {
  readonly name: string;
  readonly namespace: string;
  readonly profile: KubernetesProfile;
  readonly spec: KindSpec;
  /** Of the main object's collection, and of the main object. */
  readonly collection: string;
  readonly path: string;
  readonly facts: DriverFacts;
  readonly factsText: string;
  readonly resource: DriverResource;
  /** The Secret of a main object that exists: with the seal and, if the driver has one, the token. */
  secret(owner: Stored<DriverResource>): Secret;
}

/** Spark asks for a token from 4.0 on. */
const hasTokens = (sparkVersion: string): boolean => Number.parseInt(sparkVersion, 10) >= 4;

/** @throws GatewayError DRIVER_FAILED, DRIVER_TOKENLESS where such a driver cannot be */
export function planStart(options: KubernetesRuntimeOptions, request: StartRequest): StartPlan {
  const { key } = request;
  const profile = profileOf(options, request.profile);
  const { namespaces, installation, port, cluster } = options;
  if (key.cluster !== cluster || (namespaces.length > 0 && !namespaces.includes(key.namespace))) {
    throw new GatewayError("DRIVER_FAILED", `this Gatehouse starts no drivers in the namespace "${key.namespace}"`);
  }
  const name = nameOf(key);
  const facts: DriverFacts = {
    v: 1,
    ...key,
    owner: request.owner,
    ownerUser: request.ownerUser,
    sharedWithGroups: request.sharedWithGroups,
    profile: request.profile,
    ...(hasTokens(profile.sparkVersion) ? { tokenSecret: secretName(name) } : {}),
    createdAt: options.clock.now(),
  };
  const text = factsText(facts);
  const input: TemplateInput = {
    profile,
    profileName: request.profile,
    request,
    name,
    port,
    installation,
    facts,
    factsText: text,
    cluster,
  };
  const spec = kinds[profile.kind];
  return {
    name,
    namespace: key.namespace,
    profile,
    spec,
    collection: collectionPath(spec, key.namespace),
    path: objectPath(spec, key.namespace, name),
    facts,
    factsText: text,
    resource: buildResource(input),
    secret: (owner) => secretOf(options.sealKeys, input, owner),
  };
}

function secretOf(
  keys: readonly Uint8Array[],
  input: TemplateInput,
  { metadata: { name, uid } }: Stored<DriverResource>,
): Secret {
  const { facts, profile } = input;
  const { apiVersion, kind } = kinds[profile.kind];
  const { stringData, ...secret } = buildTokenSecret({
    name: facts.tokenSecret ?? secretName(name),
    namespace: facts.namespace,
    owner: { apiVersion, kind, name, uid },
    token: randomBytes(32).toString("base64url"),
    labels: driverLabels(input),
  });
  const annotations = { ...secret.metadata.annotations, [annotation.seal]: seal(keys, uid, input.factsText) };
  const sealed = { ...secret, metadata: { ...secret.metadata, annotations } };
  return facts.tokenSecret === undefined || stringData === undefined ? sealed : { ...sealed, stringData };
}

/** Another one for each incarnation: the Secret of a predecessor may still be there. */
const secretName = (name: string): string => `${name}-${randomBytes(5).toString("hex")}`;

function profileOf({ profiles }: KubernetesRuntimeOptions, name: string): KubernetesProfile {
  const profile = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (profile === undefined) throw new GatewayError("DRIVER_FAILED", `there is no profile "${name}"`);
  if (!hasTokens(profile.sparkVersion) && !profile.allowTokenless) {
    throw new GatewayError(
      "DRIVER_TOKENLESS",
      `Spark ${profile.sparkVersion} cannot ask for a token, and profile "${name}" does not allow drivers without one`,
    );
  }
  return profile;
}
