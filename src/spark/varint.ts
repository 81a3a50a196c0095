import { malformed } from "./malformed.ts";

/**
 * Reads one protobuf varint byte by byte, across chunks.
 *
 * Tags and lengths ("narrow") take at most 5 bytes and 32 bits and must be as short as can be: decoders differ in what
 * they make of longer ones (some drop the upper bits, some do not), and a reading that differs from the driver's would
 * let a field hide. Values ("wide") may take the 10 bytes of a 64-bit number; of them the lower 32 bits are kept.
 */
export class VarintReader {
  #wide = false;
  #count = 0;
  #low = 0;
  #upper = false;

  /** The complete number; of a wide one the lower 32 bits, or 2^32 where only the upper ones hold anything. */
  get value(): number {
    return this.#low === 0 && this.#upper ? 2 ** 32 : this.#low;
  }

  /** Whether a number has been begun and is not complete. */
  get pending(): boolean {
    return this.#count > 0;
  }

  /** Takes the next byte of a number, the first one of which says whether it is wide. @returns whether it is complete */
  take(byte: number, wide: boolean): boolean {
    if (this.#count === 0) {
      this.#wide = wide;
      this.#low = 0;
      this.#upper = false;
    }
    this.#count += 1;
    const last = byte < 0x80;
    if (this.#wide) this.#takeWide(byte, last);
    else this.#takeNarrow(byte, last);
    if (last) this.#count = 0;
    return last;
  }

  #takeNarrow(byte: number, last: boolean): void {
    const count = this.#count;
    if (count === 5 && (byte > 0x0f || !last)) throw malformed("a tag or length is longer than 5 bytes or 32 bits");
    if (last && count > 1 && byte === 0) throw malformed("a tag or length is padded");
    this.#low += (byte & 0x7f) * 2 ** (7 * (count - 1));
  }

  #takeWide(byte: number, last: boolean): void {
    const count = this.#count;
    if (count === 10 && (byte > 0x01 || !last)) throw malformed("a number is longer than 64 bits");
    const bits = byte & 0x7f;
    if (count <= 4) this.#low += bits * 2 ** (7 * (count - 1));
    else if (count === 5) {
      this.#low += (bits & 0x0f) * 2 ** 28;
      this.#upper ||= bits > 0x0f;
    } else this.#upper ||= bits !== 0;
  }
}
