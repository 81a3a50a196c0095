import type { FieldRule, FieldTree, MarkName, TextName } from "./field-tree.ts";
import type { SparkMethod } from "./methods.ts";

const uuidBytes = 36;
const idBytes = 256;
const nameBytes = 4096;

const text = (name: TextName, maxBytes: number, once = false): FieldRule => ({ kind: "text", name, maxBytes, once });
const mark = (name: MarkName, wireType: 0 | 2, value = true, when?: (value: number) => boolean): FieldRule =>
  when ? { kind: "mark", name, wireType, value, when } : { kind: "mark", name, wireType, value };
const tree = (strict: boolean, fields: Readonly<Record<number, FieldRule>>): FieldTree => ({
  strict,
  fields: new Map(Object.entries(fields).map(([number, rule]) => [Number(number), rule])),
});
const message = (fields: Readonly<Record<number, FieldRule>>, strict = false): FieldRule => ({
  kind: "message",
  tree: tree(strict, fields),
});

// Numbers from spark/connect/base.proto and commands.proto; a test compares them with the descriptors in PySpark 3.5 and 4.1.
const userContext = message({ 1: text("claimedUserId", nameBytes), 2: text("claimedUserName", nameBytes) }, true);

const commandOpType = 2;

const executePlan: Readonly<Record<number, FieldRule>> = {
  // plan
  3: message({
    // command
    2: message({
      // write_stream_operation_start
      6: mark("streamingStart", 2),
      // streaming_query_command: query_id.id and stop
      7: message({ 1: message({ 1: text("streamingQueryId", idBytes) }), 5: mark("streamingStop", 0) }),
    }),
    // compressed_operation: op_type
    3: message({ 2: mark("streamingStart", 0, true, (value) => value === commandOpType) }),
  }),
  // request_options: reattach_options.reattachable
  5: message({ 1: message({ 1: mark("reattachable", 0, true, (value) => value !== 0) }) }),
};

const special: Readonly<Record<string, Readonly<Record<number, FieldRule>>>> = {
  ExecutePlan: executePlan,
  // release_all, release_until
  ReleaseExecute: { 5: mark("release", 2), 6: mark("release", 2, false) },
  // new_session_id
  CloneSession: { 4: text("newSessionId", uuidBytes) },
};

const trees = new Map<string, FieldTree>();

/** What is read from a request of that method. */
export function requestFields(method: SparkMethod): FieldTree {
  const known = trees.get(method.name);
  if (known) return known;
  const operation = method.operationIdField;
  const made = tree(true, {
    1: text("sessionId", uuidBytes, true),
    2: userContext,
    ...(operation === undefined ? {} : { [operation]: text("operationId", idBytes, true) }),
    ...special[method.name],
  });
  trees.set(method.name, made);
  return made;
}
