import { status } from "@grpc/grpc-js";
import { afterEach, expect, it } from "vitest";
import { freePort } from "../../deploy/local/ports.ts";
import { createFirstCall } from "../../src/edges/driver/first-call.ts";
import { createProber, type Prober } from "../../src/edges/kubernetes/probe.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { Secret } from "../../src/kernel/secret.ts";
import { listenAt } from "../support/kube/paper-pods.ts";
import { until } from "../support/until.ts";

const host = "127.9.1.1";
const token = new Secret("the-driver-s-own-token");
let prober: Prober;
let closing: () => Promise<void> = async () => undefined;
const answered: string[] = [];
const open = () => {
  answered.length = 0;
  const onAnswer = (uid: string) => void answered.push(uid);
  prober = createProber({ firstCall: createFirstCall(300), clock: systemClock, random: () => 0, onAnswer });
};

afterEach(async () => {
  prober.close();
  await closing();
  closing = async () => undefined;
});

it("asks until there is an answer, then no more", async () => {
  open();
  const port = await freePort();
  prober.want("driver", { host, port, token, since: "1" });
  await prober.triedAll();
  expect(prober.answers("driver")).toBe(false);
  expect(prober.refusal("driver")).toBeUndefined();
  closing = await listenAt(host, port);
  await until(() => prober.answers("driver"));
  await closing();
  prober.want("driver", { host, port, token, since: "1" });
  await prober.triedAll();
  expect(answered).toEqual(["driver"]);
});

it("asks again where a call was not answered", async () => {
  open();
  const port = await freePort();
  const answers = [undefined, status.UNAVAILABLE];
  let calls = 0;
  closing = await listenAt(host, port, () => {
    calls += 1;
    return calls > answers.length ? status.UNIMPLEMENTED : answers[calls - 1];
  });
  prober.want("driver", { host, port, token, since: "1" });
  await prober.triedAll();
  expect(prober.refusal("driver")).toBe("DEADLINE_EXCEEDED");
  await until(() => prober.answers("driver"));
  expect(calls).toBe(3);
  expect(prober.refusal("driver")).toBeUndefined();
});

it("asks anew where the pod became ready again or has moved", async () => {
  open();
  const port = await freePort();
  closing = await listenAt(host, port);
  prober.want("driver", { host, port, token, since: "1" });
  await until(() => answered.length === 1);
  prober.want("driver", { host, port, token, since: "2" });
  expect(prober.answers("driver")).toBe(false);
  await until(() => answered.length === 2);
});

it("asks anew where the driver has another token", async () => {
  open();
  const port = await freePort();
  closing = await listenAt(host, port, ({ authorization }) =>
    authorization === `Bearer ${token.reveal()}` ? status.UNIMPLEMENTED : status.UNAUTHENTICATED,
  );
  const target = { host, port, since: "1" };
  for (const wrong of [undefined, new Secret("another")]) {
    prober.want("driver", { ...target, token: wrong });
    await prober.triedAll();
    expect(prober.refusal("driver")).toBe("UNAUTHENTICATED");
  }
  prober.want("driver", { ...target, token });
  prober.want("driver", { ...target, token: new Secret(token.reveal()) });
  await until(() => prober.answers("driver"));
  expect(answered).toEqual(["driver"]);
});

it("tries more than fit in at once, and settles for those that nobody wants any more", async () => {
  open();
  const port = await freePort();
  closing = await listenAt(host, port);
  const all = Array.from({ length: 300 }, (_, at) => `driver-${at}`);
  for (const uid of all) prober.want(uid, { host, port, token, since: "1" });
  prober.want("driver-299", undefined);
  await prober.triedAll();
  await until(() => answered.length === 299);
  expect(answered.toSorted()).toEqual(all.slice(0, 299).toSorted());
});
