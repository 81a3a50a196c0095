/** A call's headers by lower-case name. No prototype: a client may call a header what it likes. */
export type RequestHeaders = Record<string, string>;

export const noHeaders = (): RequestHeaders => Object.create(null) as RequestHeaders;

/** Whichever filter asks, duplicates of a header are joined with a comma: what must be there once is then refused. */
export function addHeader(headers: RequestHeaders, name: string, value: string): void {
  const key = name.toLowerCase();
  const before = headers[key];
  headers[key] = before === undefined ? value : `${before},${value}`;
}
