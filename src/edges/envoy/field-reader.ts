/**
 * The fields of one protobuf message, one after another, where the general codec would read all of them:
 *   while (message.next()) if (message.field === 1) key = message.text();
 * A field that is not taken is stepped over by its length; its content is not looked at.
 *
 * Every method throws an Error where the bytes are malformed: field 0, groups, a field that runs past the end of its
 * message, a number of more than 10 bytes, or a wire type other than the one that is asked for.
 */
export class FieldReader {
  /** The field that {@link next} came to. */
  field = 0;
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;
  #type = -1;

  /** @param from where the message begins in `bytes` */
  constructor(bytes: Buffer, from = 0, to = bytes.length) {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = to;
  }

  /** Goes to the next field. @returns false at the message's end */
  next(): boolean {
    if (this.#type !== taken) this.#skip();
    if (this.#at === this.#end) return false;
    const tag = this.#varint();
    this.field = tag >>> 3;
    this.#type = tag & 7;
    if (this.field === 0) throw new Error("field number 0");
    return true;
  }

  /** The field's message. */
  message(): FieldReader {
    const from = this.#delimited();
    return new FieldReader(this.#bytes, from, this.#at);
  }

  /** The field's bytes, as a view. */
  bytes(): Buffer {
    const from = this.#delimited();
    return this.#bytes.subarray(from, this.#at);
  }

  text(): string {
    const from = this.#delimited();
    return this.#bytes.toString("utf8", from, this.#at);
  }

  truth(): boolean {
    return this.number() !== 0;
  }

  /** A number below 2^32; a larger one gives another one that is not 0. */
  number(): number {
    if (this.#type !== 0) throw new Error(`wire type ${this.#type} where a number was due`);
    this.#type = taken;
    return this.#varint();
  }

  /** Takes a field with a length. @returns where its content begins; it ends where the reader is then */
  #delimited(): number {
    if (this.#type !== 2) throw new Error(`wire type ${this.#type} where a length was due`);
    this.#type = taken;
    const length = this.#varint();
    const from = this.#at;
    this.#forward(length);
    return from;
  }

  #skip(): void {
    if (this.#type === 0) this.#varint();
    else if (this.#type === 1) this.#forward(8);
    else if (this.#type === 2) this.#forward(this.#varint());
    else if (this.#type === 5) this.#forward(4);
    else throw new Error(`wire type ${this.#type}`);
    this.#type = taken;
  }

  #forward(bytes: number): void {
    if (bytes > this.#end - this.#at) throw new RangeError("a field runs past the end of its message");
    this.#at += bytes;
  }

  /** The lower 32 bits of a number, or 2^32 where only the upper ones hold anything. */
  #varint(): number {
    let low = 0;
    let upper = false;
    for (let count = 0; count < 10; count += 1) {
      if (this.#at === this.#end) throw new RangeError("a number runs past the end of its message");
      const byte = this.#bytes[this.#at++] as number;
      const bits = byte & 0x7f;
      if (count < 4) low += bits << (7 * count);
      else if (count === 4) {
        low += (bits & 0x0f) * 2 ** 28;
        upper = bits > 0x0f;
      } else upper ||= bits !== 0;
      if (byte < 0x80) return low === 0 && upper ? 2 ** 32 : low;
    }
    throw new Error("a number is longer than 10 bytes");
  }
}

/** Not a wire type: the field's content has been read. */
const taken = -1;
