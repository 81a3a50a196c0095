import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { boundToUs } from "../../../deploy/local/bound.ts";
import type { LeaseOptions } from "../../../src/edges/kubernetes/options.ts";
import { until } from "../until.ts";

/** What a candidate believes, and whether it has just gone on after it stood still. */
export interface Belief {
  readonly leads: boolean;
  readonly leader?: string;
  readonly stoodStill: boolean;
}

/** A process that takes part in an election; see `test/fixtures/lease-candidate`. */
export interface Candidate {
  readonly identity: string;
  /** In order; the newest last. */
  readonly beliefs: readonly Belief[];
  readonly leads: boolean;
  leading(deadlineMs?: number): Promise<void>;
  signal(signal: "SIGSTOP" | "SIGCONT" | "SIGKILL"): void;
  /** In order: it gives the Lease back. Does nothing where it has ended. */
  stop(): Promise<void>;
}

export async function startCandidate(kubeconfig: string, name: string, lease: LeaseOptions): Promise<Candidate> {
  const identity = `${name}|127.0.0.1:1`;
  const beliefs: Belief[] = [];
  const program = "test/fixtures/lease-candidate/main.ts";
  const options = ["--import", "tsx", program, kubeconfig, identity, JSON.stringify(lease)];
  const { command, args } = (await boundToUs())(process.execPath, options);
  const child: ChildProcess = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "close");
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on("line", (line) => beliefs.push(JSON.parse(line) as Belief));
  }
  const leads = () => beliefs.at(-1)?.leads === true;
  return {
    identity,
    beliefs,
    get leads() {
      return leads();
    },
    leading: async (deadlineMs = 20_000) => await until(leads, { what: `${name} leads`, deadlineMs }),
    signal: (signal) => void child.kill(signal),
    async stop() {
      child.kill("SIGCONT");
      child.stdin?.end();
      await ended;
    },
  };
}
