import type { DriverResource } from "./objects.ts";
import { apacheResource } from "./template-apache.ts";
import type { TemplateInput } from "./template-input.ts";
import { podResource } from "./template-pod.ts";
import { sparkApplicationResource } from "./template-spark-application.ts";
import { sparkConnectResource } from "./template-spark-connect.ts";

/** The main object of a driver, as it is created: without status, UID and seal. */
export function buildResource(input: TemplateInput): DriverResource {
  const { kind } = input.profile;
  switch (kind) {
    case "pod":
      return podResource(input);
    case "spark-application":
      return sparkApplicationResource(input);
    case "spark-connect":
      return sparkConnectResource(input);
    case "apache-spark-application":
      return apacheResource(input);
  }
}
