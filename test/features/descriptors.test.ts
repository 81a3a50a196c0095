import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";
import { beforeAll, describe, expect, it } from "vitest";
import { protos } from "../../src/edges/envoy/protos.ts";
import { testTools } from "../support/tools.ts";

// Our subset of Envoy's contracts against the published ones: a wrong number would be silently ignored on the wire.

interface FieldFacts {
  readonly number: number;
  readonly type: string;
  readonly label: string;
  readonly oneof: string | null;
}

interface Facts {
  readonly messages: Readonly<Record<string, Readonly<Record<string, FieldFacts>> | null>>;
  readonly enums: Readonly<Record<string, Readonly<Record<string, number>> | null>>;
  readonly services: Readonly<Record<string, Readonly<Record<string, object>> | null>>;
}

let ours: Facts;
let published: Facts;

beforeAll(async () => {
  ours = factsOf(protos);
  published = await publishedFacts(ours);
}, 240_000);

describe("our subset of Envoy's contracts", () => {
  it("covers what we think it does", () => {
    expect(Object.keys(ours.messages).length).toBeGreaterThan(100);
    expect(Object.keys(ours.enums).length).toBeGreaterThan(20);
    expect(Object.keys(ours.services)).toHaveLength(3);
  });

  it("has only fields, values and methods that are published, as they are published", () => {
    expect(differences(ours, published)).toEqual([]);
  });

  it.each([
    ["number", (text: string) => text.replace("bool end_of_stream = 2;", "bool end_of_stream = 5;")],
    ["name", (text: string) => text.replace("bytes body = 1;\n  bool end", "bytes content = 1;\n  bool end")],
    ["type", (text: string) => text.replace("bool end_of_stream = 2;", "uint32 end_of_stream = 2;")],
    ["label", (text: string) => text.replace("repeated string remove_headers", "string remove_headers")],
    ["enum value", (text: string) => text.replace("CONTINUE_AND_REPLACE = 1;", "CONTINUE_AND_REPLACE = 2;")],
    ["stream", (text: string) => text.replace("rpc Process(stream ", "rpc Process(")],
  ])("would notice a wrong %s", (_what, spoil) => {
    const copy = loadProtos((path, text) => (path.endsWith("external_processor.proto") ? spoil(text) : text));
    expect(differences(factsOf(copy), published)).toHaveLength(1);
  });
});

const protoRoot = fileURLToPath(new URL("../../protos/", import.meta.url));

function protoFiles(): string[] {
  return readdirSync(protoRoot, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".proto"));
}

/** The same files, each changed on its way in. */
function loadProtos(change: (path: string, text: string) => string): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => protoRoot + target;
  for (const name of protoFiles()) {
    const text = change(name, readFileSync(protoRoot + name, "utf8"));
    protobuf.parse(text, root, { keepCase: true });
  }
  for (const name of ["any", "duration", "struct", "timestamp", "wrappers"]) {
    root.addJSON(protobuf.common.get(`google/protobuf/${name}.proto`)?.nested ?? {});
  }
  root.resolveAll();
  return root;
}

function factsOf(root: protobuf.Root): Facts {
  const facts = { messages: {}, enums: {}, services: {} } as Record<string, Record<string, unknown>>;
  const visit = (item: protobuf.ReflectionObject): void => {
    const name = item.fullName.slice(1);
    if (name.startsWith("google.protobuf")) return;
    if (item instanceof protobuf.Type) facts["messages"]![name] = fieldsOf(item);
    if (item instanceof protobuf.Enum) facts["enums"]![name] = { ...item.values };
    if (item instanceof protobuf.Service) facts["services"]![name] = methodsOf(item);
    if (item instanceof protobuf.Namespace) item.nestedArray.forEach(visit);
  };
  visit(root);
  return facts as unknown as Facts;
}

function fieldsOf(type: protobuf.Type): Record<string, FieldFacts> {
  return Object.fromEntries(
    type.fieldsArray.map((field) => {
      field.resolve();
      const single = field.repeated ? "repeated" : "single";
      return [
        field.name,
        {
          number: field.id,
          type: field.resolvedType === null ? field.type : field.resolvedType.fullName.slice(1),
          label: field instanceof protobuf.MapField ? `map of ${field.keyType}` : single,
          oneof: field.partOf?.name ?? null,
        },
      ];
    }),
  );
}

function methodsOf(service: protobuf.Service): Record<string, object> {
  return Object.fromEntries(
    service.methodsArray.map((method) => {
      method.resolve();
      return [
        method.name,
        {
          input: method.resolvedRequestType?.fullName.slice(1),
          output: method.resolvedResponseType?.fullName.slice(1),
          clientStreaming: method.requestStream === true,
          serverStreaming: method.responseStream === true,
        },
      ];
    }),
  );
}

/** What is ours and not published in the same way, one line each. */
function differences(mine: Facts, theirs: Facts): string[] {
  const lines: string[] = [];
  for (const kind of ["messages", "enums", "services"] as const) {
    for (const [name, parts] of Object.entries(mine[kind])) {
      for (const [part, facts] of Object.entries(parts ?? {})) {
        const other: unknown = theirs[kind][name]?.[part];
        if (JSON.stringify(facts) !== JSON.stringify(other)) {
          lines.push(`${name}.${part}: ${JSON.stringify(facts)}, published: ${JSON.stringify(other)}`);
        }
      }
    }
  }
  return lines;
}

async function publishedFacts(wanted: Facts): Promise<Facts> {
  const tools = await testTools("xdsProtos");
  const modules = protoFiles().map((name) => name.replace(/\.proto$/, "_pb2").replaceAll("/", "."));
  const names = { messages: wanted.messages, enums: wanted.enums, services: wanted.services };
  const keys = Object.fromEntries(Object.entries(names).map(([kind, byName]) => [kind, Object.keys(byName)]));
  const script = fileURLToPath(new URL("../support/dump_descriptors.py", import.meta.url));
  const { status, stdout, stderr } = spawnSync(tools.python, [script], {
    input: JSON.stringify({ modules, ...keys }),
    env: { PATH: process.env["PATH"], PYTHONPATH: tools.xdsProtos },
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) throw new Error(`the published descriptors could not be read: ${stderr.slice(-2000)}`);
  return JSON.parse(stdout) as Facts;
}
