const shortText = 40;

/**
 * Writes protobuf messages whose shape the code knows, straight into bytes: for the answers that every call waits for. All
 * else goes through `protos.ts`. Fields with default values are the caller's to leave out. Use one for one message.
 */
export class WireWriter {
  #bytes = Buffer.allocUnsafe(1024);
  #length = 0;

  /** A string or, equally, an embedded message that consists of this text. */
  string(field: number, text: string): this {
    // A UTF-16 unit takes 3 bytes at most; tag and length take 5 each.
    this.#room(text.length * 3 + 10);
    this.#varint((field << 3) | 2);
    const at = this.#length;
    this.#length = at + 1 + this.#text(text, at + 1);
    this.#close(at);
    return this;
  }

  /** An enumeration's number, a bool (0 or 1), or another unsigned number below 2^31. */
  number(field: number, value: number): this {
    this.#room(10);
    this.#varint(field << 3);
    this.#varint(value);
    return this;
  }

  /** The bytes of a field that were written before: tag, length and all. */
  raw(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** Begins an embedded message; {@link end} takes what this gives. */
  begin(field: number): number {
    this.#room(6);
    this.#varint((field << 3) | 2);
    return this.#length++;
  }

  end(begun: number): this {
    this.#room(4);
    this.#close(begun);
    return this;
  }

  /** The message. The writer must not be used afterwards. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** @returns how many bytes that is. A call into Node costs more than a few characters do. */
  #text(text: string, at: number): number {
    if (text.length > shortText) return this.#bytes.write(text, at);
    for (let index = 0; index < text.length; index += 1) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) return this.#bytes.write(text, at);
      this.#bytes[at + index] = code;
    }
    return text.length;
  }

  /** Writes the length of what follows the one byte that was kept free for it, and makes room where one is too few. */
  #close(at: number): void {
    const content = this.#length - at - 1;
    const more = content < 0x80 ? 0 : content < 0x4000 ? 1 : content < 0x20_0000 ? 2 : 3;
    if (more > 0) {
      this.#room(more);
      this.#bytes.copyWithin(at + 1 + more, at + 1, this.#length);
    }
    this.#length = at;
    this.#varint(content);
    this.#length += content;
  }

  #varint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.#length++] = rest;
  }

  #room(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const wider = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(wider, 0, 0, this.#length);
    this.#bytes = wider;
  }
}
