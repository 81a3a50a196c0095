import { defineConfig } from "vitest/config";

// One project per layer, so that a layer can be run alone: `npx vitest run --project unit`.
// End-to-end files start real Spark drivers (about 1 GiB and one core each while they start), so they run one file at a time.
export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["test/unit/**/*.test.ts"], testTimeout: 10_000 } },
      { test: { name: "features", include: ["test/features/**/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000 } },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 240_000,
          hookTimeout: 240_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
