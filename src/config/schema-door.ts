import { z } from "zod";
import { amount, count, documented, section, text } from "./keys.ts";

/** Keys about Envoy's side: its listener, and how it reaches Gatehouse. */

const mebibyte = 1024 * 1024;
const fileDoc = "Relative paths start at the working directory.";

export const listen = section(
  {
    address: documented(text("ip").default("0.0.0.0"), "Address that Envoy's client listener binds."),
    port: count(15003, { unit: "port", min: 0, max: 65535 }, "Port of Envoy's client listener; 0 takes any free one."),
    domain: documented(
      text("host").optional(),
      "Domain of session host names (`app--namespace.<domain>`). Without it a session is named by the header only.",
    ),
    max_connections: count(
      10_000,
      { unit: "connections", min: 1, max: 1_000_000 },
      "Client connections at once on one Envoy; more are refused by its overload manager.",
    ),
    max_concurrent_streams: count(
      100,
      { unit: "streams", min: 1, max: 2_147_483_647 },
      "Calls at once on one client connection.",
    ),
    stream_window_bytes: count(
      65_536,
      { unit: "bytes", min: 65_535, max: 2_147_483_647 },
      "HTTP/2 flow-control window of one call.",
    ),
    connection_window_bytes: count(
      mebibyte,
      { unit: "bytes", min: 65_535, max: 2_147_483_647 },
      "HTTP/2 flow-control window of one client connection.",
    ),
  },
  "The listener that clients connect to.",
);

export const tls = documented(
  z.strictObject({
    certificate_file: documented(text(), `PEM file of the server's certificate chain, leaf first. ${fileDoc}`),
    private_key_file: documented(text(), `PEM file of the certificate's private key. ${fileDoc}`),
    min_version: documented(
      z.enum(["TLSv1.2", "TLSv1.3"]).default("TLSv1.2"),
      "The oldest TLS version that a client may speak.",
    ),
  }),
  "The certificate that clients see. It is sent to Envoy over SDS and may be replaced while running.",
);

const controlAddress = (socket: string, who: string) =>
  documented(
    text("address").optional(),
    `Where Gatehouse listens for ${who}: \`unix:<path>\` or \`<host>:<port>\` (port 0 takes any free one).`,
    { inherits: `\`unix:<control.socket_folder>/${socket}.sock\`` },
  );

export const control = section(
  {
    socket_folder: documented(
      text().default("run"),
      `Folder of the Unix sockets whose addresses are not given; made with mode 0700. ${fileDoc}`,
    ),
    check: controlAddress("check", "Envoy's ext_authz"),
    process: controlAddress("process", "Envoy's ext_proc"),
    access_log: controlAddress("access-log", "Envoy's access log"),
    ads: controlAddress("ads", "Envoy's ADS"),
    advertise_host: documented(
      text("host").optional(),
      "Host name at which Envoy reaches the addresses that are not Unix sockets, where it is not the one that Gatehouse " +
        "listens on: that of a load balancer, or of a headless Kubernetes Service, over whose addresses calls are spread.",
      { inherits: "each address's own" },
    ),
    mtls: documented(
      z
        .strictObject({
          certificate_file: documented(text(), `PEM file of Gatehouse's certificate chain. ${fileDoc}`),
          private_key_file: documented(text(), `PEM file of its private key. ${fileDoc}`),
          client_ca_file: documented(text(), `PEM file of the authority that signs Envoy's certificate. ${fileDoc}`),
          envoy: documented(
            z.strictObject({
              certificate_file: documented(
                text(),
                "PEM file of Envoy's certificate chain, as a path on Envoy's machine.",
              ),
              private_key_file: documented(text(), "PEM file of its private key, as a path on Envoy's machine."),
              ca_file: documented(text(), "PEM file of the authority of Gatehouse's certificate, on Envoy's machine."),
              server_name: documented(text("host"), "The name that Gatehouse's certificate must carry."),
            }),
            "Envoy's side: it reads these files itself, since they must work before ADS does.",
          ),
        })
        .optional(),
      "Mutual TLS between Envoy and Gatehouse. Needed as soon as an address is neither a Unix socket nor loopback.",
    ),
    max_requests: count(
      4096,
      { unit: "requests", min: 2, max: 1_000_000 },
      "Envoy's circuit breaker on each control cluster: requests under way at once, held ones included. Leave room for " +
        "bursts: a call beyond it is refused as UNAVAILABLE without a decision, whoever sent it.",
    ),
  },
  "How Envoy reaches Gatehouse.",
);

export const http = section(
  {
    address: documented(
      text("ip").default("127.0.0.1"),
      "Address of the HTTP side. Health and metrics need no credentials: think before leaving loopback.",
    ),
    port: count(15010, { unit: "port", min: 0, max: 65535 }, "Port of the HTTP side; 0 takes any free one."),
  },
  "The HTTP side: health, readiness, metrics, sessions, keepalive.",
);

export const xds = section(
  {
    debounce_ms: amount(
      100,
      { unit: "milliseconds", min: 0, max: 60_000 },
      "A change after this much quiet is pushed at once; those that follow are collected until it is quiet for this long again. A driver that somebody waits for, and one that is gone, are never held back.",
    ),
    debounce_ceiling_ms: amount(
      1_000,
      { unit: "milliseconds", min: 0, max: 600_000 },
      "The longest that changes may be collected before they are pushed.",
    ),
    unknown_cluster_wait_ms: amount(
      2000,
      { unit: "milliseconds", min: 0, max: 60_000 },
      "How long a well-formed cluster that this replica does not know yet is awaited before it is reported as removed.",
    ),
  },
  "Pushing resources to Envoy.",
);
