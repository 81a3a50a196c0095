import type { Scenario } from "./scenario.ts";
import { coldStart } from "./scenarios/cold-start.ts";
import { door } from "./scenarios/door.ts";
import { reaper } from "./scenarios/reaper.ts";
import { startup } from "./scenarios/startup.ts";
import { tokens } from "./scenarios/tokens.ts";

/** All that can be measured, in the report's order. */
export const scenarios: readonly Scenario[] = [door, tokens, reaper, startup, coldStart];
