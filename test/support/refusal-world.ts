import { expect } from "vitest";
import type { AuditRecord } from "../../src/decisions/audit.ts";
import { type Knock, type KnockAnswer, type KnockClient, knockClient } from "./knock.ts";
import { concat, field, frame } from "./spark-wire.ts";
import { type Stack, startStack } from "./stack.ts";
import { issuersConfig, startTestIssuer, type TestIssuer } from "./two-issuers.ts";

/** Alice's, with the only driver. */
export const session = "sjns-analytics-dev.main";
export const sessionName = "sjns-analytics-dev/main";

export type Headers = Readonly<Record<string, string>>;

/** A call of method Config that a driver answers. */
export const aCall = frame(
  concat(field(1, "5eed5eed-0002-4002-8003-000000000002"), field(3, field(4, field(1, "spark.sql.session.timeZone")))),
);

export interface Refusal {
  readonly name: string;
  readonly knock: () => Promise<Knock>;
  /** The gRPC status. */
  readonly code: number;
  readonly reason: string;
}

/** Several ways to the same refusal, for a table. */
export const refusals = (code: number, reason: string, ...cases: readonly (readonly [string, Refusal["knock"]])[]) =>
  cases.map(([name, knock]): Refusal => ({ name, knock, code, reason }));

/** A stack that trusts two issuers whose keys the test holds, with one warm driver of the first one's alice. */
export interface RefusalWorld {
  start(this: void): Promise<void>;
  /** From now on ext_proc decides and inspects, as with `inspection.mode: fused`. */
  fuse(this: void): Promise<void>;
  stop(this: void): Promise<void>;
  readonly stack: Stack;
  readonly door: KnockClient;
  /** `local` in the configuration. */
  home(this: void): TestIssuer;
  elsewhere(this: void): TestIssuer;
  /** Every token that was sent. */
  readonly sent: Set<string>;
  /** That token, on alice's session. */
  bearer(this: void, token: string): Headers;
  /** A good token of that user's (of team analytics; bob of team platform), on alice's session. */
  as(this: void, user: string, more?: Headers): Promise<Headers>;
  /** Requests that Envoy has opened to drivers. */
  toDrivers(this: void): Promise<number>;
  recordsOf(this: void, decisionId: string | undefined): Promise<AuditRecord[]>;
  /** The text holds neither claims nor signature of any token that was sent. */
  noToken(this: void, text: string): void;
  /** Refused for that reason, audited once, and no driver heard of it. */
  expectRefused(this: void, refusal: Omit<Refusal, "name">): Promise<KnockAnswer>;
}

export function refusalWorld(): RefusalWorld {
  let home: TestIssuer | undefined;
  let elsewhere: TestIssuer | undefined;
  let stack: Stack | undefined;
  let door: KnockClient | undefined;
  const open = async (): Promise<void> => {
    door = knockClient(world.stack.ports.envoy, world.stack.caFile);
    expect(await door.knock({ headers: await world.as("alice"), body: aCall })).toMatchObject({ http: 200, code: 0 });
  };
  const world: RefusalWorld = {
    async start() {
      [home, elsewhere] = [await startTestIssuer("local"), await startTestIssuer("elsewhere")];
      stack = await startStack({ start: ["gatehouse", "envoy"], config: issuersConfig(home, elsewhere) });
      await open();
    },
    async fuse() {
      door?.close();
      await world.stack.gatehouse.stop();
      world.stack.reconfigure({ inspection: { mode: "fused" } });
      await world.stack.gatehouse.start();
      await world.stack.envoy.restart();
      await open();
    },
    async stop() {
      door?.close();
      await stack?.stop();
      await Promise.all([home?.close(), elsewhere?.close()]);
    },
    get stack() {
      return started(stack);
    },
    get door() {
      return started(door);
    },
    home: () => started(home),
    elsewhere: () => started(elsewhere),
    sent: new Set(),
    bearer(token) {
      world.sent.add(token);
      return { authorization: `Bearer ${token}`, "x-spark-session-id": session };
    },
    as: async (user, more = {}) => ({
      ...world.bearer(await world.home().token(user, user === "bob" ? { team: "platform" } : {})),
      ...more,
    }),
    toDrivers: async () =>
      (await world.stack.envoyMetrics()).value("envoy_cluster_upstream_rq_total", { envoy_cluster_name: "driver" }),
    recordsOf: async (id) => (await world.stack.audit()).filter((record) => record.decision_id === id),
    noToken(text) {
      // A part that short is no secret.
      const parts = [...world.sent].flatMap((token) => token.split(".").slice(1)).filter((part) => part.length > 20);
      expect(parts.length).toBeGreaterThan(0);
      expect(parts.filter((part) => text.includes(part))).toEqual([]);
    },
    async expectRefused({ knock, code, reason }) {
      const before = await world.toDrivers();
      const answer = await world.door.knock(await knock());
      expect(answer).toMatchObject({ http: 200, code, denial: { code, reason } });
      expect(answer.denial?.metadata["decision_id"]).toBe(answer.decisionId);
      const records = await world.recordsOf(answer.decisionId);
      expect(records).toMatchObject([{ kind: "decision", verdict: "deny", reason, message: answer.denial?.message }]);
      world.noToken(JSON.stringify([records, answer]));
      expect(await world.toDrivers()).toBe(before);
      return answer;
    },
  };
  return world;
}

function started<T>(part: T | undefined): T {
  if (part === undefined) throw new Error("the world has not been started");
  return part;
}
