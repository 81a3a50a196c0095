import { afterAll, beforeAll, expect, test } from "vitest";
import type { DecisionRecord } from "../../src/decisions/audit.ts";
import { type Gate, gateBefore } from "../support/gate.ts";
import type { KnockAnswer } from "../support/knock.ts";
import { linesOf, type OddCall, oddCalls } from "../support/odd-calls.ts";
import { type HeaderLine, type RawHttp2, rawHttp2 } from "../support/raw-http2.ts";
import { aCall, session, sessionName } from "../support/refusal-world.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { testTools } from "../support/tools.ts";
import { issuersConfig, startTestIssuer, type TestIssuer } from "../support/two-issuers.ts";
import { until } from "../support/until.ts";

// Calls that no library sends, calls that are given up, and a Gatehouse that hangs or is killed: each call gets its own verdict.
// What Envoy asks about them and what a driver sees is in check-questions-driver.test.ts.

type User = "alice" | "bob";

const unavailable = 14;
const clean: OddCall = { name: "clean" };
const cold = "sjns-platform-dev.cold";
let issuer: TestIssuer;
let gate: Gate;
let stack: Stack;
const tokens = new Map<User, string>();
const lines = new Set<RawHttp2>();

beforeAll(async () => {
  issuer = await startTestIssuer("local");
  gate = gateBefore((await testTools()).java);
  gate.open();
  stack = await startStack({
    start: ["gatehouse", "envoy"],
    config: {
      ...issuersConfig(issuer),
      hold: { max_per_user: 256 },
      runtime: { local: { java: gate.java } },
    },
  });
  tokens.set("alice", await issuer.token("alice"));
  tokens.set("bob", await issuer.token("bob", { team: "platform" }));
  const first = await lineFrom("127.0.0.1");
  await until(async () => (await call(first, "alice")).code === 0, { deadlineMs: 120_000, what: "alice's driver" });
  gate.close();
});

afterAll(async () => {
  for (const line of lines) line.close();
  gate?.open();
  await stack?.stop();
  await issuer?.close();
  gate?.remove();
});

/** Addresses of clients, each once: the audit names them. */
let addresses = 0;
const nextAddress = (): string => {
  addresses += 1;
  return `127.77.${addresses >> 8}.${addresses & 255}`;
};

async function lineFrom(localAddress: string): Promise<RawHttp2> {
  const line = await rawHttp2({ port: stack.ports.envoy, caFile: stack.caFile, localAddress });
  lines.add(line);
  return line;
}

const own = (user: User, on = session): HeaderLine[] => [
  ["authorization", `Bearer ${tokens.get(user)}`],
  ["x-spark-session-id", on],
];

const begin = (line: RawHttp2, user: User, odd = clean, on = session) =>
  line.begin(linesOf(odd, stack.ports.envoy, own(user, on)), aCall);

const call = (line: RawHttp2, user: User, odd = clean): Promise<KnockAnswer> => begin(line, user, odd).answer;

/** What each of them gets on alice's session. */
function expectOwnVerdict(user: User, answer: KnockAnswer, what: string): void {
  if (user === "alice") expect(answer, what).toMatchObject({ http: 200, code: 0, denial: undefined });
  else expect(answer, what).toMatchObject({ code: 7, denial: { reason: "SESSION_FORBIDDEN", metadata: { user } } });
}

async function decisions(): Promise<DecisionRecord[]> {
  return (await stack.audit()).filter((record): record is DecisionRecord => record.kind === "decision");
}

interface Tried {
  readonly odd: OddCall;
  readonly user: User;
  readonly address: string;
  readonly answer: KnockAnswer;
  readonly next: KnockAnswer;
}

const other = (user: User): User => (user === "alice" ? "bob" : "alice");

/** The odd call of one of them, and then a clean one of the other: on the same connection where it still stands. */
async function tried(odd: OddCall, user: User): Promise<Tried> {
  const address = nextAddress();
  let line = await lineFrom(address);
  const answer = await call(line, user, odd);
  if (line.closed) line = await lineFrom(address);
  const next = await call(line, other(user));
  line.close();
  return { odd, user, address, answer, next };
}

test("odd calls harm no other call: each is decided once or refused by Envoy, and all others get their own verdicts", async () => {
  const beside = await Promise.all([0, 1, 2, 3].map(async () => await lineFrom("127.0.0.1")));
  const steadily = { over: false };
  const answers: { readonly user: User; readonly answer: KnockAnswer }[] = [];
  const steady = beside.map(async (line, index) => {
    for (let turn = index; !steadily.over || turn < 100; turn += 1) {
      const users: User[] = turn % 3 === 0 ? ["bob", "alice", "bob"] : ["alice", "bob", "alice"];
      const group = users.map(async (user) => answers.push({ user, answer: await call(line, user) }));
      await Promise.all(group);
    }
  });
  const todo = oddCalls.flatMap((odd) => [{ odd, user: "alice" } as const, { odd, user: "bob" } as const]);
  const results: Tried[] = [];
  const work = Array.from({ length: 48 }, async () => {
    for (let each = todo.pop(); each !== undefined; each = todo.pop()) results.push(await tried(each.odd, each.user));
  });
  await Promise.all(work);
  steadily.over = true;
  await Promise.all(steady);

  expect(answers.length).toBeGreaterThan(1000);
  for (const { user, answer } of answers) expectOwnVerdict(user, answer, "a clean call beside odd ones");
  const all = await decisions();
  const byId = new Map(all.map((record) => [record.decision_id, record]));
  expect(byId.size).toBe(all.length);
  for (const { user, answer } of answers) {
    expect(byId.get(answer.decisionId ?? "")).toMatchObject({ subject: user, session: sessionName });
  }
  const decided = results.map((one) => expectOneDecision(one, all));
  // The table is worth something only where both happen.
  expect(decided.filter(Boolean).length).toBeGreaterThan(60);
  expect(decided.filter((each) => !each).length).toBeGreaterThan(60);
});

/** @returns whether Gatehouse was asked about the odd call */
function expectOneDecision({ odd, user, address, answer, next }: Tried, all: readonly DecisionRecord[]): boolean {
  const what = `${odd.name}, of ${user}`;
  expectOwnVerdict(other(user), next, `after ${what}`);
  const records = all.filter((record) => record.source_address === address);
  const [first, ...more] = records.filter((record) => record.decision_id !== next.decisionId);
  expect(records.length - (first === undefined ? 0 : 1), what).toBe(1);
  expect(more, what).toEqual([]);
  if (user === "bob") expect(answer.code, what).not.toBe(0);
  if (first === undefined) {
    // Refused by Envoy's codec, which names no decision; or its question could not be read, so the record names no address.
    expect([undefined, 12, 13], what).toContain(answer.code);
    const unread = all.filter((record) => record.decision_id === answer.decisionId);
    expect(unread, what).toMatchObject(answer.code === 12 ? [{ verdict: "deny", reason: "METHOD_UNKNOWN" }] : []);
    return false;
  }
  expect(first.subject === null || first.subject === user, what).toBe(true);
  if (user === "bob") expect(first.verdict, what).toBe("deny");
  if (answer.decisionId !== undefined) expect(answer.decisionId, what).toBe(first.decision_id);
  if (answer.code === 0) expect(first, what).toMatchObject({ verdict: "allow", subject: "alice" });
  return true;
}

test("3,000 calls that are given up while they are held or decided disturb nobody else", async () => {
  const hers = await lineFrom("127.0.0.1");
  const steadily = { over: false };
  let served = 0;
  const steady = (async () => {
    for (; !steadily.over; served += 2) {
      const [one, two] = [call(hers, "alice"), call(hers, "bob")];
      expectOwnVerdict("alice", await one, "beside calls that are given up");
      expectOwnVerdict("bob", await two, "beside calls that are given up");
    }
  })();
  for (let round = 0; round < 34; round += 1) {
    // Envoy ends a connection that gives up too much.
    const line = await lineFrom("127.0.0.1");
    const held = Array.from({ length: 90 }, () => begin(line, "bob", clean, cold));
    // All of them are asked about before this one is answered; half of the rounds do not even wait for that.
    if (round % 2 === 0) expectOwnVerdict("bob", await call(line, "bob"), "behind held calls");
    for (const each of held) each.cancel();
    const ended = await Promise.all(held.map(({ answer }) => answer));
    expect(ended.filter(({ code }) => code === 0)).toEqual([]);
    line.close();
  }
  steadily.over = true;
  await steady;
  expect(served).toBeGreaterThan(0);
  await until(async () => (await stack.metrics()).value("gatehouse_holds") === 0, { what: "no call is held" });
  expectOwnVerdict("alice", await call(hers, "alice"), "afterwards");
});

test("a Gatehouse that hangs: calls that are held or asked end UNAVAILABLE, and all is well when it goes on", async () => {
  const line = await lineFrom("127.0.0.1");
  const held = [1, 2, 3].map(() => begin(line, "bob", clean, cold));
  await until(async () => (await stack.metrics()).value("gatehouse_holds") === 3, { what: "three calls held" });
  const before = await allowedByEnvoy();
  stack.gatehouse.signal("SIGSTOP");
  const asked = [begin(line, "alice"), begin(line, "bob")];
  const ended: KnockAnswer[] = [];
  for (const { answer } of [...held, ...asked]) void answer.then((each) => ended.push(each));
  try {
    await until(() => ended.length === 5, { deadlineMs: 20_000, what: "the end of all calls" });
    expect(ended.map(({ code }) => code)).toEqual(ended.map(() => unavailable));
    expect(await call(line, "alice")).toMatchObject({ code: unavailable });
    expect(await allowedByEnvoy()).toBe(before);
  } finally {
    stack.gatehouse.signal("SIGCONT");
    for (const each of held) each.cancel();
  }
  await expectWell(line);
});

test("a Gatehouse that is killed: held calls end UNAVAILABLE, and all is well when it is back", async () => {
  const line = await lineFrom("127.0.0.1");
  const held = begin(line, "bob", clean, cold);
  await until(async () => (await stack.metrics()).value("gatehouse_holds") >= 1, { what: "a call held" });
  const before = await allowedByEnvoy();
  await stack.gatehouse.kill9();
  expect(await held.answer).toMatchObject({ code: unavailable });
  expect(await call(line, "alice")).toMatchObject({ code: unavailable });
  expect(await allowedByEnvoy()).toBe(before);
  await stack.gatehouse.start();
  await expectWell(line);
});

/** Calls that ext_authz has let through, whatever became of them behind it. */
const allowedByEnvoy = async (): Promise<number> => (await stack.envoyMetrics()).value("envoy_http_ext_authz_ok");

/** Everybody gets their own verdicts again, on an old connection and on a new one. */
async function expectWell(line: RawHttp2): Promise<void> {
  await until(async () => (await call(line, "alice")).code === 0, { deadlineMs: 30_000, what: "alice's calls" });
  for (const each of [line, await lineFrom("127.0.0.1")]) {
    const users: User[] = Array.from({ length: 60 }, (_, index) => (index % 2 === 0 ? "alice" : "bob"));
    const answers = await Promise.all(users.map(async (user) => await call(each, user)));
    for (const [index, answer] of answers.entries()) expectOwnVerdict(users[index] ?? "bob", answer, "afterwards");
  }
}
