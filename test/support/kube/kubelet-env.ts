import type { KubeObject } from "../../../src/edges/kubernetes/objects.ts";
import type { Collection, KubeAdmin } from "./access.ts";
import type { AgentContainer, AgentPod, EnvVar } from "./kubelet-types.ts";

/** Why a container cannot be made yet, in the kubelet's words: the message of CreateContainerConfigError. */
export class MissingConfig extends Error {
  override readonly name = "MissingConfig";
}

export interface ContainerCommand {
  /** Command and arguments, with `$(NAME)` replaced. */
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The files of its ConfigMaps, by their paths. */
  readonly files: Readonly<Record<string, string>>;
}

/**
 * Command and environment of a container as the kubelet makes them.
 * @throws MissingConfig while a Secret, a ConfigMap or a key that is not optional is missing
 * @throws Error while a ConfigMap that it mounts is missing
 */
export async function containerCommand(
  admin: KubeAdmin,
  pod: AgentPod,
  container: AgentContainer,
  ip: string,
): Promise<ContainerCommand> {
  const env: Record<string, string> = {};
  for (const variable of container.env ?? []) {
    const value = await valueOf(admin, pod, variable, ip, env);
    if (value !== undefined) env[variable.name] = value;
  }
  const words = [...(container.command ?? []), ...(container.args ?? [])];
  return { words: words.map((word) => expand(word, env)), env, files: await filesOf(admin, pod, container) };
}

/** Replaces `$(NAME)`; `$$` stands for `$`, and what nobody defined stays as it is. */
function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\$|\$\(([^()\s]+)\)/g, (whole, name: string | undefined) =>
    name === undefined ? "$" : (env[name] ?? whole),
  );
}

async function filesOf(
  admin: KubeAdmin,
  { metadata, spec }: AgentPod,
  { volumeMounts = [] }: AgentContainer,
): Promise<Data> {
  const files: Record<string, string> = {};
  for (const { name, mountPath } of volumeMounts) {
    const configMap = spec.volumes?.find((volume) => volume.name === name)?.configMap?.name;
    if (configMap === undefined) continue;
    const data = await dataAt(admin, { apiVersion: "v1", plural: "configmaps" }, metadata.namespace, configMap);
    if (data === undefined) throw new Error(`configmap "${configMap}" not found`);
    for (const [key, value] of Object.entries(data)) files[`${mountPath}/${key}`] = value;
  }
  return files;
}

async function valueOf(
  admin: KubeAdmin,
  pod: AgentPod,
  { value, valueFrom }: EnvVar,
  ip: string,
  known: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  if (valueFrom === undefined) return expand(value ?? "", known);
  const { fieldRef, secretKeyRef, configMapKeyRef } = valueFrom;
  if (fieldRef !== undefined) return fieldOf(pod, fieldRef.fieldPath, ip);
  const ref = secretKeyRef ?? configMapKeyRef;
  if (ref === undefined) return undefined;
  const kind = secretKeyRef === undefined ? "ConfigMap" : "Secret";
  const { namespace } = pod.metadata;
  const of = { apiVersion: "v1", plural: `${kind.toLowerCase()}s` };
  const data = await dataAt(admin, of, namespace, ref.name);
  const stored = data?.[ref.key];
  if (stored !== undefined) return kind === "Secret" ? Buffer.from(stored, "base64").toString("utf8") : stored;
  if (ref.optional === true) return undefined;
  throw new MissingConfig(
    data === undefined
      ? `${kind.toLowerCase()} "${ref.name}" not found`
      : `couldn't find key ${ref.key} in ${kind} ${namespace}/${ref.name}`,
  );
}

type Data = Readonly<Record<string, string>>;

async function dataAt(admin: KubeAdmin, of: Collection, namespace: string, name: string): Promise<Data | undefined> {
  const object = await admin.find<KubeObject & { readonly data?: Data }>(of, namespace, name);
  return object === undefined ? undefined : (object.data ?? {});
}

function fieldOf(pod: AgentPod, path: string, ip: string): string {
  const keyed = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (keyed !== null) return pod.metadata[keyed[1] === "labels" ? "labels" : "annotations"]?.[keyed[2] ?? ""] ?? "";
  const plain: Readonly<Record<string, string | undefined>> = {
    "metadata.name": pod.metadata.name,
    "metadata.namespace": pod.metadata.namespace,
    "metadata.uid": pod.metadata.uid,
    "spec.nodeName": pod.spec.nodeName,
    "spec.serviceAccountName": pod.spec.serviceAccountName,
    "status.hostIP": "127.0.0.1",
    "status.podIP": ip,
    "status.podIPs": ip,
  };
  return plain[path] ?? "";
}
