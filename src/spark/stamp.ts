/** The identity that the driver is made to see. */
export interface StampedUser {
  readonly userId: string;
  readonly userName: string;
}

const encoder = new TextEncoder();
const userContextField = 2;
const userIdField = 1;
const userNameField = 2;

const delimited = (field: number, content: Uint8Array): Uint8Array => {
  const head = [field * 8 + 2, ...varint(content.length)];
  const out = new Uint8Array(head.length + content.length);
  out.set(head);
  out.set(content, head.length);
  return out;
};

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest % 0x80) + 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return [...bytes, rest];
}

/**
 * The bytes that, appended to any well-formed request of the service, force its identity: a last `user_context` field
 * with both `user_id` and `user_name`. Decoders merge repeated occurrences of a message field and the last scalar wins,
 * so whatever the client sent in either is replaced, and its extensions are kept. Both are written even when empty: an
 * absent one would leave the client's.
 */
export function stampFor(user: StampedUser): Uint8Array {
  const id = delimited(userIdField, encoder.encode(user.userId));
  const name = delimited(userNameField, encoder.encode(user.userName));
  const content = new Uint8Array(id.length + name.length);
  content.set(id);
  content.set(name, id.length);
  return delimited(userContextField, content);
}
