import { join } from "node:path";
import type { ConfigTree } from "../../deploy/local/gatehouse-config.ts";
import type { IssuerUser } from "../../deploy/local/issuer-options.ts";
import type { Layout } from "../../deploy/local/layout.ts";
import {
  envoyReady,
  gatehouseReady,
  issuerReady,
  startEnvoyProcess,
  startGatehouseProcess,
  startIssuerProcess,
} from "../../deploy/local/parts.ts";
import { type StackPart, stackPart } from "./stack-part.ts";

export interface StackPorts {
  readonly envoy: number;
  readonly admin: number;
  readonly http: number;
  readonly issuer: number;
}

export interface StackPartsOptions {
  readonly layout: Layout;
  readonly ports: StackPorts;
  /** Asked at each start of Gatehouse and Envoy. */
  config(): ConfigTree;
  /** Path of the program. */
  readonly envoy: string;
  readonly tokenLifetimeSeconds: number;
  readonly users: readonly IssuerUser[];
  /** For the Node that runs Gatehouse. */
  readonly nodeArguments: readonly string[];
}

export type StackParts = Readonly<Record<"issuer" | "gatehouse" | "envoy", StackPart>>;

const deadlineMs = 60_000;

/** The three processes of a stack, none of them started. */
export function stackParts(options: StackPartsOptions): StackParts {
  const { layout, ports } = options;
  return {
    issuer: stackPart({
      name: "the issuer",
      logFile: join(layout.logs, "issuer.log"),
      graceMs: 5000,
      launch: async () =>
        await startIssuerProcess(layout, {
          host: "127.0.0.1",
          port: ports.issuer,
          folder: layout.issuer,
          audience: "gatehouse",
          tokenLifetimeSeconds: options.tokenLifetimeSeconds,
          users: options.users,
        }),
      ready: async (child) => await issuerReady(`http://127.0.0.1:${ports.issuer}`, { deadlineMs, children: [child] }),
    }),
    gatehouse: stackPart({
      name: "Gatehouse",
      logFile: join(layout.logs, "gatehouse.log"),
      graceMs: 30_000,
      launch: async () => await startGatehouseProcess(layout, options.config(), {}, options.nodeArguments),
      ready: async (child) => await gatehouseReady(`http://127.0.0.1:${ports.http}`, { deadlineMs, children: [child] }),
    }),
    envoy: stackPart({
      name: "Envoy",
      logFile: join(layout.logs, "envoy.log"),
      graceMs: 5000,
      launch: async () =>
        await startEnvoyProcess(layout, { program: options.envoy, adminPort: ports.admin, config: options.config() }),
      ready: async (child) => await envoyReady(ports, { deadlineMs, children: [child] }),
    }),
  };
}
