import { type LoadPlan, runLoad } from "./load.ts";

// A process of its own: the client's work must not share an event loop with what it measures.
process.on("message", (plan: LoadPlan) => {
  runLoad(plan).then(
    (result) => process.send?.(result),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});
