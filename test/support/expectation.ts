/** What a `// =>` in a snippet becomes. */
import * as Equal from "effect/Equal"
import * as assert from "node:assert"
import { inspect } from "node:util"

/** Whether Effect's own equality is in it: an `Exit`, or an array of them. */
const holdsEffectData = (u: unknown): boolean => {
  if (typeof u !== "object" || u === null) return false
  if (Equal.isEqual(u)) return true
  const plain = Array.isArray(u) || Object.getPrototypeOf(u) === Object.prototype
  return plain && Object.values(u).some(holdsEffectData)
}

const same = (actual: unknown, expected: unknown): boolean => {
  if (holdsEffectData(expected)) return Equal.equals(actual, expected)
  try {
    assert.deepStrictEqual(actual, expected)
    return true
  } catch {
    return false
  }
}

const show = (value: unknown): string => inspect(value, { depth: 8, breakLength: 100 })

/** Compares what a snippet's expression gave with what stands after its `// =>`. */
export const check = (actual: unknown, expected: unknown, where: string): void => {
  if (actual instanceof Promise) throw new Error(`${where}: a promise stands before "// =>"; await it`)
  if (same(actual, expected)) return
  throw new Error(`${where}: the snippet promises ${show(expected)}\nand gives ${show(actual)}`)
}
