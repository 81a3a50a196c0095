import { describe, expect, it } from "vitest";
import { bearerToken } from "../../../src/identity/bearer.ts";
import { GatewayError } from "../../../src/kernel/errors.ts";
import type { Reason } from "../../../src/kernel/reasons.ts";

const TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln";

describe("bearerToken", () => {
  const accepted: readonly [string, Record<string, string>][] = [
    ["authorization", { authorization: `Bearer ${TOKEN}` }],
    ["the JVM client's authentication", { authentication: `Bearer ${TOKEN}` }],
    ["lower-case scheme", { authorization: `bearer ${TOKEN}` }],
    ["upper-case scheme", { authorization: `BEARER ${TOKEN}` }],
    ["other headers beside it", { authorization: `Bearer ${TOKEN}`, cookie: "a,b", "x-token": "Bearer x" }],
  ];
  it.each(accepted)("takes it from %s", (_, headers) => {
    expect(bearerToken(headers)).toBe(TOKEN);
  });

  const refused: readonly [string, Reason, Record<string, string>][] = [
    ["nothing", "TOKEN_MISSING", {}],
    ["an empty header", "TOKEN_MISSING", { authorization: "" }],
    ["a bare scheme", "TOKEN_MISSING", { authorization: "Bearer" }],
    ["a scheme and a space", "TOKEN_MISSING", { authorization: "Bearer " }],
    ["both headers", "CREDENTIALS_AMBIGUOUS", { authorization: `Bearer ${TOKEN}`, authentication: `Bearer ${TOKEN}` }],
    ["both headers, one empty", "CREDENTIALS_AMBIGUOUS", { authorization: "", authentication: `Bearer ${TOKEN}` }],
    ["joined duplicates", "CREDENTIALS_AMBIGUOUS", { authorization: `Bearer ${TOKEN},Bearer ${TOKEN}` }],
    ["a trailing comma", "CREDENTIALS_AMBIGUOUS", { authorization: `Bearer ${TOKEN},` }],
    ["another scheme first", "CREDENTIALS_AMBIGUOUS", { authorization: `Basic YTpi, Bearer ${TOKEN}` }],
    ["Basic", "TOKEN_MALFORMED", { authorization: "Basic YTpi" }],
    ["no scheme", "TOKEN_MALFORMED", { authorization: TOKEN }],
    ["a scheme that only begins so", "TOKEN_MALFORMED", { authorization: `BearerX ${TOKEN}` }],
    ["a tab", "TOKEN_MALFORMED", { authorization: `Bearer\t${TOKEN}` }],
    ["two spaces", "TOKEN_MALFORMED", { authorization: `Bearer  ${TOKEN}` }],
    ["a leading space", "TOKEN_MALFORMED", { authorization: ` Bearer ${TOKEN}` }],
    ["a trailing space", "TOKEN_MALFORMED", { authorization: `Bearer ${TOKEN} ` }],
    ["two tokens", "TOKEN_MALFORMED", { authorization: `Bearer ${TOKEN} ${TOKEN}` }],
    ["a line break", "TOKEN_MALFORMED", { authorization: `Bearer ${TOKEN}\nx` }],
    ["a NUL", "TOKEN_MALFORMED", { authorization: `Bearer ${TOKEN}\0` }],
    ["letters that are not ASCII", "TOKEN_MALFORMED", { authorization: `Bearer ${TOKEN}é` }],
    ["a quoted token", "TOKEN_MALFORMED", { authorization: `Bearer "${TOKEN}"` }],
  ];
  it.each(refused)("refuses %s: %s", (_, reason, headers) => {
    let thrown: unknown;
    try {
      bearerToken(headers);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(GatewayError);
    expect(thrown).toMatchObject({ reason });
    expect((thrown as GatewayError).message).not.toContain("eyJ");
  });
});
