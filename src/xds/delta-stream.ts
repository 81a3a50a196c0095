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
  /** Default 500. */
  readonly maxResourcesPerResponse?: number;
  /** Responses under way without an answer; then nothing is sent until one is answered. Default 256. */
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
  sequence: number;
}

export function createDeltaStream(options: DeltaStreamOptions): DeltaStream {
  const state: State = { options, subscriptions: new Map(), unanswered: new Map(), sequence: 0 };
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
  const { cache, unknown, maxUnanswered = 256 } = state.options;
  if (!cache.ready || state.unanswered.size >= maxUnanswered) return undefined;
  const subscriptions = inOrder(state);
  for (const sub of subscriptions) settle(sub, cache, unknown, now);
  for (const sub of subscriptions) {
    const resources = takeNonEmpty(state, sub);
    if (resources.length > 0 || sub.owesEmpty) {
      sub.owesEmpty = false;
      if (sub.typeUrl === state.options.clusterType) endpointsFollow(state, resources);
      return respond(state, sub.typeUrl, resources, []);
    }
  }
  for (const sub of subscriptions.reverse()) {
    const removed = takeRemovals(sub);
    if (removed.length > 0) return respond(state, sub.typeUrl, [], removed);
  }
  return undefined;
}

function takeNonEmpty(state: State, sub: Subscription): VersionedResource[] {
  const { cache, unknown, maxResourcesPerResponse = 500 } = state.options;
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
  return response;
}

function inOrder(state: State): Subscription[] {
  const { order } = state.options;
  const rank = (sub: Subscription) => (order.includes(sub.typeUrl) ? order.indexOf(sub.typeUrl) : order.length);
  return [...state.subscriptions.values()].sort((a, b) => rank(a) - rank(b));
}
