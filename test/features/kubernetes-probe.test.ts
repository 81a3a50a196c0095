import { afterEach, expect, it } from "vitest";
import { freePort } from "../../deploy/local/ports.ts";
import { createProber, type Prober } from "../../src/edges/kubernetes/probe.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { listenAt } from "../support/kube/paper-pods.ts";
import { until } from "../support/until.ts";

const host = "127.9.1.1";
let prober: Prober;
const answered: string[] = [];
const open = () => {
  answered.length = 0;
  prober = createProber({ clock: systemClock, random: () => 0, onAnswer: (uid) => void answered.push(uid) });
};

afterEach(() => prober.close());

it("asks until the port is open, then no more", async () => {
  open();
  const port = await freePort();
  prober.want("driver", { host, port, since: "1" });
  await prober.triedAll();
  expect(prober.answers("driver")).toBe(false);
  const close = await listenAt(host, port);
  await until(() => prober.answers("driver"));
  await close();
  prober.want("driver", { host, port, since: "1" });
  await prober.triedAll();
  expect(answered).toEqual(["driver"]);
});

it("asks anew where the pod became ready again or has moved", async () => {
  open();
  const port = await freePort();
  const close = await listenAt(host, port);
  prober.want("driver", { host, port, since: "1" });
  await until(() => answered.length === 1);
  prober.want("driver", { host, port, since: "2" });
  expect(prober.answers("driver")).toBe(false);
  await until(() => answered.length === 2);
  await close();
});

it("tries more than fit in at once, and settles for those that nobody wants any more", async () => {
  open();
  const port = await freePort();
  const close = await listenAt(host, port);
  const all = Array.from({ length: 300 }, (_, at) => `driver-${at}`);
  for (const uid of all) prober.want(uid, { host, port, since: "1" });
  prober.want("driver-299", undefined);
  await prober.triedAll();
  expect(answered.toSorted()).toEqual(all.slice(0, 299).toSorted());
  await close();
});
