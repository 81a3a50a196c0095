import { Client, credentials, type ServiceDefinition } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createAccessLogHandler } from "../../src/edges/envoy/access-log.ts";
import { accessLogService } from "../../src/edges/envoy/protos.ts";
import type { HttpAccessLogEntry, StreamAccessLogsMessage } from "../../src/edges/envoy/protos-log.ts";
import { accessLog } from "../../src/edges/envoy/read-access-log.ts";
import { type ControlServer, startControlServer } from "../../src/edges/envoy/server.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { createActivity } from "../../src/sessions/activity.ts";
import { proofMs } from "../../src/sessions/idleness.ts";
import { countingMetrics } from "../support/counting-metrics.ts";
import { factStruct } from "../support/facts.ts";
import { until } from "../support/until.ts";

// Envoy's side of the access log service over real gRPC; the activity behind it is the real one, its time is the test's.

const rules = { intervalMs: 30_000, detachedGraceMs: 300_000 };
const proof = proofMs(rules);
let now = 0;
let gaps = 0;
let server: ControlServer;
let clients: Client[];
let metrics: ReturnType<typeof countingMetrics>;
let activity: ReturnType<typeof createActivity>;
let faults: number;

beforeEach(async () => {
  now = 10_000_000;
  gaps = 0;
  faults = 0;
  clients = [];
  metrics = countingMetrics();
  activity = createActivity(rules, 0);
  activity.track("uid-1", 0);
  const handler = createAccessLogHandler({
    stream(report) {
      if (report.decisionId === "faulty") throw new Error("fault");
      activity.stream({ ...report, at: now });
    },
    accessLogGap() {
      gaps += 1;
      activity.accessLogGap(now);
    },
    metrics,
    log: { ...silentLog, error: () => void (faults += 1) },
  });
  const definition = accessLog as unknown as ServiceDefinition;
  server = await startControlServer({
    address: "127.0.0.1:0",
    services: [{ definition, implementation: { StreamAccessLogs: handler } }],
  });
});

afterEach(async () => {
  for (const client of clients) client.close();
  await server.close();
});

/** One worker of one Envoy. */
function connect(node: string) {
  const client = new Client(server.address, credentials.createInsecure());
  clients.push(client);
  const { path, requestSerialize, responseDeserialize } = accessLogService.StreamAccessLogs;
  const ended = { error: undefined as Error | null | undefined };
  const call = client.makeClientStreamRequest(path, requestSerialize, responseDeserialize, (error) => {
    ended.error = error;
  });
  call.on("error", () => undefined);
  let first = true;
  return {
    call,
    ended,
    send(...log_entry: HttpAccessLogEntry[]) {
      const message: StreamAccessLogsMessage = {
        ...(first ? { identifier: { node: { id: node }, log_name: "gatehouse" } } : {}),
        http_logs: { log_entry },
      };
      first = false;
      call.write(message);
    },
  };
}

interface Entry {
  readonly type?: string;
  readonly stream?: string;
  readonly decided?: Readonly<Record<string, string>> | undefined;
}

const decision = { decision_id: "d-1", driver_uid: "uid-1", cluster: "driver|ns/app|uid-1", method: "AddArtifacts" };

const entry = ({
  type = "DownstreamPeriodic",
  stream = "s-1",
  decided = decision,
}: Entry = {}): HttpAccessLogEntry => ({
  common_properties: {
    access_log_type: type,
    stream_id: stream,
    metadata: { filter_metadata: { "envoy.filters.http.ext_authz": factStruct(decided) } },
  },
});

const bare = (type: string): HttpAccessLogEntry => ({
  common_properties: { access_log_type: type, stream_id: "s-9" },
  request: { path: "/spark.connect.SparkConnectService/ExecutePlan", request_headers: {} },
});

const busy = () => activity.usage("uid-1", now)?.busy.filter((cause) => cause !== "unproven");
const streams = () => activity.liveStreams("uid-1", now) + activity.liveStreams("uid-2", now);
const live = (count: number) => until(() => streams() === count, { what: `${count} live streams` });

describe("the access log", () => {
  it("keeps a driver busy from the first periodic entry of a stream to its end entry", async () => {
    const envoy = connect("envoy-a");
    envoy.send(bare("DownstreamStart"), entry());
    await live(1);
    expect(busy()).toEqual(["stream"]);
    expect(activity.usage("uid-1", now)?.lastActive).toBe(now);
    now += 5_000;
    envoy.send(entry({ type: "DownstreamEnd" }));
    await live(0);
    expect(busy()).toEqual([]);
    expect(activity.usage("uid-1", now)?.lastActive).toBe(now);
  });

  it("takes no sign of use from entries that no Check of ours stands behind", async () => {
    const envoy = connect("envoy-a");
    envoy.send(
      bare("DownstreamStart"),
      bare("DownstreamEnd"),
      entry({ stream: "denied", decided: { decision_id: "d-1", method: "ExecutePlan" } }),
      entry({ stream: "no cluster", decided: { ...decision, cluster: "" } }),
      entry({ stream: "gone", decided: { ...decision, driver_uid: "uid-of-a-driver-that-is-gone" } }),
      {},
    );
    activity.track("uid-2", 0);
    envoy.send(entry({ decided: { ...decision, driver_uid: "uid-2" } }));
    await live(1);
    expect(activity.usage("uid-1", now)).toMatchObject({ lastActive: 0 });
    expect(busy()).toEqual([]);
  });

  it("tells the streams of several Envoys and workers apart", async () => {
    const [a, b] = [connect("envoy-a"), connect("envoy-b")];
    a.send(entry());
    b.send(entry());
    await live(2);
    expect(metrics.value("gatehouse_access_log_streams")).toBe(2);
    connect("envoy-a").send(entry({ type: "DownstreamEnd" }));
    await live(1);
  });

  it("takes every stream that opens, closes or is cut off as a gap", async () => {
    const [a, b] = [connect("envoy-a"), connect("envoy-b")];
    a.send(entry());
    b.send(entry());
    await live(2);
    expect(gaps).toBe(2);
    now += 2 * proof;
    expect(activity.usage("uid-1", now)?.busy).toEqual([]);
    a.call.cancel();
    await until(() => gaps === 3);
    expect(activity.usage("uid-1", now + proof - 1)?.busy).toEqual(["unproven"]);
    b.call.end();
    await until(() => gaps === 4);
    await until(() => b.ended.error === null);
    expect(metrics.value("gatehouse_access_log_streams")).toBe(0);
  });

  it("counts streams that end with the server as lost", async () => {
    connect("envoy-a").send(entry());
    await live(1);
    await server.close();
    await until(() => gaps === 2);
    expect(metrics.value("gatehouse_access_log_streams")).toBe(0);
  });

  it("goes on after an entry that makes a fault", async () => {
    const envoy = connect("envoy-a");
    envoy.send(entry({ decided: { ...decision, decision_id: "faulty" } }), entry());
    await live(1);
    expect(faults).toBe(1);
  });

  it("reads a thousand entries in one message", async () => {
    const envoy = connect("envoy-a");
    envoy.send(...Array.from({ length: 1_000 }, (_, i) => entry({ stream: `s-${i}`, type: "DownstreamEnd" })), entry());
    await live(1);
  });
});
