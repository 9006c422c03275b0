import { assert, describe, test } from "vitest"
import * as Check from "../../src/internal/check.ts"
import { refusal } from "../support/policies.ts"

describe("An integer", () => {
  const refused = (value: number, bounds?: { readonly least?: number; readonly most?: number }) =>
    refusal(() => Check.integer("Here", "size", value, bounds))

  test("is given back if it lies within its bounds, which belong to it", () => {
    assert.strictEqual(Check.integer("Here", "size", 1), 1)
    assert.strictEqual(Check.integer("Here", "size", Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER)
    assert.strictEqual(Check.integer("Here", "size", 0, { least: 0 }), 0)
    assert.strictEqual(Check.integer("Here", "size", 8, { most: 8 }), 8)
  })

  for (const value of [0, -1, 1.5, Number.NaN, Infinity, 2 ** 53, "1" as never, undefined as never]) {
    test(`is not ${String(value)} (${typeof value})`, () => {
      const { message, reason, where } = refused(value)
      assert.deepStrictEqual([where, reason], ["Here", "InvalidNumber"])
      assert.strictEqual(message, `Here: size must be an integer of at least 1, and is ${String(value)}`)
    })
  }

  test("names both bounds, if there are two", () =>
    assert.strictEqual(
      refused(9, { least: 2, most: 8 }).message,
      "Here: size must be an integer from 2 to 8, and is 9"
    ))
})

test("a name is text that is not empty", () => {
  assert.strictEqual(Check.name("Here", "a film", "Alien"), "Alien")
  for (const bad of ["", undefined, 7]) {
    const { message, reason } = refusal(() => Check.name("Here", "a film", bad as never))
    assert.deepStrictEqual([reason, message], ["EmptyName", "Here: a film needs a name"])
  }
})
