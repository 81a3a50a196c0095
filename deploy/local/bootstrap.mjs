#!/usr/bin/env node
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { withLock } from "./lock.mjs";

// `node deploy/local/bootstrap.mjs TASK [arguments]`: runs a task on a machine that may have nothing but Node. Node's own
// modules only, in plain JavaScript, because node_modules may not be there yet.

const root = fileURLToPath(new URL("../..", import.meta.url));
const cache = join(root, ".cache");
const stampFile = join(root, "node_modules", ".gatehouse-stamp");
const tsx = ["--import", "tsx"];
const tasks = {
  quickstart: [...tsx, "deploy/local/quickstart.ts"],
  test: [...tsx, "test/run.ts"],
  check: [...tsx, "deploy/local/check.ts"],
  bench: [...tsx, "test/bench/run.ts"],
  generate: [...tsx, "deploy/local/generate.ts"],
  manifests: [...tsx, "deploy/local/render.ts"],
  build: ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"],
};

function fail(line) {
  process.stderr.write(`gatehouse: ${line}\n`);
  process.exit(1);
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    fail(`Node 20.19 or newer is needed; this is ${process.versions.node}`);
  }
}

/** What node_modules was made from: it is made anew when any of it changes. */
function wantedStamp() {
  const lock = readFileSync(join(root, "package-lock.json"));
  const made = `${process.platform} ${process.arch} ${process.versions.modules}`;
  return createHash("sha256").update(lock).update(made).digest("hex");
}

const stamped = () => (existsSync(stampFile) ? readFileSync(stampFile, "utf8") : "");

/** The npm that started us, else the one on the PATH. */
function npm() {
  const own = process.env.npm_execpath ?? "";
  return basename(own) === "npm-cli.js" ? [process.execPath, own] : ["npm"];
}

async function install(wanted) {
  if (stamped() === wanted) return;
  process.stderr.write("Installing the Node packages (once per package-lock.json) ...\n");
  const [command, ...first] = npm();
  const args = [...first, "ci", "--no-audit", "--no-fund", "--loglevel=error", `--cache=${join(cache, "npm")}`];
  const begun = Date.now();
  const { code, errors } = await collect(command, args);
  if (code !== 0) fail(whyNpmFailed(code, errors));
  writeFileSync(stampFile, wanted);
  process.stderr.write(`Node packages installed in ${((Date.now() - begun) / 1000).toFixed(1)} s\n`);
}

async function collect(command, args) {
  return await new Promise((resolve) => {
    let errors = "";
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "ignore", "pipe"] });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      errors += text;
    });
    child.once("error", (error) => resolve({ code: 127, errors: String(error) }));
    child.once("close", (code) => resolve({ code: code ?? 1, errors }));
  });
}

function whyNpmFailed(code, errors) {
  if (/ENOSPC|no space left/i.test(errors)) return `no disk space left for the Node packages below ${root}`;
  if (/EACCES|EROFS/.test(errors)) return `cannot write below ${root}: it belongs to another user or is read-only`;
  if (/spawn npm ENOENT/.test(errors)) return "npm was not found: install Node with npm";
  if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ECONNRESET|ENETUNREACH|CERT|SELF_SIGNED/.test(errors)) {
    const detail = errors.match(/(ENOTFOUND|EAI_AGAIN|ECONN\w+|ETIMEDOUT|ENETUNREACH|\w*CERT\w*|SELF_SIGNED\w*)/)?.[1];
    return `cannot reach the npm registry (${detail}); check the network, the proxy or NODE_EXTRA_CA_CERTS`;
  }
  const lines = errors.split("\n").map((line) => line.replace(/^npm (error|ERR!)\s*/, "").trim());
  const telling = lines.find((line) => line !== "" && !line.startsWith("code "));
  return `npm ci failed (exit code ${code}): ${telling ?? "it did not say why"}`;
}

/** Runs the task in our place: same terminal, signals passed on, its exit code is ours. */
function run(args) {
  const child = spawn(process.execPath, args, { cwd: root, stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      // A terminal sends its Ctrl-C to the task itself: passed on, it would count twice.
      if (signal !== "SIGINT" || process.stdin.isTTY !== true) child.kill(signal);
    });
  }
  child.once("error", (error) => fail(`cannot run the task: ${error.message}`));
  child.once("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal ?? "SIGTERM"] ?? 1)));
}

checkNode();
const [task = "", ...args] = process.argv.slice(2);
const command = Object.hasOwn(tasks, task) ? tasks[task] : undefined;
if (command === undefined) {
  fail(`no task "${task}"; there are: ${Object.keys(tasks).join(", ")}`);
} else {
  const wanted = wantedStamp();
  try {
    if (stamped() !== wanted) {
      mkdirSync(cache, { recursive: true });
      const waiting = (pid) =>
        process.stderr.write(`Waiting for process ${pid}, which installs the Node packages ...\n`);
      await withLock(join(cache, "npm.lock"), waiting, () => install(wanted));
    }
  } catch (error) {
    fail(error.code === "ENOSPC" ? `no disk space left below ${root}` : `cannot install: ${error.message}`);
  }
  run([...command, ...args]);
}
