import { assert, describe, it } from "vitest"
import { mistaken, programs } from "./programs.ts"
import { search } from "./search.ts"

// Where fibers run in turn, and where they run at random.
const orders = { "in turn": undefined, "at random": 1 }

describe("callers that are interrupted at any step of any fiber leave nothing behind", () => {
  for (const [i, program] of programs.entries()) {
    // What is marked before it is forked is so at one step of many: such a program is tried at all of them.
    const refreshes = program.name.startsWith("a read that refreshes")
    it(program.name, () => {
      for (const seed of Object.values(orders)) {
        const stride = !refreshes ? 47 : seed === undefined ? 1 : 5
        const { left, runs } = search(program, { from: 1 + i % stride, stride, seed })
        assert.isUndefined(left, JSON.stringify(left))
        // It was interrupted at least once, and at last was not.
        assert.isAbove(runs, 1)
      }
    })
  }
})

describe("the search finds what is left", () => {
  for (const [order, seed] of Object.entries(orders)) {
    it(`a mark, by fibers that run ${order}`, () => {
      const { left } = search(mistaken, { seed })
      assert.match(String(left?.what), /it is still marked/)
    })
  }
})
