/** Two releases of one definition, whose values have different shapes, and all ways in which one ends what the other shows. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Cached from "../../src/Cached.ts"
import type * as CacheService from "../../src/CacheService.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"

export type Version = string | number | undefined

interface Title {
  readonly title: string
}

/** What both releases have of a film. */
type Film = Cached.Cached<number, Title>

/** What both read. A load waits for `gate` after it has read. */
export class Shelf {
  title = "Alien"
  gate: Effect.Effect<unknown> = Effect.void
  readonly loads = { before: 0, after: 0 }

  private load<A>(release: "before" | "after", made: (title: string) => A): Effect.Effect<A> {
    return Effect.suspend(() => {
      this.loads[release]++
      return Effect.as(this.gate, made(this.title))
    })
  }

  before(version: Version): Film {
    return Cached.make("film", {
      key: Key.int("id"),
      value: Schema.Struct({ title: Schema.String }),
      ...(version === undefined ? {} : { version }),
      lookup: () => this.load("before", (title) => ({ title }))
    }, Policy.tagged((id: number) => ["films", `film:${id}`]))
  }

  /** Its values have more than the type says. */
  after(version: Version): Film {
    const made = Cached.make("film", {
      key: Key.int("id"),
      value: Schema.Struct({ title: Schema.String, year: Schema.Int }),
      ...(version === undefined ? {} : { version }),
      lookup: () => this.load("after", (title) => ({ title, year: 1979 }))
    }, Policy.tagged((id: number) => ["films", `film:${id}`]))
    return made as unknown as Film
  }
}

type Run = <A, E>(effect: Effect.Effect<A, E, CacheService.CacheService>) => Effect.Effect<A, E>

/** One release and where it runs. */
export interface Release {
  readonly film: Film
  readonly run: Run
}

export interface Deploy {
  readonly shelf: Shelf
  readonly before: Release
  readonly after: Release
}

// More than one script takes.
const many: ReadonlyArray<number> = Array.from({ length: 300 }, (_, i) => i)

// A value of both releases.
const aliens: Title = { title: "Aliens", ...{ year: 1986 } }

/** Ways to end the entries of film 7. */
export const ways: Record<
  string,
  (film: Film, write: Effect.Effect<unknown>) => Effect.Effect<unknown, unknown, CacheService.CacheService>
> = {
  "its key": (film, write) => Effect.andThen(write, Cached.invalidate(film, 7)),
  "its key among many": (film, write) => Effect.andThen(write, Cached.invalidateMany(film, many)),
  "its key and a tag": (film, write) =>
    Effect.andThen(
      write,
      Cached.apply(Invalidation.combine(Cached.invalidation(film, [7]), Invalidation.tags("other")))
    ),
  "a tag": (_, write) => Effect.andThen(write, Cached.apply(Invalidation.tags("film:7"))),
  "a pattern": (film, write) => Effect.andThen(write, Cached.apply(Cached.pattern(film))),
  "mutate over its key": (film, write) => Cached.mutate(write, Cached.invalidation(film, [7])),
  "mutate over a tag": (_, write) => Cached.mutate(write, Invalidation.tags("films")),
  "mutate over a pattern": (film, write) => Cached.mutate(write, Cached.pattern(film)),
  "set": (film, write) => Cached.set(film, 7, Effect.as(write, aliens))
}

const titles = ({ after, before }: Deploy) =>
  Effect.all([
    Effect.map(before.run(Cached.get(before.film, 7)), ({ title }) => title),
    Effect.map(after.run(Cached.get(after.film, 7)), ({ title }) => title)
  ])

/** Each release is served its own entry, and what one of them ends is over in the other. */
export const areApart = (deploy: Deploy, everything: boolean) =>
  Effect.gen(function*() {
    const { after, before, shelf } = deploy
    assert.deepStrictEqual(yield* titles(deploy), ["Alien", "Alien"])
    for (let times = 0; times < 5; times++) yield* titles(deploy)
    assert.deepStrictEqual(shelf.loads, { before: 1, after: 1 })
    let round = 0
    const all = everything
      ? {
        ...ways,
        everything: (_: Film, write: Effect.Effect<unknown>) =>
          Effect.andThen(write, Cached.apply(Invalidation.everything))
      }
      : ways
    for (const [name, end] of Object.entries(all)) {
      for (const [who, { film, run }] of [["before", before], ["after", after]] as const) {
        const title = name === "set" ? "Aliens" : `${name} ${++round}`
        yield* run(end(film, Effect.sync(() => shelf.title = title)))
        assert.deepStrictEqual(yield* titles(deploy), [title, title], `${who}: ${name}`)
        const { loads } = shelf
        const counted = { ...loads }
        yield* titles(deploy)
        assert.deepStrictEqual(shelf.loads, counted, `${who}: ${name}`)
      }
    }
  })

/** A load that is under way in one release when the other writes is not kept, and nobody joins it. */
export const voidsLoads = (deploy: Deploy) =>
  Effect.gen(function*() {
    const { after, before, shelf } = deploy
    const pairs = [[before, after], [after, before]] as const
    let round = 0
    for (const [name, end] of Object.entries(ways)) {
      for (const [reader, writer] of pairs) {
        // Empty, so that the next read loads.
        yield* reader.run(Cached.apply(Cached.pattern(reader.film)))
        let open = () => {}
        let reached = () => {}
        const started = new Promise<void>((resolve) => reached = resolve)
        const opened = new Promise<void>((resolve) => open = resolve)
        shelf.gate = Effect.suspend(() => {
          reached()
          return Effect.promise(() => opened)
        })
        const load = yield* Effect.forkChild(reader.run(Cached.get(reader.film, 7)))
        yield* Effect.promise(() => started)
        shelf.gate = Effect.void
        const title = name === "set" ? "Aliens" : `voided ${name} ${++round}`
        yield* writer.run(end(writer.film, Effect.sync(() => shelf.title = title)))
        // It began afterwards, so it must not wait for the load from before.
        const later = yield* reader.run(Cached.get(reader.film, 7))
        assert.strictEqual(later.title, title, name)
        open()
        assert(Exit.isSuccess(yield* Fiber.await(load)))
        assert.deepStrictEqual(yield* titles(deploy), [title, title], name)
      }
    }
  })
