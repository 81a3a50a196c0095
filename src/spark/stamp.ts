import { fieldBytes, writeHead } from "../kernel/length-delimited.ts";

/** The identity that the driver is made to see. */
export interface StampedUser {
  readonly userId: string;
  readonly userName: string;
}

const userContextField = 2;
const userIdField = 1;
const userNameField = 2;

/**
 * The bytes that, appended to any well-formed request of the service, force its identity: a last `user_context` field
 * with both `user_id` and `user_name`. Decoders merge repeated occurrences of a message field and the last scalar wins,
 * so whatever the client sent in either is replaced, and its extensions are kept. Both are written even when empty: an
 * absent one would leave the client's.
 */
export function stampFor({ userId, userName }: StampedUser): Uint8Array {
  const idBytes = Buffer.byteLength(userId);
  const nameBytes = Buffer.byteLength(userName);
  const content = fieldBytes(idBytes) + fieldBytes(nameBytes);
  const stamp = Buffer.allocUnsafe(fieldBytes(content));
  let at = writeHead(stamp, 0, userContextField, content);
  at = writeHead(stamp, at, userIdField, idBytes);
  at += stamp.write(userId, at);
  at = writeHead(stamp, at, userNameField, nameBytes);
  stamp.write(userName, at);
  return stamp;
}
