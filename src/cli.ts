#!/usr/bin/env -S node --max-semi-space-size=4 --no-memory-reducer
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { parseArgs } from "node:util";
import { ConfigError } from "./config/faults.ts";
import { loadConfig } from "./config/load.ts";
import type { Config } from "./config/resolve.ts";
import { bootstrapOf } from "./edges/envoy/encode-bootstrap.ts";
import { serve } from "./main.ts";
import { bootstrapSettings } from "./wiring/envoy-settings.ts";

const usage = `gatehouse: the control plane that puts Spark Connect behind Envoy

  gatehouse serve [--config FILE]              run until SIGTERM or SIGINT
  gatehouse check-config [--config FILE]       say what is wrong with the configuration
  gatehouse envoy-bootstrap [--config FILE] [--admin ADDRESS] [--node-id ID]
                                               print Envoy's start-up configuration

  --config FILE    YAML; default: $GATEHOUSE_CONFIG, else defaults and the environment alone
  --admin ADDRESS  Envoy's admin: unix:/path or 127.0.0.1:port (default 127.0.0.1:15004)
  --node-id ID     unique among the Envoys of an installation (default: the host's name)
`;

const exitCodes = { wrongUse: 2, wrongConfig: 78, failed: 1 } as const;

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      config: { type: "string" },
      admin: { type: "string", default: "127.0.0.1:15004" },
      "node-id": { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const [command, ...rest] = positionals;
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  if (rest.length > 0 || command === undefined) return complain("name one command");
  const config = (): Config => read(values.config ?? process.env["GATEHOUSE_CONFIG"]);
  switch (command) {
    case "serve":
      await serve(config());
      return 0;
    case "check-config":
      config();
      process.stdout.write("the configuration is sound\n");
      return 0;
    case "envoy-bootstrap": {
      const nodeId = values["node-id"] ?? hostname();
      const bootstrap = bootstrapOf(bootstrapSettings(config(), { nodeId, admin: values.admin }));
      process.stdout.write(`${JSON.stringify(bootstrap, undefined, 2)}\n`);
      return 0;
    }
    default:
      return complain(`there is no command ${command}`);
  }
}

function complain(what: string): number {
  process.stderr.write(`gatehouse: ${what}\n\n${usage}`);
  return exitCodes.wrongUse;
}

function read(file: string | undefined): Config {
  return loadConfig({ file: file === undefined ? undefined : readFileSync(file, "utf8"), env: process.env });
}

run(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (thrown: unknown) => {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    process.stderr.write(`gatehouse: ${error.message}\n`);
    process.exitCode =
      "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS")
        ? exitCodes.wrongUse
        : error instanceof ConfigError
          ? exitCodes.wrongConfig
          : exitCodes.failed;
  },
);
