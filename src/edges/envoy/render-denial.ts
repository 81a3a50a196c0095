import { printable, printableLines } from "../../decisions/printable.ts";
import { GrpcStatus } from "../../kernel/grpc-status.ts";
import { type Reason, reasons } from "../../kernel/reasons.ts";
import { writeStatus } from "./write-status.ts";

/** A refusal on its way to a Spark Connect client, whichever filter asked. */
export interface GrpcDenial {
  readonly decisionId: string;
  readonly reason: Reason;
  /** Safe for the client; the first line says it all, further lines are a log's tail. */
  readonly message: string;
  /** Only where waiting helps: clients try again on any status that carries it. */
  readonly retryAfterMs: number | undefined;
  /** Further facts for ErrorInfo.metadata. */
  readonly fields: Readonly<Record<string, string>>;
  /** `namespace/app`, once known. */
  readonly session: string | undefined;
  /** The caller's display name, once verified. */
  readonly user: string | undefined;
}

export interface DenialHeader {
  readonly name: string;
  readonly value: string;
}

/** The most that all headers of a denial take, names included, in bytes: clients give up on more than 8 KiB. */
const maxDenialBytes = 6 * 1024;

/** The code that a denial for that reason carries: never OK, even where a reason was meant for an allow. */
export function denialStatus(reason: Reason): number {
  const code = GrpcStatus[reasons[reason].grpc];
  return code === GrpcStatus.OK ? GrpcStatus.INTERNAL : code;
}

/**
 * The headers that end a gRPC call as Trailers-Only: status, message, `google.rpc.Status` with ErrorInfo (and RetryInfo),
 * and the decision id. The text in the Status equals the text in grpc-message, or clients fail on the difference. A
 * message that is too long loses whole lines, the oldest of the log's tail first.
 */
export function grpcDenialHeaders(denial: GrpcDenial): readonly DenialHeader[] {
  const metadata = metadataOf(denial);
  const lines = printableLines(messageOf(denial), maxDenialBytes).trim().split("\n");
  let headers = headersFor(denial, lines.join("\n"), metadata);
  while (sizeOf(headers) > maxDenialBytes && lines.length > 1) {
    lines.splice(1, 1);
    headers = headersFor(denial, [lines[0], "…", ...lines.slice(1)].join("\n"), metadata);
  }
  let line = lines[0] ?? "";
  while (sizeOf(headers) > maxDenialBytes && line.length > 1) {
    line = printable(line, Math.floor(line.length * 0.8));
    headers = headersFor(denial, line, metadata);
  }
  return headers;
}

/** An internal error says where its cause is to be found; other messages say it all. */
const messageOf = ({ reason, message, decisionId }: GrpcDenial): string =>
  reason === "INTERNAL" ? `${message} (decision ${decisionId})` : message;

function headersFor(denial: GrpcDenial, message: string, metadata: Readonly<Record<string, string>>): DenialHeader[] {
  const { reason, retryAfterMs } = denial;
  const code = denialStatus(reason);
  const delayMs = retryAfterMs === undefined ? undefined : Math.max(0, Math.ceil(retryAfterMs));
  const status = writeStatus({ code, message, reason, domain: "gatehouse", metadata, retryAfterMs: delayMs });
  return [
    { name: "grpc-status", value: String(code) },
    { name: "grpc-message", value: percentEncoded(message) },
    { name: "grpc-status-details-bin", value: unpadded(status) },
    { name: "x-gatehouse-decision-id", value: visible(denial.decisionId) },
  ];
}

/** Base64 as gRPC's binary headers have it. */
const unpadded = (bytes: Buffer): string => bytes.toString("base64").slice(0, Math.ceil((bytes.length * 4) / 3));

const visible = (id: string): string => (/^[!-~]{0,64}$/.test(id) ? id : id.replace(/[^!-~]/g, "?").slice(0, 64));

const sizeOf = (headers: readonly DenialHeader[]): number =>
  headers.reduce((sum, { name, value }) => sum + name.length + value.length, 0);

/** gRPC's own encoding of a message: printable ASCII stays, "%" and all else become %XX of their UTF-8 bytes. */
function percentEncoded(text: string): string {
  if (/^[ -$&-~]*$/.test(text)) return text;
  let out = "";
  for (const byte of Buffer.from(text, "utf8")) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    out += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}

/**
 * Spark's clients read some keys as their own: `errorClass` is what `getCondition()` returns, and
 * INVALID_HANDLE.SESSION_CHANGED makes PySpark close the session. `classes` is left out on purpose: without it every
 * client version puts the reason in front of the message. The other reserved keys would send the client to the driver
 * for more, or be parsed as JSON.
 */
const reservedKeys = new Set(["errorId", "stackTrace", "messageParameters", "classes", "sqlState", "errorClass"]);

function metadataOf(denial: GrpcDenial): Record<string, string> {
  const metadata: Record<string, string> = {};
  const fields = Object.entries(denial.fields).filter(([key]) => /^[a-z][a-zA-Z0-9_]{0,39}$/.test(key));
  for (const [key, value] of fields.slice(0, 8)) if (!reservedKeys.has(key)) metadata[key] = printable(value, 100);
  metadata["decision_id"] = printable(denial.decisionId, 64);
  metadata["errorClass"] =
    denial.reason === "SESSION_CHANGED" ? "INVALID_HANDLE.SESSION_CHANGED" : `GATEHOUSE.${denial.reason}`;
  if (denial.session !== undefined) metadata["session"] = printable(denial.session, 200);
  if (denial.user !== undefined) metadata["user"] = printable(denial.user, 100);
  return metadata;
}
