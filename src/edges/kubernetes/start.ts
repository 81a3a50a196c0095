import type { StartRequest } from "../../drivers/runtime.ts";
import { GatewayError } from "../../kernel/errors.ts";
import { type SessionKey, sessionKeyId } from "../../sessions/session-key.ts";
import { refusalFailure } from "./causes-refusal.ts";
import { nameOf } from "./facts.ts";
import { lookAt } from "./look.ts";
import { NotLeader } from "./peer-messages.ts";
import type { Peers } from "./peers.ts";
import { removeWholly } from "./remove.ts";
import { settleConflict } from "./start-conflict.ts";
import { createDriver } from "./start-create.ts";
import { planStart, type StartPlan } from "./start-plan.ts";
import { currentTerm, isPassing, isStatus, type Term, TermOver } from "./term.ts";
import { tryServerPod } from "./trial-pod.ts";
import { changed, isPresent, untilHolds, type World } from "./world.ts";

/** Beyond the Lease's duration: by then another replica leads, if there is one. ms */
const leaderGraceMs = 5_000;
const retryMs = 500;
const maxAttempts = 4;

/**
 * Places the order, here or with the replica that leads; while none does, it waits for one.
 * @throws GatewayError
 */
export async function start(world: World, peers: Peers, request: StartRequest): Promise<void> {
  const { clock, lease } = world.options;
  const deadline = clock.now() + lease.durationMs + leaderGraceMs;
  for (;;) {
    if (isThere(world, request.key)) return;
    try {
      const term = currentTerm(world);
      if (term !== undefined) return await inTurn(world, term, request);
      if (await askLeader(world, peers, request, deadline)) return;
    } catch (error) {
      if (world.over.signal.aborted) throw shuttingDown();
      if (!(error instanceof TermOver || error instanceof NotLeader || isPassing(error))) throw inWords(error);
      world.options.log.debug("the order to start a driver could not be placed yet", { error });
    }
    if (clock.now() >= deadline) {
      throw new GatewayError("DRIVER_STARTING", "no replica can start drivers now; try again", { retryAfterMs: 2_000 });
    }
    await pause(world, retryMs);
  }
}

/** Only where this replica leads: what others ask it for. @throws NotLeader, GatewayError */
export async function startForPeer(world: World, request: StartRequest): Promise<void> {
  const term = currentTerm(world);
  if (term === undefined) throw new NotLeader("this replica does not lead");
  try {
    if (!isThere(world, request.key)) await inTurn(world, term, request);
  } catch (error) {
    if (error instanceof TermOver) throw new NotLeader("this replica does not lead any more", { cause: error });
    throw inWords(error);
  }
}

export const shuttingDown = (): GatewayError =>
  new GatewayError("SHUTTING_DOWN", "Gatehouse is shutting down; try again");

function isThere(world: World, key: SessionKey): boolean {
  const own = world.index.named(key.namespace, nameOf(key)).map(({ object }) => object.metadata.uid);
  return [...own, ...world.discovered].some((uid) => {
    const entry = world.entries.get(uid);
    return entry !== undefined && isPresent(entry) && sessionKeyId(entry.driver.key) === sessionKeyId(key);
  });
}

/** @returns false where nobody is known to lead @throws NotLeader also where another leads while this one is asked */
async function askLeader(world: World, peers: Peers, request: StartRequest, deadline: number): Promise<boolean> {
  const { election, over, options } = world;
  const leader = election.leader();
  if (leader === undefined) return false;
  const inVain = new AbortController();
  const giveUp = () => inVain.abort();
  const cancel = options.clock.after(Math.max(1, deadline - options.clock.now()), giveUp);
  // A leader that hangs does not answer, and one that is cut off answers too late: whoever leads now is to be asked.
  const stop = election.onChange(() => {
    if (election.leads() || (election.leader() ?? leader) !== leader) giveUp();
  });
  try {
    over.signal.addEventListener("abort", giveUp, { once: true });
    if (over.signal.aborted) giveUp();
    await peers.ask(leader, request, inVain.signal);
  } catch (error) {
    if (inVain.signal.aborted) throw new NotLeader("the leader did not answer in time", { cause: error });
    throw error;
  } finally {
    // Not by AbortSignal.any: it leaves something on a signal that lives as long as this process, for each start.
    over.signal.removeEventListener("abort", giveUp);
    stop();
    cancel();
  }
  return true;
}

async function pause(world: World, ms: number): Promise<void> {
  let moved = false;
  const stop = world.election.onChange(() => {
    moved = true;
    changed(world);
  });
  try {
    await untilHolds(world, () => moved, { limitMs: ms, signal: world.over.signal });
  } catch {
    throw shuttingDown();
  } finally {
    stop();
  }
}

/** One order at a time for each name: whoever comes second finds what the first has made. */
async function inTurn(world: World, term: Term, request: StartRequest): Promise<void> {
  const id = `${request.key.namespace}/${nameOf(request.key)}`;
  while (world.ordering.has(id)) {
    await untilHolds(world, () => !world.ordering.has(id), { limitMs: 60_000, signal: term.signal }).catch(() => {
      throw new TermOver();
    });
    if (isThere(world, request.key)) return;
  }
  world.ordering.add(id);
  try {
    await order(world, term, request, id);
  } finally {
    world.ordering.delete(id);
    changed(world);
  }
}

async function order(world: World, term: Term, request: StartRequest, id: string): Promise<void> {
  // A refusal must not cost the failed driver that is to be replaced, whose cause somebody may still want to read.
  const trial = planStart(world.options, request);
  await dryRun(term, trial);
  await tryServerPod(term, trial);
  for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
    const plan = planStart(world.options, request);
    await removeFailed(world, term, plan);
    checkLimit(world, id);
    if (await createDriver(world, term, plan)) return;
    if ((await settleConflict(world, term, plan)) === "there") return;
    if (isThere(world, request.key)) return;
  }
  throw new GatewayError(
    "DRIVER_FAILED",
    `the name ${request.key.namespace}/${nameOf(request.key)} is taken again and again`,
  );
}

async function dryRun(term: Term, { collection, resource }: StartPlan): Promise<void> {
  try {
    await term.call({ method: "POST", path: collection, query: { dryRun: "All" }, body: resource });
  } catch (error) {
    // The name is taken: the resource itself was found to be good before that.
    if (!isStatus(error, 409)) throw error;
  }
}

/** What failed, or ended and is not cleaned up yet, makes room. */
async function removeFailed(world: World, term: Term, { namespace, name }: StartPlan): Promise<void> {
  for (const main of world.index.named(namespace, name)) {
    const entry = world.entries.get(main.object.metadata.uid);
    if (entry === undefined || (entry.failed === undefined && entry.end === undefined)) continue;
    await removeWholly(world, term, main);
    lookAt(world, [entry.uid]);
  }
}

function checkLimit(world: World, id: string): void {
  const { maxDrivers } = world.options;
  const present = [...world.entries.values()].filter(
    (entry) =>
      isPresent(entry) &&
      !world.ordering.has(`${entry.namespace}/${entry.name}`) &&
      world.index.main(entry.uid)?.source !== "discovered",
  ).length;
  const ahead = [...world.ordering].indexOf(id);
  if (present + ahead < maxDrivers) return;
  throw new GatewayError("DRIVER_LIMIT", `${present + ahead} drivers are running, as many as there may be`, {
    retryAfterMs: 5_000,
  });
}

/** What the API server said, in words for the person who waits. */
function inWords(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  if (isPassing(error)) {
    const message = refusalFailure(error)?.summary ?? "the Kubernetes API is not available now; try again";
    return new GatewayError("DRIVER_STARTING", message, { cause: error, retryAfterMs: 2_000 });
  }
  const failure = refusalFailure(error);
  if (failure !== undefined) return new GatewayError("DRIVER_FAILED", failure.summary, { cause: error });
  return GatewayError.from(error);
}
