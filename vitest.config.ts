import { defineConfig } from "vitest/config";

// One project per layer, so that a layer can be run alone: `npx vitest run --project unit`.
// End-to-end files start real Spark drivers (about 1 GiB and one core each while they start), so they run one file at a time.
// What needs the real Kubernetes API server or Helm is a layer of its own: building those takes minutes, which the others need not
// wait for. Files of Kubernetes that need neither are named here, and are features like any others.
const kubernetes = [
  "test/features/{chart,node-agent,operators}*.test.ts",
  "test/features/kube-!(peers|transport).test.ts",
  "test/features/kubernetes-!(probe).test.ts",
  "test/e2e/kubernetes*.test.ts",
];

// Drivers that grow idle: nearly all of the time is waiting for it, so the files wait together.
const lifetimes = ["test/e2e/lifetimes*.test.ts"];

export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["test/unit/**/*.test.ts"], testTimeout: 10_000 } },
      {
        test: {
          name: "features",
          include: ["test/features/**/*.test.ts"],
          exclude: kubernetes,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          exclude: [...kubernetes, ...lifetimes],
          testTimeout: 240_000,
          hookTimeout: 240_000,
          fileParallelism: false,
        },
      },
      { test: { name: "lifetimes", include: lifetimes, testTimeout: 240_000, hookTimeout: 240_000, maxWorkers: 2 } },
      {
        test: {
          name: "kubernetes",
          include: kubernetes,
          testTimeout: 240_000,
          hookTimeout: 30 * 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
