import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Cached from "../../src/Cached.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"

/** A cached value with the tag `popular` that is the number of its loads. */
export const countingPopular = () => {
  let loads = 0
  return Cached.make("popular", {
    key: Key.unit,
    value: Schema.Finite,
    lookup: () => Effect.sync(() => ++loads)
  }, Policy.tagged("popular"))
}
