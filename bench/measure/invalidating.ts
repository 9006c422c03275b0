/**
 * Invalidating a tag that many entries have.
 *
 * In memory ours takes time in proportion to the entries, since it frees them
 * at once; the others note the tag and pay at every later read of an entry with
 * tags. So both are shown: the invalidation alone, and together with the next
 * read of each entry (which loads it again).
 */
import { Effect } from "effect"
import { Cached, Invalidation, Key, Policy } from "../../src/index.ts"
import { type Measured, measureStaged, type Staged } from "./harness.ts"
import { libraries, type Services, User, userOf } from "./subjects.ts"

const tag = "everyone"
const most = 100_000

const keysOf = (count: number): ReadonlyArray<string> => Array.from({ length: count }, (_, i) => `user-${i}`)

interface Invalidated {
  readonly name: string
  readonly fillAll: (keys: ReadonlyArray<string>) => Promise<unknown>
  readonly fillOthers: () => Promise<unknown>
  readonly invalidate: () => Promise<unknown>
}

const tagOf = (key: string): string => key.startsWith("user") ? tag : "others"

const ours = (services: Services): Invalidated => {
  const run = Effect.runPromiseWith(services)
  const definition = Cached.make("user", {
    key: Key.string("name"),
    value: User,
    lookup: (key) => Effect.sync(() => userOf(key.length))
  }, Policy.and(Policy.ttl("1 hour"), Policy.tagged((key: string) => [tagOf(key)])))
  const fillAll = (keys: ReadonlyArray<string>) =>
    run(Effect.forEach(keys, (key) => Cached.get(definition, key), { discard: true }))
  return {
    name: "ours",
    fillAll,
    fillOthers: () => fillAll(bystanders),
    invalidate: () => run(Cached.apply(Invalidation.tags(tag)))
  }
}

const oneByOne = async (keys: ReadonlyArray<string>, fill: (key: string) => Promise<unknown>): Promise<void> => {
  for (const key of keys) await fill(key)
}

const theirs = (): ReadonlyArray<Invalidated> => {
  const { bentoTagged, cacheableTagged } = libraries(most + bystanders.length)
  return [["bentocache", bentoTagged] as const, ["cacheable", cacheableTagged] as const].map(([name, library]) => {
    const fillAll = (keys: ReadonlyArray<string>) => oneByOne(keys, (key) => library.fill(key, [tagOf(key)]))
    return { name, fillAll, fillOthers: () => fillAll(bystanders), invalidate: () => library.invalidate!(tag) }
  })
}

const sizes = (full: boolean) => [
  { count: 1, rounds: full ? 200 : 100 },
  { count: 1000, rounds: full ? 30 : 15 },
  { count: most, rounds: 1 }
]

/** A cache is hardly ever empty after an invalidation, and some take long to become so. */
const bystanders = Array.from({ length: 100 }, (_, i) => `bystander-${i}`)

const spaced = (count: number): string => count.toLocaleString("en").replaceAll(",", " ")

/** `services` must come with a store that holds 100 000 entries. */
export const invalidations = async (
  services: Services,
  full: boolean,
  progress: (done: number, of: number) => void,
  each: (measured: Measured) => void
): Promise<void> => {
  const all = [ours(services), ...theirs()]
  for (const { fillOthers } of all) await fillOthers()
  for (const { count, rounds } of sizes(full)) {
    const keys = keysOf(count)
    const stages = all.flatMap(({ fillAll, invalidate, name }): ReadonlyArray<Staged> => {
      const alone: Staged = {
        name: `${name}: invalidate`,
        prepare: async () => void await fillAll(keys),
        act: async () => void await invalidate()
      }
      if (count === most) return [alone]
      return [alone, {
        ...alone,
        name: `${name}: invalidate, load all again`,
        act: async () => {
          await invalidate()
          await fillAll(keys)
        }
      }]
    })
    each(
      await measureStaged(
        {
          title: `invalidating a tag of ${spaced(count)} ${count === 1 ? "entry" : "entries"}`,
          note: "Time of one invalidation, entries prepared before.",
          reference: "ours: invalidate"
        },
        stages,
        rounds,
        progress
      )
    )
  }
}
