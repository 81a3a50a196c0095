import { z } from "zod";
import type { StartRequest } from "../../drivers/runtime.ts";
import { GatewayError } from "../../kernel/errors.ts";
import { type Reason, reasons } from "../../kernel/reasons.ts";

/** What replicas tell each other: a start, and how it went. */

/** Larger than any start. Bytes. */
export const MAX_BODY = 64 * 1024;
const RETRY_MS = 1_000;

/** The peer does not lead, or nobody who could be proved to be a replica answered: look at the election again. */
export class NotLeader extends Error {
  override readonly name = "NotLeader";
}

export type Outcome =
  | { readonly kind: "started" }
  | { readonly kind: "not_leader" }
  | {
      readonly kind: "refused";
      readonly reason: string;
      readonly message: string;
      readonly retryAfterMs?: number | undefined;
      readonly fields: Readonly<Record<string, string>>;
    };

const startSchema = z.object({
  key: z.object({ cluster: z.string(), namespace: z.string(), app: z.string() }),
  owner: z.string(),
  ownerUser: z.string(),
  sharedWithGroups: z.array(z.string()),
  profile: z.string(),
});

/** @returns undefined where it is none */
export function parseStart(body: Uint8Array): StartRequest | undefined {
  return startSchema.safeParse(parseJson(body)).data;
}

const outcomeSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("started") }),
  z.object({ kind: z.literal("not_leader") }),
  z.object({
    kind: z.literal("refused"),
    reason: z.string(),
    message: z.string(),
    retryAfterMs: z.number().nonnegative().optional(),
    fields: z.record(z.string(), z.string()),
  }),
]);

export function parseOutcome(body: Uint8Array): Outcome | undefined {
  return outcomeSchema.safeParse(parseJson(body)).data;
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString("utf8"));
  } catch {
    return undefined;
  }
}

/** What the leader's failure looks like to the follower. Causes stay with the leader, in its log. */
export function outcomeOf(thrown: unknown): Outcome {
  if (thrown instanceof NotLeader) return { kind: "not_leader" };
  const error = thrown instanceof GatewayError ? thrown : tryAgain();
  const { reason, message, retryAfterMs, fields } = error;
  return { kind: "refused", reason, message, fields, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

/** @throws NotLeader, GatewayError */
export function settle(outcome: Outcome): void {
  if (outcome.kind === "started") return;
  if (outcome.kind === "not_leader") throw new NotLeader("the replica that was asked does not lead");
  const { reason, message, retryAfterMs, fields } = outcome;
  if (!isReason(reason)) throw tryAgain();
  throw new GatewayError(reason, message, { fields, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
}

const isReason = (name: string): name is Reason => Object.hasOwn(reasons, name);

function tryAgain(): GatewayError {
  return new GatewayError("DRIVER_STARTING", "the driver could not be started yet; try again", {
    retryAfterMs: RETRY_MS,
  });
}
