/** What may be read from a request message. Names are ours; {@link FieldRule} says where each comes from. */
export type TextName =
  | "sessionId"
  | "operationId"
  | "claimedUserId"
  | "claimedUserName"
  | "newSessionId"
  | "streamingQueryId";

export type MarkName = "reattachable" | "release" | "streamingStart" | "streamingStop";

/**
 * What to do with one field of a message. Fields without a rule are skipped by their length.
 * - `text`: keep the string; longer than `maxBytes` is refused; `once` refuses a second occurrence.
 * - `mark`: note `value` when the field occurs and, for a number, `when` agrees. The last one wins, as in a oneof.
 * - `message`: descend.
 */
export type FieldRule =
  | { readonly kind: "text"; readonly name: TextName; readonly maxBytes: number; readonly once: boolean }
  | {
      readonly kind: "mark";
      readonly name: MarkName;
      readonly value: boolean;
      readonly wireType: 0 | 2;
      /** Takes the lower 32 bits of the number, or 2^32 where only the upper ones hold anything. */
      readonly when?: (value: number) => boolean;
    }
  | { readonly kind: "message"; readonly tree: FieldTree };

export interface FieldTree {
  /**
   * Whether a field that has a rule is refused when it comes with another wire type. Where not, it is an unknown field
   * and skipped, as protobuf decoders do.
   */
  readonly strict: boolean;
  readonly fields: ReadonlyMap<number, FieldRule>;
}

/** All that was read from one message. */
export interface Found {
  readonly texts: Partial<Record<TextName, string>>;
  readonly marks: Partial<Record<MarkName, boolean>>;
}

/** The wire type that a rule's field must come with. */
export function wireTypeOf(rule: FieldRule): number {
  return rule.kind === "mark" ? rule.wireType : 2;
}
