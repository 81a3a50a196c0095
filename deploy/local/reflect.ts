/**
 * The part of the metadata proposal for `Reflect` that `@peculiar/x509` (through tsyringe) needs to be loaded at all:
 * class metadata by key, looked up along the prototype chain. Import it before that package. Where a full polyfill is
 * loaded already, this does nothing.
 */
const store = new WeakMap<object, Map<unknown, unknown>>();

function getOwnMetadata(key: unknown, target: object): unknown {
  return store.get(target)?.get(key);
}

function getMetadata(key: unknown, target: object): unknown {
  for (let at: object | null = target; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    if (store.get(at)?.has(key) === true) return getOwnMetadata(key, at);
  }
  return undefined;
}

function defineMetadata(key: unknown, value: unknown, target: object): void {
  const own = store.get(target) ?? new Map<unknown, unknown>();
  store.set(target, own.set(key, value));
}

/** Class decorators only: metadata on members is dropped, because nothing here reads it. */
function metadata(key: unknown, value: unknown) {
  return (target: object, member?: unknown): void => {
    if (member === undefined) defineMetadata(key, value, target);
  };
}

if (!("getMetadata" in Reflect)) {
  Object.assign(Reflect, { getOwnMetadata, getMetadata, defineMetadata, metadata });
}
