import { z } from "zod";
import { amount, count, documented, section, text } from "./keys.ts";

/** Keys about drivers on Kubernetes: the runtime's, and a profile's. */

const lease = section(
  {
    namespace: documented(
      text("label").optional(),
      "Namespace of the Lease by which the replicas elect their leader.",
      {
        inherits: "Gatehouse's own namespace",
      },
    ),
    name: documented(text("host").optional(), "Name of the Lease.", { inherits: "runtime.kubernetes.installation" }),
    duration_seconds: amount(
      15,
      { unit: "seconds", min: 1, max: 3600 },
      "How long the others wait before they take over from a leader that is silent.",
    ),
    renew_deadline_seconds: amount(
      10,
      { unit: "seconds", min: 0.5, max: 3600 },
      "A leader that could not renew its Lease for so long stops leading; less than duration_seconds.",
    ),
    retry_seconds: amount(
      2,
      { unit: "seconds", min: 0.1, max: 3600 },
      "Time between tries to take or renew the Lease; less than renew_deadline_seconds.",
    ),
  },
  "The election: only the leader starts and stops drivers.",
);

const peer = section(
  {
    listen: documented(
      text("address").default("0.0.0.0:15012"),
      "Where the leader takes the starts that other replicas ask for: `<host>:<port>`.",
    ),
    advertise: documented(text("address").optional(), "Where the other replicas reach this one: `<host>:<port>`.", {
      inherits: "the variable POD_IP with the port of listen, else listen",
    }),
  },
  "How replicas ask the leader for starts; what they say is signed with the seal key.",
);

export const kubernetes = section(
  {
    kubeconfig_file: documented(
      text().optional(),
      "The kubeconfig file by which the API is reached, with its current context.",
      {
        inherits: "the ServiceAccount of Gatehouse's own pod",
      },
    ),
    installation: documented(
      text("label").default("gatehouse"),
      "Tells apart several Gatehouses that use the same namespaces: the value of the label `gatehouse.dev/installation`.",
    ),
    namespaces: documented(
      z.array(text("label")).max(10_000).default([]),
      "Namespaces that drivers may be in; empty: all, which needs rights in the whole cluster.",
    ),
    seal_key_file: documented(
      text().optional(),
      "File with the keys that prove that Gatehouse wrote a driver's facts: one a line, base64 of at least 32 bytes. The first " +
        "signs, all verify. The same for all replicas. Needed for runtime.kind kubernetes.",
    ),
    lease,
    peer,
    request_timeout_seconds: amount(
      10,
      { unit: "seconds", min: 1, max: 600 },
      "A request to the API that is not answered by then has failed; watches are not counted.",
    ),
    port: count(
      15002,
      { unit: "port", min: 1024, max: 65535 },
      "Port that every driver listens on. kubeflow's SparkConnect expects 15002.",
    ),
    max_drivers: count(1000, { unit: "drivers", min: 1, max: 100_000 }, "Drivers at once, failed ones not counted."),
    start_timeout_seconds: amount(
      300,
      { unit: "seconds", min: 1, max: 7200 },
      "A driver that is not ready by then has failed.",
    ),
    unschedulable_grace_seconds: amount(
      10,
      { unit: "seconds", min: 0, max: 7200 },
      "How long a driver's pod may wait for a node before its start has failed; raise it where an autoscaler adds nodes.",
    ),
    deletion: documented(
      z.enum(["background", "foreground"]).default("background"),
      "How what a driver owns is deleted with it: afterwards, or before the driver itself goes.",
    ),
    stale_after_seconds: amount(
      120,
      { unit: "seconds", min: 10, max: 3600 },
      "Where nothing was heard of the API's watches for so long, no driver is stopped. Bookmarks come about once a minute.",
    ),
  },
  "The Kubernetes runtime: drivers as pods, or as resources of an operator.",
);

const toleration = z.strictObject({
  key: documented(text().optional(), "Key of the taint; without it, all keys.", { inherits: "every key" }),
  operator: documented(z.enum(["Equal", "Exists"]).default("Equal"), "How the value is compared."),
  value: documented(text().optional(), "Value of the taint, for Equal."),
  effect: documented(z.enum(["NoSchedule", "PreferNoSchedule", "NoExecute"]).optional(), "Effect of the taint.", {
    inherits: "every effect",
  }),
  toleration_seconds: documented(
    z.int().min(0).max(31_536_000).optional(),
    "How long a running pod may stay, with NoExecute.",
    { unit: "seconds", inherits: "for ever" },
  ),
});

const role = (who: string) =>
  section(
    {
      service_account: documented(
        text("host").optional(),
        `ServiceAccount of ${who}. Annotations for a cloud's identities belong on that account.`,
        { inherits: "the namespace's default" },
      ),
      labels: documented(z.record(text(), text()).default({}), `More labels for the pods of ${who}.`),
      annotations: documented(
        z.record(text(), z.string().max(65_536)).default({}),
        `More annotations for the pods of ${who}.`,
      ),
      node_selector: documented(z.record(text(), text()).default({}), `Labels that the nodes of ${who} must have.`),
      tolerations: documented(
        z.array(toleration).max(100).default([]),
        `Taints of nodes that ${who} may run on all the same.`,
      ),
      memory_overhead: documented(text("memory").optional(), `Memory of ${who} beside the Java heap.`, {
        inherits: "Spark's rule: 10 % of the heap, at least 384m",
      }),
    },
    `The pods of ${who}.`,
  );

const sparksOwn = { inherits: "Spark's own" } as const;

export const profileKubernetes = section(
  {
    kind: documented(
      z.enum(["pod", "spark-application", "spark-connect", "apache-spark-application"]).default("pod"),
      "What a driver is: a plain pod, a SparkApplication or SparkConnect of kubeflow's operator, or a SparkApplication of Apache's.",
    ),
    image_pull_policy: documented(z.enum(["Always", "IfNotPresent", "Never"]).optional(), "When the image is pulled.", {
      inherits: "Kubernetes' own",
    }),
    image_pull_secrets: documented(
      z.array(text("host")).max(100).default([]),
      "Secrets with the credentials to pull the image; they must be in the driver's namespace.",
    ),
    run_as_user: count(
      185,
      { unit: "user id", min: 0, max: 2_147_483_647 },
      "User that pods run as; 185 is the one in Spark's own images. 0: whom the image or the cluster says, but never root.",
    ),
    driver: role("the driver"),
    executor: role("the executors"),
    executor_pod_name_prefix: documented(
      text("label").max(30).optional(),
      "Start of executors' names, at most 30 characters; kubeflow's SparkConnect takes the driver's name in any case.",
      { inherits: "the driver's name" },
    ),
    adaptive_execution: documented(
      z.boolean().optional(),
      "Whether queries adapt while they run (`spark.sql.adaptive.enabled`).",
      sparksOwn,
    ),
    coalesce_partitions: documented(
      z.boolean().optional(),
      "Whether small shuffle partitions are joined (`spark.sql.adaptive.coalescePartitions.enabled`).",
      sparksOwn,
    ),
    event_log_dir: documented(
      text().optional(),
      "Where event logs are written (`spark.eventLog.dir`), such as s3a://bucket/logs; without it none are.",
    ),
    grpc_max_message_bytes: documented(
      z.int().min(1024).max(2_147_483_647).optional(),
      "The largest request message that the driver takes (`spark.connect.grpc.maxInboundMessageSize`).",
      { unit: "bytes", ...sparksOwn },
    ),
    arrow_max_batch_bytes: documented(
      z.int().min(1024).max(2_147_483_647).optional(),
      "The largest batch of rows in an answer (`spark.connect.grpc.arrow.maxBatchSize`).",
      { unit: "bytes", ...sparksOwn },
    ),
    connect_session_timeout_minutes: documented(
      z.number().min(0.1).max(10_080).optional(),
      "When the driver forgets a client's session without calls (`spark.connect.session.manager.defaultSessionTimeout`).",
      { unit: "minutes", ...sparksOwn },
    ),
    java_options: documented(
      text().optional(),
      "More options for the Java of driver and executors. The heap is set by driver_memory and executor_memory.",
    ),
  },
  "What drivers of this profile are on Kubernetes.",
);
