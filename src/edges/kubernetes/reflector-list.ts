import { ApiError, type KubeApi } from "./api.ts";
import type { KubeObject } from "./objects.ts";

interface ListAnswer<T> {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly T[];
}

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
    await api.call<ListAnswer<T>>({ method: "GET", path, query: { ...selection, limit, continue: next }, signal });
  const items: T[] = [];
  let next: string | undefined;
  do {
    let answer: ListAnswer<T>;
    try {
      answer = await page(pageSize, next);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 410 || next === undefined) throw error;
      return whole(await page(undefined, undefined));
    }
    const { version, items: more } = whole(answer);
    for (const item of more) items.push(item);
    next = answer.metadata?.continue === "" ? undefined : answer.metadata?.continue;
    if (next === undefined) return { items, version };
  } while (!signal.aborted);
  throw new ApiError(0, "NoAnswer", "the list was given up");
}

function whole<T>({ metadata, items }: ListAnswer<T>): WholeList<T> {
  const version = metadata?.resourceVersion;
  if (version === undefined || version === "") {
    throw new ApiError(0, "NoAnswer", "the API server's list names no resourceVersion");
  }
  return { items: items ?? [], version };
}
