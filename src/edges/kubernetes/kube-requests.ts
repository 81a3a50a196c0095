import type { IncomingMessage } from "node:http";
import { StringDecoder } from "node:string_decoder";
import { ApiError } from "./api.ts";

/** A list of 500 large objects stays far below. Bytes. */
const MAX_BODY = 128 * 1024 * 1024;
const MAX_STATUS = 256 * 1024;
/** One watch event. etcd keeps no object above 1.5 MiB. Characters. */
const MAX_LINE = 8 * 1024 * 1024;

/** @throws ApiError */
export async function readAnswer(response: IncomingMessage, form: "json" | "text" = "json"): Promise<unknown> {
  const text = await readText(response, MAX_BODY);
  if (form === "text") return text;
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(0, "NoAnswer", "the API server's answer is not JSON");
  }
}

async function readText(response: IncomingMessage, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > limit) throw new ApiError(0, "NoAnswer", `the API server's answer is larger than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Calls back for each line of a stream, whatever its chunks are. @throws ApiError where a line is too long or is not JSON */
export async function readLines(
  stream: AsyncIterable<Uint8Array>,
  onLine: (json: unknown) => void,
  limit = MAX_LINE,
): Promise<void> {
  const decoder = new StringDecoder("utf8");
  let pieces: string[] = [];
  let held = 0;
  const finish = (last: string) => {
    const line = pieces.length === 0 ? last : pieces.join("") + last;
    pieces = [];
    held = 0;
    if (line.trim() === "") return;
    onLine(parseLine(line));
  };
  for await (const chunk of stream) {
    const text = decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    let from = 0;
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", from)) {
      finish(text.slice(from, at));
      from = at + 1;
    }
    const rest = text.slice(from);
    held += rest.length;
    if (held > limit) throw new ApiError(0, "NoAnswer", `a watch event is longer than ${limit} characters`);
    if (rest !== "") pieces.push(rest);
  }
  // What follows the last line break is an event that was cut off: the next watch brings it whole.
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new ApiError(0, "NoAnswer", "a watch event is not JSON");
  }
}

/** The error that an answer of 400 and above stands for. Reads its body. */
export async function errorOf(response: IncomingMessage): Promise<ApiError> {
  const status = response.statusCode ?? 0;
  const header = retryAfterHeader(response.headers["retry-after"]);
  const text = await readText(response, MAX_STATUS).catch(() => "");
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined;
  }
  return statusError(body, status, header);
}

/** The error that a `Status` object stands for, as an answer's body or in an ERROR event. */
export function statusError(body: unknown, httpStatus = 0, retryAfterMs?: number): ApiError {
  const { code, reason, message, details } = isObject(body) ? body : {};
  const status = typeof code === "number" && httpStatus === 0 ? code : httpStatus;
  const seconds = isObject(details) ? details["retryAfterSeconds"] : undefined;
  const asked = typeof seconds === "number" && seconds > 0 ? seconds * 1_000 : undefined;
  return new ApiError(
    status,
    typeof reason === "string" && reason !== "" ? reason : `Status${status}`,
    typeof message === "string" && message !== "" ? clip(message) : `the API server answered with status ${status}`,
    { retryAfterMs: retryAfterMs ?? asked },
  );
}

function retryAfterHeader(value: string | undefined): number | undefined {
  if (value === undefined || !/^\d{1,6}$/.test(value)) return undefined;
  return Number(value) * 1_000;
}

const clip = (text: string): string => (text.length > 1_000 ? `${text.slice(0, 1_000)}…` : text);

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;

/** How a request is counted: the API's verb and the collection, with the subresource. */
export function measuredAs(method: string, path: string): { readonly verb: string; readonly resource: string } {
  const parts = path.split("/").filter((part) => part !== "");
  const rest = parts.slice(parts[0] === "api" ? 2 : 3);
  if ((parts[0] !== "api" && parts[0] !== "apis") || rest[0] === undefined) return { verb: "get", resource: "other" };
  const inNamespace = rest[0] === "namespaces" && rest.length > 2;
  const [plural = "other", name, sub] = inNamespace ? rest.slice(2) : rest;
  const verbs: Readonly<Record<string, string>> = { POST: "create", PUT: "update", PATCH: "patch", DELETE: "delete" };
  return {
    verb: verbs[method] ?? (name === undefined ? "list" : "get"),
    resource: sub === undefined ? plural : `${plural}/${sub}`,
  };
}
