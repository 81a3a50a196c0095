/** A value that must never be printed. Serialising or inspecting it yields "[redacted]"; only {@link Secret.reveal} gives it out. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself. Call it only where the value leaves for its one rightful recipient. */
  reveal(): string {
    return this.#value;
  }

  /** Whether both hold the same value; for change detection, not for checking what a caller presents. */
  equals(other: Secret): boolean {
    return this.#value === other.#value;
  }

  toString(): string {
    return "[redacted]";
  }

  toJSON(): string {
    return "[redacted]";
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return "[redacted]";
  }
}
