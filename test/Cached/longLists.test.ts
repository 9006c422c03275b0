/** Lists of any length: nothing that a user gives becomes the arguments of a call, which dies of 130 000. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Cached from "../../src/Cached.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import { memory } from "../support/cached.ts"

const long = Array.from({ length: 150_000 }, (_, i) => i)
const last = long.length - 1

const films = () => {
  const origin = { loads: 0 }
  const lookup = (id: number) => Effect.sync(() => (origin.loads++, `film ${id}`))
  const film = Cached.make(
    "film",
    { key: Key.int("id"), value: Schema.String, lookup },
    Policy.tagged((id: number) => [`film:${id}`])
  )
  return { origin, film }
}

const { film } = films()
const names = Effect.sync(() => Invalidation.tags(long.map((id) => `film:${id}`)))
const ways = {
  "keys": Cached.invalidateMany(film, long),
  "tags under a fence": Effect.flatMap(names, (all) => Cached.mutate(Effect.void, all))
}

for (const [what, act] of Object.entries(ways)) {
  it.effect(`150 000 ${what}`, () =>
    Effect.gen(function*() {
      const { film, origin } = films()
      yield* Cached.get(film, last)
      yield* act
      yield* Cached.get(film, last)
      assert.strictEqual(origin.loads, 2)
    }).pipe(Effect.provide(memory)))
}
