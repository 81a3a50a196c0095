import { ApiError } from "./api.ts";
import type { KubeObject } from "./objects.ts";

/**
 * What a list or a watch told, where it is an object as every kind has it: whoever takes it in relies on that. Something
 * else is no object that can be left out, since what is left out counts as gone: the answer as a whole is broken.
 *
 * Of a custom resource the API server itself vouches only for the metadata: a specification or status of a wrong type is
 * as none, so that who may write one such resource cannot blind Gatehouse for all others.
 * @throws ApiError (status 0)
 */
export function asObject(told: unknown): KubeObject {
  if (!isRecord(told) || !isMetadata(told["metadata"])) {
    throw new ApiError(0, "NoAnswer", "the API server told of something that is no Kubernetes object");
  }
  const { spec, status, ...rest } = told;
  if (isRecordOr(spec) && isRecordOr(status)) return told as unknown as KubeObject;
  return {
    ...rest,
    ...(isRecord(spec) ? { spec } : {}),
    ...(isRecord(status) ? { status } : {}),
  } as unknown as KubeObject;
}

function isMetadata(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp } = value;
  const texts = [namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp];
  if (typeof name !== "string" || !texts.every(isTextOr)) return false;
  return isTexts(value["labels"]) && isTexts(value["annotations"]) && isOwners(value["ownerReferences"]);
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isRecordOr = (value: unknown): boolean => value === undefined || isRecord(value);
const isTextOr = (value: unknown): boolean => value === undefined || typeof value === "string";
const isTexts = (value: unknown): boolean =>
  value === undefined || (isRecord(value) && Object.values(value).every((text) => typeof text === "string"));

function isOwners(value: unknown): boolean {
  if (value === undefined) return true;
  return (
    Array.isArray(value) &&
    value.every((owner: unknown) => {
      if (!isRecord(owner)) return false;
      return [owner["apiVersion"], owner["kind"], owner["name"], owner["uid"]].every(
        (text) => typeof text === "string",
      );
    })
  );
}
