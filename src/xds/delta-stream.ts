import type { CacheChange, ResourceCache, VersionedResource } from "./resource-cache.ts";
import {
  answer,
  begin,
  newSubscription,
  type Subscription,
  type SubscriptionChange,
  settle,
  type UnknownNames,
  update,
} from "./subscription.ts";
import { takeRemovals, takeResources } from "./take.ts";

export interface DeltaRequest extends SubscriptionChange {
  readonly typeUrl: string;
  /** The nonce of the response that this request acknowledges or refuses; "" where it does neither. */
  readonly nonce: string;
  /** Why that response was refused; undefined: it was not. */
  readonly error: string | undefined;
}

export interface DeltaResponse {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly resources: readonly VersionedResource[];
  readonly removed: readonly string[];
}

/** What a request said about an earlier response. */
export interface Acknowledgement {
  readonly typeUrl: string;
  readonly nonce: string;
  /** Present where the client refused the response. */
  readonly error: string | undefined;
  readonly sent: readonly { readonly name: string; readonly version: string }[];
  readonly removed: readonly string[];
}

export interface DeltaStreamOptions {
  readonly cache: ResourceCache;
  readonly unknown: UnknownNames;
  /** Additions go out in this order of types, removals in reverse. Types that are not listed come last. */
  readonly order: readonly string[];
  /** Types for which a first request without names means "all". */
  readonly wildcardTypes: readonly string[];
  /** Endpoints follow a cluster that is sent again: Envoy warms it anew and does not ask for them itself. */
  readonly clusterType: string;
  readonly endpointsType: string;
  /** Default 100: small enough that whatever is urgent never waits long behind a big push. */
  readonly maxResourcesPerResponse?: number;
  /**
   * Responses of one type under way without an answer; then nothing of it is sent until one is answered. Not of all types
   * together: the answers to clusters come when their endpoints are there. Default 256.
   */
  readonly maxUnanswered?: number;
  /** Names that one stream may ask for, all types together. Default 50,000. */
  readonly maxNames?: number;
}

/** The protocol's state of one stream; it knows nothing of the stream itself, of time or of I/O. */
export interface DeltaStream {
  /**
   * Takes in a request; what is to be answered comes out of `next`.
   * @throws Error when the stream asks for more than it may: end it
   */
  request(request: DeltaRequest): Acknowledgement | undefined;
  /** Resources changed. */
  changed(change: CacheChange): void;
  /** What to send now, or undefined: nothing until the next request, change or `wakeAt`. */
  next(now: number): DeltaResponse | undefined;
  /** When an awaited name must be answered (ms); call `next` then. */
  wakeAt(): number | undefined;
}

interface State {
  readonly options: DeltaStreamOptions;
  readonly subscriptions: Map<string, Subscription>;
  readonly unanswered: Map<string, DeltaResponse>;
  /** How many of them there are, by type. */
  readonly underWay: Map<string, number>;
  sequence: number;
  /** The latest response was of clusters. */
  clustersLast: boolean;
}

export function createDeltaStream(options: DeltaStreamOptions): DeltaStream {
  const state: State = {
    options,
    subscriptions: new Map(),
    unanswered: new Map(),
    underWay: new Map(),
    sequence: 0,
    clustersLast: false,
  };
  return {
    request: (request) => takeRequest(state, request),
    changed(change) {
      for (const [typeUrl, names] of change) {
        const sub = state.subscriptions.get(typeUrl);
        if (sub === undefined) continue;
        for (const name of names) if (sub.wildcard || sub.named.has(name)) sub.dirty.add(name);
      }
    },
    next: (now) => nextResponse(state, now),
    wakeAt() {
      let earliest: number | undefined;
      for (const sub of state.subscriptions.values()) {
        for (const until of sub.held.values()) if (earliest === undefined || until < earliest) earliest = until;
      }
      return earliest;
    },
  };
}

function takeRequest(state: State, request: DeltaRequest): Acknowledgement | undefined {
  const { cache, wildcardTypes, maxNames = 50_000 } = state.options;
  const acknowledged = acknowledge(state, request);
  let sub = state.subscriptions.get(request.typeUrl);
  if (sub === undefined) {
    sub = newSubscription(request.typeUrl);
    state.subscriptions.set(request.typeUrl, sub);
    begin(sub, request, cache, wildcardTypes.includes(request.typeUrl));
  } else {
    update(sub, request, cache);
    // Asked for by name although "all" covers it: somebody's call waits for it, so it does not stand in line.
    if (sub.wildcard && request.subscribe.length > 0) sub.halves.unshift(request.subscribe);
  }
  let names = 0;
  for (const one of state.subscriptions.values()) names += one.named.size + one.has.size + 1;
  if (names > 2 * maxNames) throw new Error(`the stream asks for more than ${maxNames} names`);
  return acknowledged;
}

function acknowledge(state: State, { nonce, error }: DeltaRequest): Acknowledgement | undefined {
  const response = state.unanswered.get(nonce);
  if (response === undefined) return undefined;
  state.unanswered.delete(nonce);
  state.underWay.set(response.typeUrl, (state.underWay.get(response.typeUrl) ?? 1) - 1);
  const { typeUrl, resources, removed } = response;
  const sent = resources.map(({ name, version }) => ({ name, version }));
  // A refused version stays noted as given, so it is never sent again. But one bad resource can make the client drop
  // its whole response: the others get another chance in ever smaller company.
  if (error !== undefined && sent.length > 1) {
    const names = sent.map(({ name }) => name);
    const middle = Math.ceil(names.length / 2);
    state.subscriptions.get(typeUrl)?.halves.push(names.slice(0, middle), names.slice(middle));
  }
  return { typeUrl, nonce, error, sent, removed };
}

function nextResponse(state: State, now: number): DeltaResponse | undefined {
  const { cache, unknown } = state.options;
  if (!cache.ready) return undefined;
  const subscriptions = inOrder(state);
  for (const sub of subscriptions) settle(sub, cache, unknown, now);
  // In the midst of a long push, what is to go does not wait for its end.
  const midway = state.clustersLast && clustersLeft(state) ? subscriptions.filter((sub) => isPaired(state, sub)) : [];
  return nextRemovals(state, midway) ?? nextAdditions(state, subscriptions) ?? nextRemovals(state, subscriptions);
}

function nextAdditions(state: State, subscriptions: readonly Subscription[]): DeltaResponse | undefined {
  const { clusterType, endpointsType } = state.options;
  let held = false;
  for (const sub of inTurn(state, subscriptions)) {
    // What comes later in the order may refer to what is held back; endpoints must come, or clusters are never answered.
    if (held && sub.typeUrl !== endpointsType) continue;
    if (isFull(state, sub)) {
      held ||= sub.toSend.size > 0 || sub.halves.length > 0;
      continue;
    }
    const resources = takeNonEmpty(state, sub);
    if (resources.length === 0 && !sub.owesEmpty) continue;
    sub.owesEmpty = false;
    if (sub.typeUrl === clusterType) endpointsFollow(state, resources);
    return respond(state, sub.typeUrl, resources, []);
  }
  return undefined;
}

function nextRemovals(state: State, subscriptions: readonly Subscription[]): DeltaResponse | undefined {
  for (const sub of inReverse(state, subscriptions)) {
    // Names alone are cheap to have under way, and what is gone should not wait for answers about what is there.
    if (isFull(state, sub, 2)) continue;
    const removed = takeRemovals(sub);
    if (removed.length > 0) return respond(state, sub.typeUrl, [], removed);
  }
  return undefined;
}

const isFull = ({ options, underWay }: State, { typeUrl }: Subscription, times = 1): boolean =>
  (underWay.get(typeUrl) ?? 0) >= times * (options.maxUnanswered ?? 256);

/** Clusters and endpoints: what is added and removed of them in one push depends on nothing else in it. */
const isPaired = ({ options }: State, { typeUrl }: Subscription): boolean =>
  typeUrl === options.clusterType || typeUrl === options.endpointsType;

const clustersLeft = ({ options, subscriptions }: State): boolean =>
  (subscriptions.get(options.clusterType)?.toSend.size ?? 0) > 0;

/** Clusters that wait long for their endpoints go without: after clusters, it is the turn of the endpoints asked for. */
function inTurn(state: State, subscriptions: readonly Subscription[]): readonly Subscription[] {
  const endpoints = state.subscriptions.get(state.options.endpointsType);
  if (!state.clustersLast || endpoints === undefined) return subscriptions;
  return [endpoints, ...subscriptions.filter((sub) => sub !== endpoints)];
}

function takeNonEmpty(state: State, sub: Subscription): VersionedResource[] {
  const { cache, unknown, maxResourcesPerResponse = 100 } = state.options;
  while (sub.halves.length > 0 || sub.toSend.size > 0) {
    const resources = takeResources(sub, cache, unknown, maxResourcesPerResponse);
    if (resources.length > 0) return resources;
  }
  return [];
}

function endpointsFollow(state: State, clusters: readonly VersionedResource[]): void {
  const endpoints = state.subscriptions.get(state.options.endpointsType);
  if (endpoints === undefined) return;
  for (const { name } of clusters) if (endpoints.named.has(name)) answer(endpoints, name);
}

function respond(
  state: State,
  typeUrl: string,
  resources: readonly VersionedResource[],
  removed: readonly string[],
): DeltaResponse {
  state.sequence += 1;
  const response = { typeUrl, nonce: String(state.sequence), resources, removed };
  state.unanswered.set(response.nonce, response);
  state.underWay.set(typeUrl, (state.underWay.get(typeUrl) ?? 0) + 1);
  state.clustersLast = typeUrl === state.options.clusterType;
  return response;
}

/** Types that are not listed come last here too. */
function inReverse({ options }: State, subscriptions: readonly Subscription[]): readonly Subscription[] {
  const isListed = (sub: Subscription): boolean => options.order.includes(sub.typeUrl);
  return [...subscriptions.filter(isListed).reverse(), ...subscriptions.filter((sub) => !isListed(sub))];
}

function inOrder(state: State): Subscription[] {
  const { order } = state.options;
  const rank = (sub: Subscription) => (order.includes(sub.typeUrl) ? order.indexOf(sub.typeUrl) : order.length);
  return [...state.subscriptions.values()].sort((a, b) => rank(a) - rank(b));
}
