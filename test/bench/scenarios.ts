import type { Scenario } from "./scenario.ts";
import { coldStart } from "./scenarios/cold-start.ts";
import { door } from "./scenarios/door.ts";
import { inspection } from "./scenarios/inspection.ts";
import { reaper } from "./scenarios/reaper.ts";
import { startup } from "./scenarios/startup.ts";
import { tokens } from "./scenarios/tokens.ts";
import { uploads } from "./scenarios/uploads.ts";
import { xds } from "./scenarios/xds.ts";

/** All that can be measured, in the report's order. */
export const scenarios: readonly Scenario[] = [door, tokens, inspection, uploads, xds, reaper, startup, coldStart];
