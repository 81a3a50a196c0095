import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { buildResource } from "../../../src/edges/kubernetes/template.ts";
import { buildTokenSecret } from "../../../src/edges/kubernetes/template-secret.ts";
import { exampleInput, fullProfile, plainProfile } from "./template-example.ts";

// What a start creates, in full, to be read and reviewed. `npx vitest run -u` writes the files anew.

const golden = (name: string): string => new URL(`./golden/${name}.yaml`, import.meta.url).pathname;
const yaml = (value: unknown): string => stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });

describe("the objects of a driver are as reviewed", () => {
  it.each(["pod", "spark-application", "spark-connect", "apache-spark-application"] as const)(
    "of kind %s",
    async (kind) => {
      await expect(yaml(buildResource(exampleInput(plainProfile, kind)))).toMatchFileSnapshot(golden(`${kind}-plain`));
      await expect(yaml(buildResource(exampleInput(fullProfile, kind)))).toMatchFileSnapshot(golden(`${kind}-full`));
    },
  );

  it("of the Secret", async () => {
    const secret = buildTokenSecret({
      name: "gh-0123456789abcdef0123456789abcdef-7f3a9c",
      namespace: "sjns-data-dev",
      owner: { apiVersion: "v1", kind: "Pod", name: "gh-0123456789abcdef0123456789abcdef", uid: "u-1" },
      token: "sample",
      labels: { "gatehouse.dev/installation": "gatehouse" },
    });
    await expect(yaml(secret)).toMatchFileSnapshot(golden("secret"));
  });
});
