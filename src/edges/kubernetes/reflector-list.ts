import { ApiError, type KubeApi } from "./api.ts";
import type { KubeObject } from "./objects.ts";
import { asObject } from "./shape.ts";

/** As it should be; nothing of it is taken for granted. */
interface ListAnswer {
  readonly metadata?: { readonly resourceVersion?: unknown; readonly continue?: unknown };
  /** null is how Go writes an empty list. */
  readonly items?: unknown;
}

/** More than one Gatehouse serves by far: a server that sends so much goes round in circles. */
const MAX_ITEMS = 200_000;

export interface WholeList<T> {
  readonly items: readonly T[];
  /** From here a watch goes on. */
  readonly version: string;
}

export interface Selection {
  readonly labelSelector: string | undefined;
  readonly fieldSelector: string | undefined;
}

/**
 * The whole collection as it is now, page by page. A page that comes too late (410: the server forgot where we were)
 * begins the list anew, once, in one piece: that cannot be too late.
 * @throws ApiError
 */
export async function listAll<T extends KubeObject>(
  api: KubeApi,
  path: string,
  selection: Selection,
  pageSize: number,
  signal: AbortSignal,
): Promise<WholeList<T>> {
  const page = async (limit: number | undefined, next: string | undefined) =>
    await api.call<ListAnswer | null>({ method: "GET", path, query: { ...selection, limit, continue: next }, signal });
  const items: T[] = [];
  let next: string | undefined;
  do {
    let answer: ListAnswer | null;
    try {
      answer = await page(pageSize, next);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 410 || next === undefined) throw error;
      return whole<T>(await page(undefined, undefined));
    }
    const { version, items: more } = whole<T>(answer);
    for (const item of more) items.push(item);
    const before = next;
    const token = answer?.metadata?.continue;
    next = typeof token !== "string" || token === "" ? undefined : token;
    if ((next !== undefined && next === before) || items.length > MAX_ITEMS) throw broken("has no end");
    if (next === undefined) return { items, version };
  } while (!signal.aborted);
  throw new ApiError(0, "NoAnswer", "the list was given up");
}

function whole<T extends KubeObject>(answer: ListAnswer | null): WholeList<T> {
  const { metadata, items } = answer ?? {};
  const version = metadata?.resourceVersion;
  if (typeof version !== "string" || version === "") throw broken("names no resourceVersion");
  if (items !== undefined && items !== null && !Array.isArray(items)) throw broken("holds no items");
  return { items: (items ?? []).map((item: unknown) => asObject(item) as T), version };
}

const broken = (what: string) => new ApiError(0, "NoAnswer", `the API server's list ${what}`);
