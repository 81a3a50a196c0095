import { Agent, request as httpRequest } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { CheckAnswer, CheckHandler } from "../../src/edges/envoy/check-server.ts";
import { headersOf } from "../support/check-client.ts";
import { allowing, checkServerWorld, echo, question, refused } from "../support/check-server-world.ts";
import { until } from "../support/until.ts";

// What is no question, bodies and the end of a server are in check-server-wire.test.ts.

const world = checkServerWorld();
const { asked, start, wire, expectWell, atEnd } = world;

beforeEach(world.begin);
afterEach(world.end);

/** A stock client's question: status and the path that the answer names. */
function stockly(address: string, agent: Agent, path: string, name: string): Promise<readonly [number, unknown]> {
  return new Promise((resolve, reject) => {
    const options = { socketPath: address.slice("unix:".length), agent, path, method: "POST" };
    const sent = httpRequest({ ...options, headers: { "x-name": name, "content-length": "0" } });
    sent.on("error", reject).on("response", (response) => {
      response.resume();
      response.on("end", () => resolve([response.statusCode ?? 0, response.headers["x-name"]]));
    });
    sent.end();
  });
}

describe("questions", () => {
  it("many at once, each with its own answer, whatever the order of the answers", async () => {
    const held: (() => void)[] = [];
    const address = await start(
      (call) => new Promise((resolve) => void held.push(() => resolve(allowing("x-name", call.path.slice(1))))),
    );
    const agent = new Agent({ keepAlive: true });
    atEnd(() => agent.destroy());
    const names = Array.from({ length: 300 }, (_, index) => `n${index}`);
    const answers = Promise.all(names.map((name) => stockly(address, agent, `/${name}`, name)));
    await until(() => held.length === names.length);
    for (const answer of held.reverse()) answer();
    expect(await answers).toEqual(names.map((name) => [200, name]));
  });

  it("one after another on one connection that stays", async () => {
    const held = wire(await start());
    for (let index = 0; index < 200; index += 1) {
      held.send(question(`/p${index}`, `x-name: n${index}`));
      const { status, headers } = await held.answer(index);
      expect([status, headers.get("x-path"), headers.get("x-name")]).toEqual([200, `/p${index}`, `n${index}`]);
    }
  });

  it("two in one packet get their own answers, in order, even where the second is decided first", async () => {
    const held = new Map<string, () => void>();
    const address = await start(
      (call) => new Promise((resolve) => void held.set(call.path, () => resolve(allowing("x-path", call.path)))),
    );
    const both = wire(address);
    both.send(question("/first") + question("/second"));
    await until(() => held.size === 2);
    held.get("/second")?.();
    held.get("/first")?.();
    await both.answer(1);
    expect(both.answers().map(({ headers }) => headers.get("x-path"))).toEqual(["/first", "/second"]);
  });

  it("come in pieces, with names as they were and values byte for byte", async () => {
    const pieces = wire(await start());
    const whole = question("/a?b=%20", "X-Odd:  caf\xe9 \xff ", "x-name: one", "x-name: two", "x-empty:");
    for (const character of whole) pieces.send(character);
    expect((await pieces.answer(0)).status).toBe(200);
    expect(asked[0]?.path).toBe("/a?b=%20");
    expect(asked[0]?.rawHeaders.slice(4)).toEqual([
      "X-Odd",
      "caf\xe9 \xff",
      "x-name",
      "one",
      "x-name",
      "two",
      "x-empty",
      "",
    ]);
  });

  it.each([
    ["of 100 KiB", 100 * 1024, 200],
    ["above the limit", 128 * 1024 + 1, 400],
  ])("with headers %s", async (_, bytes, status) => {
    const address = await start();
    const big = wire(address);
    big.send(question("/a", `x-big: ${"x".repeat(bytes)}`, "x-name: behind"));
    expect((await big.answer(0)).status).toBe(status);
    expect(asked.map((call) => headersOf(call)["x-name"])).toEqual(status === 200 ? ["behind"] : []);
    await expectWell(address);
  });

  it("with very many headers lose none of them", async () => {
    const many = Array.from({ length: 5000 }, (_, index) => `x-${index}: ${index}`);
    const wide = wire(await start());
    wide.send(question("/a", ...many, "x-name: last"));
    expect((await wide.answer(0)).headers.get("x-name")).toBe("last");
    expect(asked[0]?.rawHeaders).toHaveLength(2 * (2 + many.length + 1));
  });

  it.each(["GET", "HEAD", "PUT", "OPTIONS", "DELETE", "TRACE", "PROPFIND"])(
    "of method %s are decided",
    async (method) => {
      const address = await start();
      const odd = wire(address);
      odd.send(question("/a").replace("POST", method));
      expect((await odd.answer(0)).status).toBe(200);
      odd.send(question("/b"));
      expect((await odd.answer(1)).headers.get("x-path")).toBe("/b");
    },
  );
});

describe("what goes wrong", () => {
  const answers: [string, () => CheckAnswer][] = [
    [
      "throws",
      () => {
        throw new Error("secret");
      },
    ],
    ["answers nothing", () => undefined as unknown as CheckAnswer],
    ["answers without a status", () => ({ headers: [] }) as unknown as CheckAnswer],
    ["answers with status 0", () => ({ status: 0, headers: [] })],
    ["answers with a name without a value", () => ({ status: 200, headers: ["a"] })],
    ["answers with a line's end", () => allowing("a", "b\r\nc: d")],
    ["answers with NUL", () => allowing("a", "\0")],
    ["answers with DEL", () => allowing("a", "\x7f")],
    ["answers with a character above 0xff", () => allowing("first", "one", "a", "\u0100")],
    ["answers with undefined", () => allowing("a", undefined as unknown as string)],
    ["answers with a name that is none", () => allowing("a b", "c")],
    ["answers with an empty name", () => allowing("", "c")],
  ];
  const decisions: [string, CheckHandler["decide"]][] = [
    ["rejects", () => Promise.reject(new Error("secret"))],
    ["rejects with nothing", () => Promise.reject()],
    ["throws later", () => new Promise((_, reject) => void setImmediate(() => reject(new Error("secret"))))],
    ...answers.map(([what, answer]): [string, CheckHandler["decide"]] => [`${what} at once`, answer as never]),
    ...answers.map(([what, answer]): [string, CheckHandler["decide"]] => [what, async () => answer()]),
  ];

  it.each(decisions)("where the handler %s, the question is refused and the next one served", async (_, decide) => {
    let thrown = 0;
    const address = await start((call) => (call.path === "/bad" ? decide(call) : echo(call)), {
      refuse() {
        thrown += 1;
        return refused;
      },
    });
    const one = wire(address);
    one.send(question("/bad") + question("/good") + question("/bad"));
    await one.answer(2);
    expect(one.answers().map(({ status }) => status)).toEqual([403, 200, 403]);
    expect(one.answers().map(({ headers }) => headers.get("x-path"))).toEqual([undefined, "/good", undefined]);
    // Nothing of the answer that could not be written.
    expect(one.answers().every(({ headers }) => !headers.has("first") && !headers.has("c"))).toBe(true);
    expect(thrown).toBe(2);
  });

  it.each(answers)("where the refusal %s too, it is a 500, and the next one is served", async (_, refuse) => {
    const failing = () => Promise.reject(new Error("first"));
    const address = await start((call) => (call.path === "/bad" ? failing() : echo(call)), { refuse });
    const one = wire(address);
    one.send(question("/bad") + question("/good"));
    await one.answer(1);
    expect(one.answers().map(({ status }) => status)).toEqual([500, 200]);
    expect([...(one.answers()[0]?.headers.keys() ?? [])].sort()).toEqual(["connection", "content-length"]);
  });
});

describe("the asker's leaving", () => {
  it("aborts the signal, asked for early or late", async () => {
    const early: AbortSignal[] = [];
    const address = await start((call) => {
      if (call.path === "/early") early.push(call.signal);
      return new Promise(() => undefined);
    });
    for (const leave of ["cut", "end"] as const) {
      asked.length = 0;
      const [first, second] = [wire(address), wire(address)];
      first.send(question("/early"));
      await until(() => asked.length === 1);
      second.send(question("/late"));
      await until(() => asked.length === 2);
      expect(early.at(-1)?.aborted).toBe(false);
      first[leave]();
      second[leave]();
      await until(() => early.at(-1)?.aborted === true && asked[1]?.signal.aborted === true);
      expect(asked[1]?.signal).toBe(asked[1]?.signal);
    }
  });

  it("after the answer aborts nothing, asked for early or late", async () => {
    const signals: AbortSignal[] = [];
    const address = await start((call) => {
      if (call.path === "/early") signals.push(call.signal);
      return echo(call);
    });
    const one = wire(address);
    one.send(question("/early") + question("/late"));
    await one.answer(1);
    one.cut();
    await one.over;
    await expectWell(address);
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
    expect(asked[1]?.signal.aborted).toBe(false);
  });

  it("harms nobody, however many leave", async () => {
    const address = await start((call) => (call.path === "/held" ? new Promise(() => undefined) : echo(call)));
    for (let round = 0; round < 30; round += 1) {
      const leaving = Array.from({ length: 50 }, () => wire(address));
      for (const one of leaving) one.send(question("/held"));
      await until(() => asked.filter(({ path }) => path === "/held").length === (round + 1) * leaving.length);
      for (const one of leaving) one.cut();
      await expectWell(address);
    }
    await until(() => asked.filter(({ path }) => path === "/held").every(({ signal }) => signal.aborted));
  });
});
