import type { BenchContext } from "./context.ts";
import { type GatehouseWorld, startGatehouseWorld } from "./world.ts";

/** A world for each way in which Envoy asks about a call that is inspected. */
export interface Modes {
  readonly separate: GatehouseWorld;
  readonly fused: GatehouseWorld;
  readonly close: () => Promise<void>;
}

export async function startModes(context: BenchContext): Promise<Modes> {
  const separate = await startGatehouseWorld(context);
  try {
    const fused = await startGatehouseWorld(context, { config: { inspection: { mode: "fused" } } });
    return {
      separate,
      fused,
      close: async () => {
        await fused.close();
        await separate.close();
      },
    };
  } catch (error) {
    await separate.close();
    throw error;
  }
}
