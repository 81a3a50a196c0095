import { describe, expect, it } from "vitest";
import { createStartTurns } from "../../../src/edges/local/start-turns.ts";
import { settled } from "../../support/fake-clock.ts";

const never = new AbortController().signal;

describe("turns", () => {
  it("are taken by so many at once, and then in the order of coming", async () => {
    const turns = createStartTurns(2);
    const order: number[] = [];
    const given: (() => void)[] = [];
    for (const i of [0, 1, 2, 3]) {
      void turns.take(never).then((giveBack) => {
        order.push(i);
        given.push(giveBack);
      });
    }
    await settled();
    expect(order).toEqual([0, 1]);
    given[1]?.();
    given[1]?.();
    await settled();
    expect(order).toEqual([0, 1, 2]);
    given[0]?.();
    await settled();
    expect(order).toEqual([0, 1, 2, 3]);
  });

  it("are not held for one who has given up", async () => {
    const turns = createStartTurns(1);
    const giveBack = await turns.take(never);
    const impatient = new AbortController();
    const waiting = turns.take(impatient.signal);
    impatient.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    giveBack();
    await expect(turns.take(never)).resolves.toBeTypeOf("function");
  });
});
