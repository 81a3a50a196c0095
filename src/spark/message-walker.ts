import type { FieldRule, FieldTree, Found } from "./field-tree.ts";
import { wireTypeOf } from "./field-tree.ts";
import { malformed } from "./malformed.ts";
import { VarintReader } from "./varint.ts";

type Step = "tag" | "length" | "number" | "skip" | "text";

interface Level {
  readonly tree: FieldTree;
  /** Where this message ends, as an offset in the outermost one. */
  readonly end: number;
}

const pastTheEnd = "a field runs past the end of its message";
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Walks the fields of one message while it streams by. Memory: the texts of the tree and one level per depth of the
 * tree, whatever the message's size; all other content is skipped by its length.
 *
 * Every method throws GatewayError MESSAGE_MALFORMED: for field 0, groups, unknown wire types, tags or lengths that a
 * decoder might read otherwise, a field that runs past the end of its message, and what the tree refuses.
 */
export class MessageWalker {
  /** What was found so far; complete after {@link end}. */
  readonly found: Found = { texts: {}, marks: {} };
  readonly #length: number;
  readonly #levels: Level[];
  readonly #varint = new VarintReader();
  #level: Level;
  #offset = 0;
  #step: Step = "tag";
  #left = 0;
  #rule: FieldRule | undefined;
  #kept = new Uint8Array(0);

  /** @param length the message's declared length in bytes */
  constructor(tree: FieldTree, length: number) {
    this.#length = length;
    this.#level = { tree, end: length };
    this.#levels = [this.#level];
  }

  /** Takes bytes `from` to `to` of `chunk`; all calls together give exactly the declared length. */
  push(chunk: Uint8Array, from: number, to: number): void {
    let at = from;
    while (at < to) {
      if (this.#left > 0) at += this.#takeSpan(chunk, at, to);
      else this.#takeByte(chunk[at++] as number);
    }
  }

  end(): void {
    const atBoundary = this.#step === "tag" && !this.#varint.pending && this.#levels.length === 1;
    if (this.#offset !== this.#length || !atBoundary) throw malformed("the message ends inside a field");
  }

  #takeByte(byte: number): void {
    if (this.#offset === this.#level.end) throw malformed(pastTheEnd);
    this.#offset += 1;
    // Nearly every tag and many lengths and numbers are one byte.
    const short = byte < 0x80 && !this.#varint.pending;
    if (!short && !this.#varint.take(byte, this.#step === "number")) return;
    const value = short ? byte : this.#varint.value;
    if (this.#step === "tag") this.#onTag(value);
    else if (this.#step === "length") this.#onLength(value);
    else this.#onNumber(value);
  }

  #takeSpan(chunk: Uint8Array, from: number, to: number): number {
    const bytes = Math.min(this.#left, to - from);
    if (this.#step === "text") this.#kept.set(chunk.subarray(from, from + bytes), this.#kept.length - this.#left);
    this.#left -= bytes;
    this.#offset += bytes;
    if (this.#left === 0) this.#spanDone();
    return bytes;
  }

  #onTag(tag: number): void {
    const field = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (field === 0) throw malformed("field number 0");
    const { tree } = this.#level;
    const known = tree.fields.get(field);
    const fits = known !== undefined && wireTypeOf(known) === wireType;
    if (known && !fits && tree.strict) throw malformed(`field ${field} has wire type ${wireType}`);
    this.#rule = fits ? known : undefined;
    if (wireType === 0) this.#step = "number";
    else if (wireType === 1) this.#span(8, "skip");
    else if (wireType === 2) this.#step = "length";
    else if (wireType === 5) this.#span(4, "skip");
    else throw malformed(`wire type ${wireType}`);
  }

  #onLength(bytes: number): void {
    const rule = this.#rule;
    if (rule?.kind === "message") this.#descend(rule.tree, bytes);
    else if (rule?.kind === "text") {
      if (bytes > rule.maxBytes) throw malformed(`${rule.name} is longer than ${rule.maxBytes} bytes`);
      if (rule.once && this.found.texts[rule.name] !== undefined) {
        throw malformed(`${rule.name} occurs more than once`);
      }
      this.#kept = new Uint8Array(bytes);
      this.#span(bytes, "text");
    } else this.#span(bytes, "skip");
  }

  #onNumber(value: number): void {
    const rule = this.#rule;
    if (rule?.kind === "mark" && (rule.when?.(value) ?? true)) this.found.marks[rule.name] = rule.value;
    this.#fieldDone();
  }

  #descend(tree: FieldTree, bytes: number): void {
    const end = this.#offset + bytes;
    if (end > this.#level.end) throw malformed(pastTheEnd);
    this.#level = { tree, end };
    this.#levels.push(this.#level);
    this.#fieldDone();
  }

  #span(bytes: number, step: "skip" | "text"): void {
    if (this.#offset + bytes > this.#level.end) throw malformed(pastTheEnd);
    this.#left = bytes;
    this.#step = step;
    if (bytes === 0) this.#spanDone();
  }

  #spanDone(): void {
    const rule = this.#rule;
    if (rule?.kind === "text") this.found.texts[rule.name] = decodeText(this.#kept, rule.name);
    else if (rule?.kind === "mark") this.found.marks[rule.name] = rule.value;
    this.#fieldDone();
  }

  #fieldDone(): void {
    this.#rule = undefined;
    while (this.#levels.length > 1 && this.#offset === this.#level.end) {
      this.#levels.pop();
      this.#level = this.#levels[this.#levels.length - 1] as Level;
    }
    this.#step = "tag";
  }
}

function decodeText(bytes: Uint8Array, name: string): string {
  if (isShortAscii(bytes)) return String.fromCharCode.apply(null, bytes as unknown as number[]);
  try {
    return decoder.decode(bytes);
  } catch {
    throw malformed(`${name} is not valid UTF-8`);
  }
}

/** Ids are: a decoder's overhead is many times their cost. */
function isShortAscii(bytes: Uint8Array): boolean {
  if (bytes.length > 64) return false;
  for (let at = 0; at < bytes.length; at += 1) if ((bytes[at] as number) >= 0x80) return false;
  return true;
}
