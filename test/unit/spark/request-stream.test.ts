import { describe, expect, test } from "vitest";
import { GatewayError } from "../../../src/kernel/errors.ts";
import { methodOfName } from "../../../src/spark/methods.ts";
import { RequestStream } from "../../../src/spark/request-stream.ts";
import type { SparkCall } from "../../../src/spark/spark-call.ts";
import { stampFor } from "../../../src/spark/stamp.ts";
import {
  anOperation,
  aSession,
  concat,
  type DecodedRequest,
  damagedRequest,
  decodeRequest,
  field,
  fixed,
  frame,
  framesIn,
  number,
  randomFrom,
  randomRequest,
  tag,
  userContext,
  varint,
} from "../../support/spark-wire.ts";

const verified = { userId: "alice@corp", userName: "Alice" };

interface Outcome {
  readonly out: Uint8Array;
  readonly calls: readonly SparkCall[];
}

function stream(method = "ExecutePlan", maxMessageBytes = 1 << 20) {
  return new RequestStream({ method: methodOfName(method)!, stamp: stampFor(verified), maxMessageBytes });
}

function run(body: Uint8Array, cuts: readonly number[] = [], method = "ExecutePlan", max = 1 << 20): Outcome {
  const reader = stream(method, max);
  const out: Uint8Array[] = [];
  const calls: SparkCall[] = [];
  let from = 0;
  for (const to of [...cuts, body.length]) {
    for (const piece of reader.push(body.subarray(from, to))) {
      if (piece.kind === "bytes") out.push(piece.bytes);
      else {
        calls.push(piece.call);
        out.push(...piece.tail);
      }
    }
    from = to;
  }
  reader.end();
  return { out: concat(...out), calls };
}

function refusal(body: Uint8Array, method = "ExecutePlan", max = 1 << 20): GatewayError {
  try {
    run(body, [], method, max);
  } catch (thrown) {
    if (thrown instanceof GatewayError) return thrown;
    throw thrown;
  }
  throw new Error("was not refused");
}

const session = field(1, aSession);
const plan = field(3, field(1, "select 1"));
const plain = concat(session, userContext("mallory", "Mallory"), plan, field(6, anOperation));

describe("the stamp", () => {
  const extension = field(999, field(1, "type.googleapis.com/x"));
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ["is added where there was no identity", concat(session, plan)],
    ["wins over the client's", plain],
    ["wins over an identity that comes twice", concat(session, userContext("a"), plan, userContext("b"))],
    ["wins over an identity that comes first", concat(userContext("mallory"), session)],
    ["wins over an identity that comes last", concat(session, plan, userContext("mallory"))],
    ["wins over an empty identity", concat(session, field(2, []))],
    ["wins over a user_id that comes twice", concat(session, field(2, concat(field(1, "a"), field(1, "b"))))],
    ["wins over a user_name alone", concat(session, field(2, field(2, "root")))],
    ["wins with extensions around it", concat(session, userContext("mallory", "m", extension))],
    ["wins with unknown fields around it", concat(session, number(500, 7), userContext("m", "m", number(77, 1)))],
    ["wins with fixed fields around it", concat(fixed(20, 8), session, userContext("m"), fixed(21, 4))],
    ["wins over a number of 64 bits", concat(session, number(22, 0xffffffffffffffffn))],
  ];
  test.each(cases)("%s", (_, message) => {
    const [stamped] = framesIn(run(frame(message)).out);
    const decoded = decodeRequest(stamped!);
    expect(decoded.user_context).toMatchObject({ user_id: "alice@corp", user_name: "Alice" });
    expect(decoded.session_id).toBe(aSession);
    expect(stamped!.subarray(0, message.length)).toEqual(message);
  });

  test("clears the client's names even where the verified ones are empty", () => {
    const message = concat(plain, stampFor({ userId: "", userName: "" }));
    expect(decodeRequest(message).user_context).toMatchObject({ user_id: "", user_name: "" });
  });

  test("takes names of any length and script", () => {
    const long = { userId: "ü".repeat(200), userName: "名".repeat(20_000) };
    const decoded = decodeRequest(concat(plain, stampFor(long)));
    expect(decoded.user_context).toMatchObject({ user_id: long.userId, user_name: long.userName });
  });
});

describe("refused", () => {
  const past = (inner: Uint8Array, by: number): Uint8Array =>
    concat(session, varint(3 * 8 + 2), varint(inner.length + by), inner);
  const twice = "occurs more than once";
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ["a last field past the end by one", past(field(1, "x"), 1), "past the end"],
    ["a last field past the end by the stamp", past(field(1, "x"), stampFor(verified).length), "past the end"],
    ["a last field past the end by 2 GiB", past(field(1, "x"), 0x7fff0000), "past the end"],
    ["a last tag without content", concat(session, tag(3, 2)), "inside a field"],
    ["half a tag", concat(session, [0x80]), "inside a field"],
    ["half a number", concat(session, tag(22, 0), [0x80]), "inside a field"],
    ["half a fixed64", concat(session, tag(20, 1), [1, 2, 3]), "past the end"],
    ["half a fixed32", concat(session, tag(21, 5), [1, 2, 3]), "past the end"],
    ["field 0", concat(session, tag(0, 2), [0]), "field number 0"],
    ["a group", concat(session, tag(30, 3), tag(30, 4)), "wire type 3"],
    ["the end of a group", concat(session, tag(30, 4)), "wire type 4"],
    ["user_context as a group", concat(session, tag(2, 3), field(1, "root"), tag(2, 4)), "wire type 3"],
    ["wire type 6", concat(session, tag(30, 6)), "wire type 6"],
    ["wire type 7", concat(session, tag(30, 7)), "wire type 7"],
    ["a tag of 6 bytes", concat(session, varint(30 * 8 + 2, 6), [0]), "longer than 5 bytes"],
    ["a tag of 10 bytes", concat(session, varint(30 * 8 + 2, 10), [0]), "longer than 5 bytes"],
    ["a padded tag", concat(session, varint(2 * 8 + 2, 3), [0]), "padded"],
    ["a tag beyond 32 bits", concat(session, varint(2n ** 32n + 18n), [0]), "longer than 5 bytes"],
    ["a length of 6 bytes", concat(session, tag(3, 2), varint(1, 6), [0]), "longer than 5 bytes"],
    ["a padded length", concat(session, tag(3, 2), varint(1, 2), [0]), "padded"],
    ["a length beyond 32 bits", concat(session, tag(3, 2), varint(2n ** 32n + 1n), [0]), "longer than 5 bytes"],
    ["a number of 11 bytes", concat(session, tag(22, 0), varint(1, 11)), "longer than 64 bits"],
    ["a number beyond 64 bits", concat(session, tag(22, 0), varint(2n ** 64n)), "longer than 64 bits"],
    ["session_id twice", concat(session, session), twice],
    ["an empty session_id before the real one", concat(field(1, ""), session), twice],
    ["operation_id twice", concat(session, field(6, anOperation), field(6, anOperation)), twice],
    ["no session_id", plan, "session_id is missing"],
    ["an empty message", new Uint8Array(0), "session_id is missing"],
    ["an empty session_id", concat(field(1, ""), plan), "session_id is missing"],
    ["a session_id that is no UUID", field(1, "1"), "not a UUID"],
    ["a session_id of 36 other characters", field(1, "x".repeat(36)), "not a UUID"],
    ["a long session_id", field(1, `${aSession}0`), "longer than 36"],
    ["a session_id with a line break", field(1, `${aSession.slice(1)}\n`), "not a UUID"],
    ["session_id as a number", number(1, 1), "field 1 has wire type 0"],
    ["user_context as a number", concat(session, number(2, 1)), "field 2 has wire type 0"],
    ["operation_id as fixed64", concat(session, fixed(6, 8)), "field 6 has wire type 1"],
    ["user_id as a number", concat(session, field(2, number(1, 1))), "field 1 has wire type 0"],
    ["user_context cut inside user_id", concat(session, field(2, [0x0a, 5, 1])), "past the end"],
    ["user_context cut inside a tag", concat(session, field(2, [0x80]), plan), "past the end"],
    ["user_context cut inside a tag at the end", concat(session, field(2, [0x80])), "inside a field"],
    ["a group in user_context", concat(session, field(2, concat(tag(9, 3), tag(9, 4)))), "wire type 3"],
    ["a long user_id", concat(session, userContext("u".repeat(5000))), "longer than 4096"],
    ["a user_id that is no UTF-8", concat(session, field(2, field(1, [0xff, 0xfe]))), "not valid UTF-8"],
    ["an operation_id that is no UTF-8", concat(session, field(6, [0xc0, 0x80])), "not valid UTF-8"],
  ];
  test.each(cases)("%s", (_, message, words) => {
    const error = refusal(frame(message));
    expect(error.reason).toBe("MESSAGE_MALFORMED");
    expect(error.message).toContain(words);
  });

  test("a compressed message, by its flag alone", () => {
    expect(() => stream().push(Uint8Array.of(1, 0, 0, 0, 9))).toThrow(
      expect.objectContaining({ reason: "MESSAGE_COMPRESSED" }),
    );
  });

  test("any other flag", () => {
    for (const flag of [2, 3, 0x80, 0x81, 0xff]) {
      expect(refusal(frame(plain, flag))).toMatchObject({ reason: "MESSAGE_MALFORMED" });
    }
  });

  test("a message that is too large, by its prefix alone", () => {
    expect(() => stream("ExecutePlan", 100).push(Uint8Array.of(0, 0, 0, 0, 101))).toThrow(
      expect.objectContaining({ reason: "MESSAGE_TOO_LARGE" }),
    );
    expect(run(frame(plain), [], "ExecutePlan", plain.length).calls).toHaveLength(1);
  });

  test("a call that ends inside a frame or without one", () => {
    const whole = frame(plain);
    for (const cut of [0, 1, 4, 5, 6, whole.length - 1]) {
      expect(refusal(whole.subarray(0, cut))).toMatchObject({ reason: "MESSAGE_MALFORMED" });
    }
    expect(refusal(concat(whole, [0]))).toMatchObject({ reason: "MESSAGE_MALFORMED" });
  });

  test("a second message of a unary call", () => {
    expect(refusal(concat(frame(plain), frame(plain))).message).toContain("more than one message");
  });

  test("CloneSession's new session that is no UUID", () => {
    expect(refusal(frame(concat(session, field(4, "me"))), "CloneSession").message).toContain("new_session_id");
  });
});

describe("what is not complete is not forwarded as complete", () => {
  test("all but the tail may go, and the tail has the last byte and the stamp", () => {
    const pieces = stream().push(frame(plain));
    expect(pieces.map((piece) => piece.kind)).toEqual(["bytes", "message"]);
    const reader = stream();
    const body = frame(plain);
    const early = reader.push(body.subarray(0, body.length - 1));
    expect(early.every((piece) => piece.kind === "bytes")).toBe(true);
    const [last] = reader.push(body.subarray(body.length - 1));
    expect(last).toMatchObject({ kind: "message", tail: [{ length: 1 }, { length: stampFor(verified).length }] });
  });

  test("the Connect session is known before the message is complete", () => {
    const reader = stream();
    reader.push(frame(plain).subarray(0, 60));
    expect(reader.connectSession).toBe(aSession);
  });

  test("AddArtifacts: each message gets its stamp", () => {
    const messages = [concat(session, field(3, "first")), field(5, "second"), concat(session, field(5, "third"))];
    const { out, calls } = run(concat(...messages.map((m) => frame(m))), [], "AddArtifacts");
    expect(calls.map((call) => call.connectSession)).toEqual([aSession, undefined, aSession]);
    const stamped = framesIn(out);
    expect(stamped).toHaveLength(3);
    for (const message of stamped) expect(decodeRequest(message).user_context?.user_id).toBe("alice@corp");
  });
});

describe("any cut of the body gives the same bytes and the same call", () => {
  const body = concat(...[plain, concat(session, field(3, new Uint8Array(300)))].map((m) => frame(m)));
  const whole = run(body, [], "AddArtifacts");

  test("every single cut", () => {
    for (let cut = 0; cut <= body.length; cut += 1) expect(run(body, [cut], "AddArtifacts")).toEqual(whole);
  });

  test("byte by byte", () => {
    const cuts = Array.from({ length: body.length }, (_, index) => index);
    expect(run(body, cuts, "AddArtifacts")).toEqual(whole);
  });

  test("random cuts", () => {
    const random = randomFrom(7);
    for (let round = 0; round < 300; round += 1) {
      const cuts = Array.from({ length: random.below(9) }, () => random.below(body.length)).sort((a, b) => a - b);
      expect(run(body, cuts, "AddArtifacts")).toEqual(whole);
    }
  });
});

describe("against an independent decoder", () => {
  const random = randomFrom(20260);
  /** What a driver would see; undefined where it refuses too (a broken field that we skip by its length). */
  const decodedOrNone = (message: Uint8Array): DecodedRequest | undefined => {
    try {
      return decodeRequest(message);
    } catch {
      return undefined;
    }
  };

  test("valid messages come out the same but for the identity", () => {
    for (let round = 0; round < 2000; round += 1) {
      const message = randomRequest(random);
      const { out, calls } = run(frame(message), [random.below(message.length)]);
      const before = decodeRequest(message);
      const after = decodeRequest(framesIn(out)[0]!);
      expect(after.user_context).toMatchObject({ user_id: "alice@corp", user_name: "Alice" });
      expect({ ...after, user_context: null }).toEqual({ ...before, user_context: null });
      expect(calls[0]).toMatchObject({
        connectSession: before.session_id,
        operationId: before.operation_id || undefined,
      });
    }
  });

  test("damaged messages are refused, or carry the verified identity and what we read is what the decoder reads", () => {
    let forwarded = 0;
    let refusedCount = 0;
    for (let round = 0; round < 20_000; round += 1) {
      const cut = damagedRequest(random);
      let outcome: Outcome;
      try {
        outcome = run(frame(cut), [random.below(cut.length + 5)]);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(GatewayError);
        refusedCount += 1;
        continue;
      }
      const decoded = decodedOrNone(framesIn(outcome.out)[0]!);
      if (!decoded) continue;
      forwarded += 1;
      expect(decoded.user_context).toMatchObject({ user_id: "alice@corp", user_name: "Alice" });
      expect(decoded.session_id).toBe(outcome.calls[0]?.connectSession);
    }
    expect(forwarded).toBeGreaterThan(1000);
    expect(refusedCount).toBeGreaterThan(1000);
  });
});
