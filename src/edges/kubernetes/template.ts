import type { DriverResource } from "./objects.ts";
import type { TemplateInput } from "./template-input.ts";
import { podResource } from "./template-pod.ts";

/** The main object of a driver, as it is created: without status, UID and seal. */
export function buildResource(input: TemplateInput): DriverResource {
  const { kind } = input.profile;
  switch (kind) {
    case "pod":
      return podResource(input);
    case "spark-application":
    case "spark-connect":
    case "apache-spark-application":
      throw new Error(`no template for ${kind} yet`);
  }
}
