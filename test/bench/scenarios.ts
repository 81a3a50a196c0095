import type { Scenario } from "./scenario.ts";
import { door } from "./scenarios/door.ts";
import { tokens } from "./scenarios/tokens.ts";

/** All that can be measured, in the report's order. */
export const scenarios: readonly Scenario[] = [door, tokens];
