import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { keyReference } from "../../src/config/reference.ts";
import { metricSpecs } from "../../src/kernel/metrics.ts";
import { reasons } from "../../src/kernel/reasons.ts";

/** Rules about the tree itself that no linter knows. */

const folders = ["src", "test", "deploy", "docs", "envoy", "protos", ".ci"];
const rootFiles = readdirSync(".").filter((name) => statSync(name).isFile());
const generated = new Set(["package-lock.json"]);

function walk(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "__pycache__" ? [] : walk(path);
    return [path];
  });
}

const files = [...rootFiles, ...folders.flatMap(walk)].filter((path) => !path.endsWith(".log"));
const sources = files.filter((path) => path.startsWith("src/") && path.endsWith(".ts"));
const read = (path: string): string => readFileSync(path, "utf8");
const lines = (path: string): number => read(path).trimEnd().split("\n").length;
const offenders = (paths: readonly string[], wrong: (text: string, path: string) => boolean): string[] =>
  paths.filter((path) => wrong(read(path), path));

describe("size", () => {
  it("keeps source files at most 250 lines long", () => {
    expect(sources.length).toBeGreaterThan(20);
    expect(sources.filter((path) => lines(path) > 250)).toEqual([]);
  });

  it("keeps every other file of code at most 400 lines long", () => {
    const code = files.filter((path) => /\.(ts|mjs|py)$/.test(path));
    expect(code.filter((path) => lines(path) > 400)).toEqual([]);
  });

  it("keeps source files at most 8 exports wide, types not counted", () => {
    const count = (text: string): number => [...text.matchAll(/^export (async|class|const|function|let)\b/gm)].length;
    expect(offenders(sources, (text) => count(text) > 8)).toEqual([]);
  });
});

describe("names", () => {
  it("say what a thing does", () => {
    expect(files.filter((path) => /(manager|helper|utils?|service)\.ts$/i.test(basename(path)))).toEqual([]);
    expect(
      offenders(sources, (text) => /^export .*\b(class|function|interface) \w*(Manager|Helper|Utils)\b/m.test(text)),
    ).toEqual([]);
  });
});

describe("portability", () => {
  const portable = files.filter((path) => !generated.has(path));

  it("names no folder of anybody's machine", () => {
    const machine = new RegExp(`["'\`\\s=(:]/(${["root", "home", "Users", "work"].join("|")})/\\w`);
    const scratch = ["tmp", "lab"].join("/");
    expect(offenders(portable, (text) => machine.test(text) || text.includes(scratch))).toEqual([]);
  });

  it("names no package registry", () => {
    const hosts = ["registry.npmjs", "registry.yarnpkg", "files.pythonhosted", "pypi"].map((name) => `${name}.org`);
    hosts.push(["registry.yarnpkg", "com"].join("."));
    expect(offenders(files, (text) => hosts.some((host) => text.includes(host)))).toEqual([]);
  });

  it("locks packages without saying where they come from", () => {
    expect(read("package-lock.json")).not.toContain('"resolved"');
    expect(read("package-lock.json")).toContain('"integrity"');
  });
});

describe("tests", () => {
  it("all run", () => {
    const off = new RegExp(`\\b(it|test|describe)(\\.\\w+)*\\.(${["skip", "only", "todo", "fails"].join("|")})\\b`);
    const suites = files.filter((path) => path.endsWith(".test.ts"));
    expect(suites.length).toBeGreaterThan(10);
    expect(offenders(suites, (text) => off.test(text))).toEqual([]);
  });

  it("lie in a suite", () => {
    const suites = files.filter((path) => path.endsWith(".test.ts"));
    expect(suites.filter((path) => !/^test\/(unit|features|e2e)\//.test(path))).toEqual([]);
  });
});

describe("the import rule", () => {
  const layers = [
    ...readdirSync("src", { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() && !["edges", "wiring"].includes(entry.name) ? [entry.name] : [],
    ),
    ...readdirSync("src/edges").map((name) => `edges/${name}`),
  ];

  it.each(layers)("covers src/%s, with violations that prove it", (layer) => {
    expect(read(".oxlintrc.json")).toContain(`"src/${layer}/**/*.ts"`);
    const fixtures = readdirSync(join("test/fixtures/import-violation/src", layer));
    expect(fixtures).toContain("allowed.ts");
    expect(fixtures.length).toBeGreaterThan(1);
  });
});

describe("documentation", () => {
  it("has its front matter", () => {
    expect(read("LICENSE")).toContain("Apache License");
    for (const path of ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/README.md", "docs/runbook.md"]) {
      expect(lines(path), path).toBeGreaterThan(5);
    }
  });

  it("lists every reason, metric and configuration key", () => {
    const pages: [string, string[]][] = [
      ["docs/reference/reasons.md", Object.keys(reasons)],
      ["docs/reference/metrics.md", Object.keys(metricSpecs)],
      ["docs/reference/configuration.md", keyReference().map((row) => row.path)],
    ];
    for (const [path, names] of pages) {
      const text = read(path);
      expect(names.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
    }
  });

  it("tells an operator about every reason that is not an allow", () => {
    const runbook = read("docs/runbook.md");
    const denials = Object.entries(reasons).flatMap(([name, spec]) => (spec.grpc === "OK" ? [] : [name]));
    expect(denials.filter((name) => !runbook.includes(`\`${name}\``))).toEqual([]);
  });

  it("tells an operator about every warning of the Kubernetes runtime", () => {
    const runbook = read("docs/runbook.md");
    const warnings = sources
      .filter((path) => path.startsWith("src/edges/kubernetes/"))
      .flatMap((path) =>
        [...read(path).matchAll(/\blog\.(?:warn|error)\(\s*"([^"]+)"/g)].map(([, words = ""]) => words),
      );
    expect(warnings.length).toBeGreaterThan(5);
    expect(warnings.filter((words) => !runbook.includes(`\`${words}\``))).toEqual([]);
  });

  it("links only to what is there", () => {
    const broken = files
      .filter((path) => path.endsWith(".md"))
      .flatMap((path) =>
        [...read(path).matchAll(/\]\(([^)#\s]+)(#[^)]*)?\)/g)]
          .map(([, target = ""]) => target)
          .filter((target) => !/^[a-z]+:/.test(target) && !existsSync(join(path, "..", target)))
          .map((target) => `${path} → ${target}`),
      );
    expect(broken).toEqual([]);
  });
});

describe("tables", () => {
  const all = sources
    .filter((path) => !/kernel\/(reasons|metrics)\.ts$/.test(path))
    .map(read)
    .join("\n");

  it("hold no reason that nothing gives", () => {
    expect(Object.keys(reasons).filter((name) => !all.includes(`"${name}"`))).toEqual([]);
  });

  it("hold no metric that nothing measures", () => {
    expect(Object.keys(metricSpecs).filter((name) => !all.includes(`"${name}"`))).toEqual([]);
  });
});
