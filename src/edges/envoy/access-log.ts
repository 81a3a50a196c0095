import type { handleClientStreamingCall, ServerReadableStream } from "@grpc/grpc-js";
import type { Log } from "../../kernel/log.ts";
import type { Metrics } from "../../kernel/metrics.ts";
import type { StreamReport } from "../../sessions/activity.ts";
import { fromStruct } from "./encode-struct.ts";
import { factsOf } from "./facts.ts";
import type { HttpAccessLogEntry, StreamAccessLogsMessage } from "./protos-log.ts";

export interface AccessLogHandlerDeps {
  /** An entry about a call that a Check let through. */
  stream(report: Omit<StreamReport, "at">): void;
  /** Entries may have been lost until now. */
  accessLogGap(): void;
  readonly metrics: Metrics;
  readonly log: Log;
}

type Call = ServerReadableStream<StreamAccessLogsMessage, object>;

/**
 * The access log service. Envoy's workers open a stream each, with their first entry, and lose what they log while it is
 * away. So both a stream that opens and one that is lost are gaps: what was not reported before may be alive. Entries
 * only say that streams live; nothing here decides or is audited.
 */
export function createAccessLogHandler(
  deps: AccessLogHandlerDeps,
): handleClientStreamingCall<StreamAccessLogsMessage, object> {
  let streams = 0;
  const opened = (by: 1 | -1) => {
    streams += by;
    deps.metrics.set("gatehouse_access_log_streams", {}, streams);
    deps.accessLogGap();
  };
  return (call, callback) => {
    let node: string | undefined;
    let open = true;
    const lost = (how: string) => {
      if (!open) return;
      open = false;
      opened(-1);
      deps.log.info("an access log stream ended", { node, how });
    };
    opened(1);
    onEnd(call, lost);
    call.on("data", (message: StreamAccessLogsMessage) => {
      // Only the first message of a stream says who sends it.
      node ??= message.identifier?.node?.id ?? "";
      for (const entry of message.http_logs?.log_entry ?? []) take(deps, node, entry);
    });
    call.on("end", () => callback(null, {}));
  };
}

function onEnd(call: Call, lost: (how: string) => void): void {
  call.on("end", () => lost("closed by Envoy"));
  call.on("cancelled", () => lost("cut off"));
  call.on("error", () => lost("broken"));
  call.on("close", () => lost("closed"));
}

function take(deps: AccessLogHandlerDeps, node: string, entry: HttpAccessLogEntry): void {
  try {
    const report = reportOf(node, entry);
    if (report !== undefined) deps.stream(report);
  } catch (error) {
    deps.log.error("an access log entry could not be taken", { node, error });
  }
}

/** What the entry says about a call's life; undefined where no decision of ours let the call through (yet). */
export function reportOf(
  node: string,
  { common_properties: common }: HttpAccessLogEntry,
): Omit<StreamReport, "at"> | undefined {
  const noted = common?.metadata?.filter_metadata;
  // By ext_authz, or by ext_proc where that decides too. A client can write to neither.
  const byAuthz = noted?.["envoy.filters.http.ext_authz"];
  const decided: Readonly<Record<string, unknown>> =
    byAuthz === undefined ? fromStruct(noted?.["gatehouse"]) : factsOf(byAuthz);
  const text = (name: string): string => (typeof decided[name] === "string" ? decided[name] : "");
  const [uid, decisionId, cluster] = [text("driver_uid"), text("decision_id"), text("cluster")];
  if (!uid || !decisionId || !cluster || !common?.stream_id) return undefined;
  return {
    uid,
    decisionId,
    method: text("method"),
    // Stream ids are unique within one Envoy.
    streamKey: `${node}/${common.stream_id}`,
    kind: kindOf(common.access_log_type),
  };
}

/** An entry without a type comes from an Envoy that logs only at the end of a call. */
function kindOf(type: string | undefined): StreamReport["kind"] {
  if (type === "DownstreamStart") return "start";
  return type === "DownstreamPeriodic" ? "periodic" : "end";
}
