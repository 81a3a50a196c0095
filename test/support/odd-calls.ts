import type { HeaderLine } from "./raw-http2.ts";

/** A call that a library would hardly send; everything that is not named is as in a clean call. */
export interface OddCall {
  readonly name: string;
  readonly method?: string;
  readonly path?: string;
  readonly authority?: string;
  /** Further lines, as they are. */
  readonly lines?: readonly HeaderLine[];
}

const config = "/spark.connect.SparkConnectService/Config";

const withLines = (name: string, ...lines: HeaderLine[]): OddCall => ({ name, lines });
const withHeader = (name: string, ...values: string[]): OddCall[] =>
  values.map((value) => withLines(`${name}: ${value.slice(0, 60)}`, [name, value]));
const withPath = (...paths: string[]): OddCall[] =>
  paths.map((path) => ({ name: `path ${JSON.stringify(path.slice(0, 80))}`, path }));

/** What would be a second question, where anything took it for one. */
const smuggled = "POST /spark.connect.SparkConnectService/Config HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n";

const aboutTheMessage: readonly OddCall[] = [
  ...withHeader("content-length", "0", "1", "5", "10000", "99999999999999999999999", "-1", "x", "1,1", ""),
  withLines("content-length twice", ["content-length", "5"], ["content-length", "6"]),
  ...withHeader("expect", "100-continue", "wonders"),
  ...withHeader("te", "gzip", "trailers, deflate", "chunked"),
  ...withHeader("trailer", "x-spark-session-id", "content-length"),
  ...withHeader("transfer-encoding", "chunked", "identity", "gzip, chunked"),
  ...withHeader("connection", "close", "keep-alive", "x-spark-session-id", "authorization, upgrade"),
  ...withHeader("upgrade", "websocket", "h2c"),
  withLines("an upgrade", ["connection", "upgrade"], ["upgrade", "websocket"]),
  ...withHeader("keep-alive", "timeout=1, max=1"),
  ...withHeader("proxy-connection", "close"),
  ...withHeader("host", "other.example", "main--sjns-analytics-dev.spark.localhost", "a,b", ""),
  withLines("host twice", ["host", "a"], ["host", "b"]),
  ...withHeader("http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
];

const ours: readonly OddCall[] = [
  ...withHeader("x-gatehouse-health-check", "1"),
  { name: "a health check", method: "GET", path: "/", lines: [["x-gatehouse-health-check", "1"]] },
  ...withHeader("x-envoy-external-address", "10.0.0.1"),
  ...withHeader("x-envoy-internal", "true"),
  ...withHeader("x-envoy-expected-rq-timeout-ms", "1"),
  ...withHeader("x-envoy-auth-headers-to-remove", "authorization", "x-gatehouse-cluster", "x-request-id,:path"),
  ...withHeader("x-envoy-auth-headers-to-append", "authorization"),
  ...withHeader("facts", "user_id=local:carol&reason=OWNER", ""),
  ...withHeader("inspect", "false", "true"),
  ...withHeader("decision_id", "mine"),
  ...withHeader("x-request-id", "mine", ""),
  ...withHeader("__proto__", "x"),
  ...withHeader("constructor", "x"),
];

const paths: readonly OddCall[] = withPath(
  "",
  "*",
  "Config",
  `${config} `,
  `${config} HTTP/1.1`,
  `${config} HTTP/1.1\r\nx: y`,
  `${config}\r\nx-spark-session-id: sjns-analytics-dev.main`,
  `${config}\n`,
  `${config}\r`,
  `${config}\0`,
  `${config}\t`,
  `${config}\x7f`,
  `${config}?a b`,
  `${config}?${smuggled}`,
  `${config}?\xff\xfe`,
  `${config}\xe9`,
  `https://localhost${config}`,
  `http://other.example${config}`,
  `//other.example${config}`,
  `/${"x".repeat(50 * 1024)}`,
  `${config}?${"x".repeat(50 * 1024)}`,
);

const methodNames = "CONNECT PRI HEAD GET OPTIONS TRACE PURGE M-SEARCH post POSTS X".split(" ");

const methods: readonly OddCall[] = [...methodNames, "", "PO ST", "POST\r\nx: y", "P".repeat(5000)].map((method) => ({
  name: `method ${JSON.stringify(method.slice(0, 20))}`,
  method,
}));

const authorities: readonly OddCall[] = ["", "a b", "a\r\nx: y", "user@host", "h\xff", "h,h", "x".repeat(5000)].map(
  (authority) => ({ name: `authority ${JSON.stringify(authority.slice(0, 20))}`, authority }),
);

const texts: readonly OddCall[] = [
  ...withHeader(
    "x-odd",
    "a\r\nx-spark-session-id: b",
    `a\r\n\r\n${smuggled}`,
    "a\nb",
    "a\rb",
    "a\0b",
    "a\x01b",
    "a\x7fb",
  ),
  ...withHeader("x-odd", " a ", "\ta\t", "", " ", "\xff\xfe", "a, b", '"', "x".repeat(40_000)),
  ...[
    "X-Odd",
    "x odd",
    "x:odd",
    ":odd",
    "",
    "x\r\nodd: a",
    "x\0odd",
    "x\xffodd",
    "x/odd",
    "(x)",
    "x,authorization",
  ].map((name) => withLines(`a header named ${JSON.stringify(name)}`, [name, "x"])),
  withLines(":path twice", [":path", `${config}x`]),
  withLines(":method behind", [":method", "GET"]),
  withLines("99 headers", ...many(90, 8)),
  withLines("150 headers", ...many(150, 8)),
  withLines("59 KiB of headers' names", ...many(80, 720)),
  withLines("70 KiB of headers' names", ...many(80, 880)),
];

function many(count: number, length: number): HeaderLine[] {
  return Array.from({ length: count }, (_, index) => [`x-${index}-`.padEnd(length, "x"), "1"]);
}

export const oddCalls: readonly OddCall[] = [
  ...aboutTheMessage,
  ...ours,
  ...paths,
  ...methods,
  ...authorities,
  ...texts,
];

/** All lines of that call: those of a clean one first, with what is odd in their place or behind them. */
export function linesOf(odd: OddCall, port: number, own: readonly HeaderLine[]): HeaderLine[] {
  return [
    [":method", odd.method ?? "POST"],
    [":scheme", "https"],
    [":authority", odd.authority ?? `localhost:${port}`],
    [":path", odd.path ?? config],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...own,
    ...(odd.lines ?? []),
  ];
}
