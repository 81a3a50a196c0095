import { describe, expect, it } from "vitest";
import { createTurns } from "../../../src/edges/oidc/turns.ts";

/** Turns of 2 ms under a clock that only work moves; `turn()` is the event loop's next one. */
function world() {
  let now = 0;
  const tasks: (() => void)[] = [];
  const done: string[] = [];
  const turns = createTurns({ budgetMs: 2, ticks: () => now, nextTurn: (task) => void tasks.push(task) });
  return {
    turns,
    done,
    work: (name: string, ms: number) => () => {
      now += ms;
      done.push(name);
      return name;
    },
    turn: async () => {
      for (const task of tasks.splice(0)) task();
      await Promise.resolve();
    },
    scheduled: () => tasks.length,
  };
}

describe("turns", () => {
  it("work is done at once while the turn has time left, and the next turn has as much again", async () => {
    const w = world();
    expect(w.turns.run(w.work("a", 1.5))).toBe("a");
    expect(w.turns.run(w.work("b", 1.5))).toBe("b");
    expect(w.turns.run(w.work("c", 0))).toBeInstanceOf(Promise);
    expect(w.done).toEqual(["a", "b"]);
    await w.turn();
    expect(w.done).toEqual(["a", "b", "c"]);
    await w.turn();
    expect(w.turns.run(w.work("d", 1))).toBe("d");
  });

  it("asks for the next turn only once half of the time is spent, in one turn or in several", async () => {
    const w = world();
    for (const name of ["a", "b", "c"]) expect(w.turns.run(w.work(name, 0.3))).toBe(name);
    expect(w.scheduled()).toBe(0);
    expect(w.turns.run(w.work("d", 0.3))).toBe("d");
    expect(w.turns.run(w.work("e", 0.3))).toBe("e");
    expect(w.scheduled()).toBe(1);
    await w.turn();
    expect(w.turns.run(w.work("f", 0.9))).toBe("f");
    expect(w.scheduled()).toBe(0);
  });

  it("what waits is done in order, a budget's worth per turn, and nothing passes it by", async () => {
    const w = world();
    expect(w.turns.run(w.work("first", 9))).toBe("first");
    const waiting = ["a", "b", "c", "d", "e"].map((name) => w.turns.run(w.work(name, 1)));
    await w.turn();
    expect(w.done).toEqual(["first", "a", "b"]);
    const late = w.turns.run(w.work("late", 1));
    await w.turn();
    expect(w.done).toEqual(["first", "a", "b", "c", "d"]);
    await w.turn();
    expect(w.done).toEqual(["first", "a", "b", "c", "d", "e", "late"]);
    expect(await Promise.all([...waiting, late])).toEqual(["a", "b", "c", "d", "e", "late"]);
    await w.turn();
    expect(w.scheduled()).toBe(0);
  });

  it("work that throws harms no other, at once and later", async () => {
    const w = world();
    const fault = (ms: number) => () => {
      w.work("fault", ms)();
      throw new Error("no");
    };
    expect(() => w.turns.run(fault(3))).toThrow("no");
    const refused = expect(w.turns.run(fault(1))).rejects.toThrow("no");
    const after = w.turns.run(w.work("after", 1));
    await w.turn();
    await refused;
    expect(await after).toBe("after");
  });
});
