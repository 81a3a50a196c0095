/** Bytes of a protobuf field with so much content: its tag (field numbers to 15), its length and the content. */
export const fieldBytes = (content: number): number => 1 + varintBytes(content) + content;

/** Writes tag and length of a field that has one; the field's number is 15 at most. @returns where its content begins */
export function writeHead(out: Uint8Array, from: number, field: number, length: number): number {
  let at = from;
  out[at++] = field * 8 + 2;
  let rest = length;
  for (; rest > 0x7f; rest >>>= 7) out[at++] = (rest & 0x7f) | 0x80;
  out[at++] = rest;
  return at;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) bytes += 1;
  return bytes;
}
