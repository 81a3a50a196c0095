import { describe, expect, it } from "vitest";
import { type Holder, nextHolder, type StoredLease } from "../../../src/edges/kubernetes/lease.ts";

/** Who holds the Lease after it was seen with these holders at 10, 20, 30… ("": given back; undefined: no Lease). */
function seen(...holders: readonly (string | undefined)[]): Holder {
  let holder: Holder = { name: undefined, since: 0, returned: undefined };
  for (const [index, holderIdentity] of holders.entries()) {
    const lease = holderIdentity === undefined ? undefined : ({ spec: { holderIdentity } } as StoredLease);
    holder = nextHolder(holder, lease, { identity: "me", clock: { now: () => (index + 1) * 10 } });
  }
  return holder;
}

describe("the holder of the Lease", () => {
  it("is known by name, and since when", () => {
    expect(seen("other", "other")).toEqual({ name: "other", since: 10, returned: undefined });
    expect(seen("other", "another")).toEqual({ name: "another", since: 20, returned: undefined });
  });

  it("left in order where the Lease was there without a holder before it was ours", () => {
    expect(seen("other", "other", "", "", "me", "me")).toEqual({
      name: "me",
      since: 50,
      returned: { from: 10, until: 30 },
    });
  });

  it("did not leave in order where it fell silent, another came between, or the Lease was gone", () => {
    expect(seen("other", "me").returned).toBeUndefined();
    expect(seen("other", "", "another", "me").returned).toBeUndefined();
    expect(seen("other", undefined, "me").returned).toBeUndefined();
    expect(seen("me").returned).toBeUndefined();
  });
});
