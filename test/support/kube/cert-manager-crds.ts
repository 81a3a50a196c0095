import type { CustomResourceDefinition } from "./crds.ts";

// A stand-in for cert-manager, as far as the chart uses it: its kinds with these fields, and no controller. The names and
// types are those of cert-manager.io/v1; an unknown field is refused here as it is there.

const text = { type: "string" };
const texts = { type: "array", items: text };
const fields = (properties: object, required: readonly string[] = []) => ({
  type: "object",
  properties,
  ...(required.length > 0 ? { required } : {}),
});

const issuerRef = fields({ name: text, kind: text, group: text }, ["name"]);
const privateKey = fields({
  algorithm: { type: "string", enum: ["RSA", "ECDSA", "Ed25519"] },
  size: { type: "integer" },
  rotationPolicy: { type: "string", enum: ["Never", "Always"] },
});
const usages = { type: "array", items: { type: "string", enum: ["digital signature", "server auth", "client auth"] } };

export const certManagerCrds: readonly CustomResourceDefinition[] = [
  definition(
    "Certificate",
    fields(
      {
        secretName: text,
        issuerRef,
        dnsNames: texts,
        commonName: text,
        isCA: { type: "boolean" },
        duration: text,
        renewBefore: text,
        privateKey,
        usages,
      },
      ["secretName", "issuerRef"],
    ),
  ),
  definition("Issuer", fields({ selfSigned: fields({}), ca: fields({ secretName: text }, ["secretName"]) })),
];

function definition(kind: string, spec: object): CustomResourceDefinition {
  const plural = `${kind.toLowerCase()}s`;
  const openAPIV3Schema = fields({ apiVersion: text, kind: text, metadata: { type: "object" }, spec }, ["spec"]);
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.cert-manager.io` },
    spec: {
      group: "cert-manager.io",
      scope: "Namespaced",
      names: { kind, listKind: `${kind}List`, plural, singular: kind.toLowerCase() },
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema } }],
    },
  };
}
