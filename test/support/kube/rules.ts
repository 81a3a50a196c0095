import { readFileSync } from "node:fs";
import { objectsOf } from "../../../deploy/local/helm.ts";
import { manifestPath } from "../../../deploy/local/render.ts";
import type { KubeObject } from "../../../src/edges/kubernetes/objects.ts";
import { objectOf, type Role } from "./helm-objects.ts";

/** What the chart makes of one of its examples, as `deploy/manifests` holds it; a test compares that with the chart. */
export const manifestObjects = (example: string): readonly KubeObject[] =>
  objectsOf(readFileSync(manifestPath(example), "utf8"));

const everyKind = manifestObjects("every-kind");

/** What Gatehouse may do where drivers run, for all kinds. */
export const driverRules = objectOf<Role>(everyKind, "Role", "gatehouse-drivers").rules;

/** What it may do where its Lease lies, whose name is "gatehouse". */
export const leaseRules = objectOf<Role>(everyKind, "Role", "gatehouse-lease").rules;
