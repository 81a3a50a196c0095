import { spawn } from "node:child_process";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { ensureTools, type Tools } from "../../deploy/local/tools.ts";
import { GatewayError } from "../../src/kernel/errors.ts";
import type { FieldTree } from "../../src/spark/field-tree.ts";
import { methodOfName, sparkMethods } from "../../src/spark/methods.ts";
import { requestFields } from "../../src/spark/request-fields.ts";
import { RequestStream } from "../../src/spark/request-stream.ts";
import { stampFor } from "../../src/spark/stamp.ts";
import {
  anOperation,
  aSession,
  concat,
  damagedRequest,
  field,
  frame,
  framesIn,
  randomFrom,
  randomRequest,
  userContext,
} from "../support/spark-wire.ts";

let tools: Tools;
beforeAll(async () => {
  tools = await ensureTools(["spark35"], () => undefined);
}, 900_000);

interface Decoded {
  readonly session_id: string;
  readonly operation_id: string;
  readonly user_id: string;
  readonly user_name: string;
  readonly extensions: readonly string[];
  readonly tags: readonly string[];
}

interface Answer {
  readonly methods: readonly string[];
  readonly fields: Readonly<Record<string, readonly (string | null)[]>>;
  readonly messages: readonly (Decoded | null)[];
}

/** Asks PySpark's own descriptors and decoder. */
async function ask(
  python: string,
  fields: Readonly<Record<string, readonly (readonly number[])[]>>,
  messages: readonly Uint8Array[] = [],
): Promise<Answer> {
  const child = spawn(python, [join(import.meta.dirname, "../support/py/spark_wire.py")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.end(JSON.stringify({ fields, messages: messages.map((bytes) => Buffer.from(bytes).toString("hex")) }));
  const out: Buffer[] = [];
  for await (const chunk of child.stdout) out.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(out).toString()) as Answer;
}

function pathsIn(tree: FieldTree, above: readonly number[] = []): number[][] {
  return [...tree.fields].flatMap(([number, rule]) => {
    const path = [...above, number];
    return rule.kind === "message" ? [path, ...pathsIn(rule.tree, path)] : [path];
  });
}

const common = ["session_id: string", "user_context: UserContext", "user_context.user_id: string"];
const plan = [
  "plan: Plan",
  "plan.command: Command",
  "plan.command.write_stream_operation_start: WriteStreamOperationStart",
  "plan.command.streaming_query_command: StreamingQueryCommand",
  "plan.command.streaming_query_command.query_id: StreamingQueryInstanceId",
  "plan.command.streaming_query_command.query_id.id: string",
  "plan.command.streaming_query_command.stop: bool",
];
const compressed = ["plan.compressed_operation: CompressedOperation", "plan.compressed_operation.op_type: enum"];
const options = [
  "request_options: RequestOption",
  "request_options.reattach_options: ReattachOptions",
  "request_options.reattach_options.reattachable: bool",
];
const expected: Readonly<Record<string, readonly string[]>> = {
  ExecutePlan: [...plan, ...compressed, ...options, "operation_id: string"],
  AnalyzePlan: [],
  Config: [],
  AddArtifacts: [],
  ArtifactStatus: [],
  Interrupt: ["operation_id: string"],
  ReattachExecute: ["operation_id: string"],
  ReleaseExecute: ["operation_id: string", "release_all: ReleaseAll", "release_until: ReleaseUntil"],
  ReleaseSession: [],
  FetchErrorDetails: [],
  CloneSession: ["new_session_id: string"],
};

const ourPaths = Object.fromEntries(sparkMethods.map((method) => [method.name, pathsIn(requestFields(method))]));
const sorted = (names: readonly (string | null)[]): (string | null)[] =>
  names.toSorted((a, b) => String(a).localeCompare(String(b)));

describe("our field numbers", () => {
  test("are those of Spark 4.1, for every method of its service", async () => {
    const { methods, fields } = await ask(tools.python, ourPaths);
    expect(sorted(methods)).toEqual(sorted(sparkMethods.map((method) => method.name)));
    for (const [method, names] of Object.entries(expected)) {
      const all = [...common, "user_context.user_name: string", ...names];
      expect(sorted(fields[method]!), method).toEqual(sorted(all));
    }
  });

  test("mean the same or nothing in Spark 3.5", async () => {
    const { methods, fields } = await ask(tools.spark35!.python, ourPaths);
    const known = new Set(sparkMethods.map((method) => method.name));
    expect(methods.filter((method) => !known.has(method))).toEqual([]);
    for (const method of methods) {
      const names = [...common, "user_context.user_name: string", ...expected[method]!];
      const there = fields[method]!.filter((name) => name !== null);
      expect(sorted(there), method).toEqual(sorted(names.filter((name) => !compressed.includes(name))));
    }
  });
});

const verified = { userId: "alice@corp", userName: "Alice" };

/** What would be forwarded, or undefined where it is refused. */
function forwarded(message: Uint8Array): Uint8Array | undefined {
  const options = { method: methodOfName("ExecutePlan")!, stamp: stampFor(verified), maxMessageBytes: 1 << 20 };
  try {
    const pieces = new RequestStream(options).push(frame(message));
    const out = pieces.flatMap((piece) => (piece.kind === "bytes" ? [piece.bytes] : piece.tail));
    return framesIn(concat(...out))[0];
  } catch (thrown) {
    if (thrown instanceof GatewayError) return undefined;
    throw thrown;
  }
}

describe("PySpark's own decoder", () => {
  const stamp = stampFor(verified);
  const extension = field(999, field(1, "type.googleapis.com/x"));

  test("merges as the stamp needs it, and keeps the client's extensions", async () => {
    const messages = [
      concat(
        field(1, aSession),
        userContext("mallory", "Mallory", extension),
        userContext("root"),
        field(6, anOperation),
      ),
      concat(userContext("mallory"), field(1, aSession), field(2, extension)),
      concat(field(1, aSession), field(2, field(2, "only a name"))),
      field(1, aSession),
    ];
    const { messages: seen } = await ask(
      tools.python,
      {},
      messages.map((message) => concat(message, stamp)),
    );
    expect(seen.map((one) => [one?.session_id, one?.user_id, one?.user_name])).toEqual(
      messages.map(() => [aSession, "alice@corp", "Alice"]),
    );
    expect(seen.slice(0, 2).map((one) => one?.extensions)).toEqual([
      ["type.googleapis.com/x"],
      ["type.googleapis.com/x"],
    ]);
  });

  test("sees the verified identity in all that is forwarded of 10,000 random and damaged messages", async () => {
    const random = randomFrom(41);
    const whole = Array.from({ length: 2000 }, () => randomRequest(random));
    const damaged = Array.from({ length: 8000 }, () => damagedRequest(random));
    const stamped = [...whole, ...damaged].map((message) => forwarded(message));
    expect(stamped.slice(0, whole.length)).not.toContain(undefined);
    const passed = stamped.filter((message) => message !== undefined);
    expect(passed.length).toBeGreaterThan(3000);
    const { messages: seen } = await ask(tools.python, {}, passed);
    const { messages: before } = await ask(tools.python, {}, whole);
    expect(seen.filter((one) => one !== null).length).toBeGreaterThan(2500);
    for (const one of seen) {
      if (one) expect(one).toMatchObject({ user_id: "alice@corp", user_name: "Alice", session_id: expect.anything() });
    }
    for (const [index, one] of before.entries()) {
      expect(seen[index]).toEqual({ ...one, user_id: "alice@corp", user_name: "Alice" });
    }
  });
});
