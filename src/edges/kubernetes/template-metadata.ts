import { ownerHash } from "./hash.ts";
import { annotation, label } from "./labels.ts";
import type { ObjectMeta } from "./objects.ts";
import type { PodSettings } from "./options.ts";
import { templateHash } from "./template-hash.ts";
import type { TemplateInput } from "./template-input.ts";

type Texts = Readonly<Record<string, string>>;

/** Labels and annotations with this start are ours: a profile cannot set them. */
const ownPrefix = "gatehouse.dev/";

/** What a profile may set. */
export const foreign = (texts: Texts): Texts =>
  Object.fromEntries(Object.entries(texts).filter(([name]) => !name.startsWith(ownPrefix)));

/** By these a driver's pod is found, whoever made it. */
export function driverLabels({ name, profileName, installation, facts }: TemplateInput): Texts {
  return {
    [label.installation]: installation,
    [label.driver]: name,
    [label.profile]: profileName,
    [label.owner]: ownerHash(facts.owner),
  };
}

/** Executors are known as ours, but never taken for the driver. */
export function executorLabels(input: TemplateInput): Texts {
  const { [label.driver]: driver = "", ...rest } = driverLabels(input);
  return { ...rest, [label.executorOf]: driver };
}

/** The main object's metadata. `pod`: where the main object is itself the driver's pod. */
export function mainMetadata(input: TemplateInput, pod?: PodSettings): ObjectMeta {
  const { facts, factsText, name, profile } = input;
  return {
    name,
    namespace: facts.namespace,
    labels: {
      ...foreign(pod?.labels ?? {}),
      ...driverLabels(input),
      [label.share]: facts.sharedWithGroups.length > 0 ? "group" : "user",
    },
    annotations: {
      ...foreign(pod?.annotations ?? {}),
      [annotation.facts]: factsText,
      [annotation.session]: `${facts.namespace}/${facts.app}`,
      [annotation.owner]: facts.owner,
      [annotation.expiresAt]: new Date(facts.createdAt + profile.maxTtlMs).toISOString(),
      [annotation.template]: templateHash(profile),
    },
  };
}
