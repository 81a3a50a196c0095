import type { StartRequest } from "../../drivers/runtime.ts";
import type { DriverFacts } from "./labels.ts";
import type { KubernetesProfile } from "./options.ts";

/** What one start is made of. */
export interface TemplateInput {
  readonly profile: KubernetesProfile;
  readonly profileName: string;
  readonly request: StartRequest;
  /** The main object's name: `driverName(key)`. */
  readonly name: string;
  /** Where the driver listens. */
  readonly port: number;
  readonly installation: string;
  readonly facts: DriverFacts;
  /** The facts' exact text: it is what the seal is made over. */
  readonly factsText: string;
  readonly cluster: string;
}
