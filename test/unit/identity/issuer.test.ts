import { describe, expect, it } from "vitest";
import { type IssuerConfig, issuerFaults, supportedAlgorithms } from "../../../src/identity/issuer.ts";

const sound: IssuerConfig = {
  name: "dev",
  issuer: "https://issuer.example/realm",
  audiences: ["gatehouse"],
  claims: { user: "sub" },
};

describe("issuerFaults", () => {
  it("accepts https anywhere and http on loopback", () => {
    for (const issuer of [
      "https://issuer.example",
      "http://localhost:1",
      "http://127.0.0.1:8080/x",
      "http://[::1]:1",
    ]) {
      expect(issuerFaults([{ ...sound, issuer }]), issuer).toEqual([]);
    }
  });

  const table: readonly [string, Partial<IssuerConfig>][] = [
    ["https", { issuer: "http://issuer.example" }],
    ["https", { issuer: "http://localhost.example.com" }],
    ["https", { issuer: "http://127.0.0.1.example.com" }],
    ["https", { issuer: "ftp://localhost" }],
    ["https", { jwksUri: "http://10.0.0.1/jwks" }],
    ["not a URL", { issuer: "issuer.example" }],
    ["credentials", { issuer: "https://user:password@issuer.example" }],
    ["DNS label", { name: "a@b" }],
    ["DNS label", { name: "" }],
    ["DNS label", { name: "Dev" }],
    ["audiences", { audiences: [] }],
    ["audiences", { audiences: [""] }],
    ["algorithms", { algorithms: [] }],
    ["algorithms", { algorithms: ["RS256", "none"] }],
    ["algorithms", { algorithms: ["HS256"] }],
  ];
  it.each(table)("names a fault about %s in %j", (word, changes) => {
    const faults = issuerFaults([{ ...sound, ...changes }]);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(word);
  });

  it("wants at least one issuer, and different ones", () => {
    expect(issuerFaults([])).toHaveLength(1);
    expect(issuerFaults([sound, sound])).toEqual(["issuer names must differ", "issuer URLs must differ"]);
  });

  it("knows no symmetric algorithm and no none", () => {
    expect(supportedAlgorithms.filter((alg) => /^(HS|none|dir|A\d)/i.test(alg))).toEqual([]);
  });
});
