import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { exampleNames, exampleValues, manifestText, renderChart } from "./helm.ts";
import { repositoryRoot } from "./layout.ts";

// `node --import tsx deploy/local/render.ts`: writes deploy/manifests/ anew from the chart and its examples
// (`npm run manifests`). A test compares them: test/features/chart.test.ts.

const folder = join(repositoryRoot, "deploy/manifests");
const heading = "# Made from deploy/helm/gatehouse with examples/";

export const manifestPath = (example: string): string => join(folder, `${example}.yaml`);

/** What each example's manifest must be. @throws Error where one cannot be rendered */
export async function manifests(): Promise<Readonly<Record<string, string>>> {
  const names = exampleNames();
  const all = await renderChart(names.map(exampleValues));
  return Object.fromEntries(
    all.map((rendering, i) => {
      const name = names[i] ?? "";
      if (rendering.error !== undefined) throw new Error(`examples/${name}.yaml: ${rendering.error}`);
      return [name, `${heading}${name}.yaml: change them instead.\n${manifestText(rendering)}`];
    }),
  );
}

async function writeManifests(): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(await manifests())) writeFileSync(manifestPath(name), text);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await writeManifests();
}
