import type { ApiCalls } from "../../flows/api-calls.ts";

/** What the HTTP side needs of the rest. */
export interface ApiDeps extends ApiCalls {
  /** Why this replica cannot serve yet, or any more: one sentence each; empty when it can. */
  notReady(): readonly string[];
  /** What an operator should know although calls are served: one sentence each. */
  warnings(): readonly string[];
}
