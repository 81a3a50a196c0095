import { nameOf } from "../../../src/edges/kubernetes/facts.ts";
import { type DriverKind, kinds } from "../../../src/edges/kubernetes/kinds.ts";
import { pods } from "./access.ts";
import { listenAt, paperPods } from "./paper-pods.ts";
import type { Trial } from "./rules-trial.ts";

const host = "127.9.200.1";
const port = 15_002;

/** Where each operator's status names the driver's pod; Apache's names none. */
const statusWith = {
  "spark-application": (podName: string) => ({ applicationState: { state: "RUNNING" }, driverInfo: { podName } }),
  "spark-connect": (podName: string) => ({ state: "Ready", server: { podName } }),
  "apache-spark-application": () => undefined,
} as const;

/** Makes the pod that the trial's driver of an operator's kind would have, ready at an address that answers, while `act` runs. */
export async function whileReady(
  { admin, namespace, app }: Trial,
  kind: Exclude<DriverKind, "pod">,
  act: () => Promise<void>,
): Promise<void> {
  const name = nameOf({ cluster: "local", namespace, app });
  const podName = `${name}-0-driver`;
  const { apiVersion, kind: owner } = kinds[kind];
  const { metadata } = await admin.get(kinds[kind], namespace, name);
  await admin.create(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: podName,
      namespace,
      labels: { ...metadata.labels, "spark-role": "driver" },
      ownerReferences: [{ apiVersion, kind: owner, name, uid: metadata.uid }],
    },
    spec: { containers: [{ name: "spark-driver", image: "none" }] },
  });
  const status = statusWith[kind](podName);
  if (status !== undefined) await admin.patch(kinds[kind], namespace, name, { status }, "status");
  const close = await listenAt(host, port);
  try {
    await paperPods(admin, namespace).ready(podName, host);
    await act();
  } finally {
    await close();
  }
}
