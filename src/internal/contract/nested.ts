/** Laws of loads that read the cache: what is made of an old entry must not outlive it. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as CacheStore from "../../CacheStore.ts"
import type * as Dependency from "../../Dependency.ts"
import * as Invalidation from "../../Invalidation.ts"
import { expect, type Step } from "./law.ts"
import { law, type Rule } from "./rule.ts"
import { isMarked, type Loaded, type Scene } from "./scene.ts"
import { modes } from "./targets.ts"
import { pause, soon, type Waiting } from "./waiting.ts"

/** Values that are made of one another: a card of the origin, a page of the card, and a site of the page. */
export class Nest {
  readonly scene: Scene
  readonly addresses: ReadonlyArray<CacheStore.Address>
  /** What the origin holds. */
  version = 0

  constructor(scene: Scene) {
    this.scene = scene
    this.addresses = ["card", "page", "site"].map((name, i) => scene.at(["nest", name], this.known(i)))
  }

  known(i: number): Dependency.Dependency {
    return this.scene.tag(`known ${i}`)
  }

  found(i: number): Dependency.Dependency {
    return this.scene.tag(`found ${i}`)
  }

  private shown(entry: CacheStore.Entry): number {
    const content = this.scene.store.payload === "text" ? JSON.parse(entry.payload as string) as unknown : entry.payload
    return (content as { readonly version: number }).version
  }

  /** A cached read, which gives the version that is shown. */
  get(i: number): Step<number> {
    const { addresses, scene } = this
    const address = addresses[i]!
    return Effect.gen({ self: this }, function*() {
      const entry = yield* scene.read(address)
      if (entry !== undefined && !isMarked(entry)) return this.shown(entry)
      const begun = yield* scene.begin(address, { seen: entry?.token, drop: entry !== undefined })
      if (begun._tag === "Found" && !isMarked(begun.entry)) return this.shown(begun.entry)
      if (begun._tag !== "Leased") return yield* this.load(i)
      const { lease } = begun
      const whole = Effect.tap(
        this.load(i),
        (version) => scene.commit({ address, lease }, this.loaded(i, version))
      )
      // The store may fail meanwhile, since the clock is moved.
      return yield* Effect.onError(whole, () => Effect.ignore(scene.store.abandon(address, lease.token)))
    })
  }

  private loaded(i: number, version: number): Loaded {
    return { payload: this.scene.payload({ version }), found: [this.found(i), this.scene.tag("found in all")] }
  }

  private load(i: number): Step<number> {
    return i === 0 ? Effect.sync(() => this.version) : this.get(i - 1)
  }

  /** What is there and was not invalidated since must show what the origin holds. */
  readonly isTrue: Step<void> = Effect.suspend(() =>
    Effect.forEach(this.addresses, (address) =>
      Effect.flatMap(this.scene.read(address), (entry) => {
        const shown = entry === undefined || isMarked(entry) ? undefined : this.shown(entry)
        return expect(
          shown === undefined || shown === this.version,
          () => `${address.key} should show version ${this.version} after the invalidation, and shows ${shown}`
        )
      }), { discard: true })
  )

  /** While something is done, the page and the site are read again and again. */
  during<A, R>(done: Step<A, R>): Step<void, R> {
    return Effect.suspend(() => {
      let ended = false
      const end = Effect.ensuring(done, Effect.sync(() => ended = true))
      const readAgain = (i: number) =>
        Effect.whileLoop({
          while: () => !ended,
          body: () => Effect.andThen(this.get(i), Effect.yieldNow),
          step: () => undefined
        })
      return Effect.asVoid(Effect.all([end, readAgain(1), readAgain(2)], { concurrency: "unbounded" }))
    })
  }

  /** Stores all three, and reads some, others in each round: of these a tier has a copy from then on. */
  fill(round: number): Step<void> {
    const { addresses, scene } = this
    return Effect.gen({ self: this }, function*() {
      for (const [i, address] of addresses.entries()) {
        // Whether it is stored does not matter: the fence of an invalidation that was interrupted may stand a moment longer.
        yield* scene.commit(yield* scene.load(address, { force: true }), this.loaded(i, this.version))
      }
      for (const [i, address] of addresses.entries()) if (round & (1 << i)) yield* scene.read(address)
    })
  }

  /** Fills all three, changes the origin, and invalidates while they are read. */
  round<R>(round: number, way: Step<unknown, R>): Step<void, R> {
    return Effect.gen({ self: this }, function*() {
      yield* this.fill(round)
      this.version++
      yield* this.during(way)
      yield* this.isTrue
    })
  }

  /** A cache that keeps nothing is always right. */
  readonly isKept: Step<void> = Effect.gen({ self: this }, function*() {
    // A site can be there without its page: of two loads of the page the one that is stored is not always the one it shows.
    for (const i of this.addresses.keys()) yield* this.get(i)
    for (const address of this.addresses) {
      const entry = yield* this.scene.read(address)
      yield* expect(entry !== undefined && !isMarked(entry), () => `${address.key} should be stored again`)
    }
  })
}

// Those that show the most come first: a load in between would show what is still old.
const outerFirst = [2, 1, 0]

export const coverings: Record<string, (nest: Nest) => Invalidation.Invalidation> = {
  "their keys": ({ addresses }) => Invalidation.keys(outerFirst.map((i) => addresses[i]!.key)),
  "dependencies of their keys": (nest) => Invalidation.dependencies(outerFirst.map((i) => nest.known(i))),
  "dependencies of their values": (nest) => Invalidation.dependencies(outerFirst.map((i) => nest.found(i))),
  "one dependency of all their values": ({ scene }) => Invalidation.dependencies(scene.tag("found in all")),
  "a pattern": ({ scene }) => Invalidation.pattern(scene.pattern("nest", undefined)),
  "everything": () => Invalidation.everything,
  "a long list": (nest) =>
    Invalidation.dependencies([
      nest.known(2),
      nest.found(1),
      ...Array.from({ length: 600 }, (_, i) => nest.scene.tag(`another ${i}`)),
      nest.known(0)
    ]),
  "each in another way": (nest) =>
    Invalidation.combineAll([
      Invalidation.pattern(nest.scene.pattern("nest", "card")),
      Invalidation.keys(nest.addresses[2]!.key),
      Invalidation.dependencies(nest.found(1))
    ])
}

export const rounds = 6

export const nestedLaws: ReadonlyArray<Rule<never>> = Object.entries(coverings).flatMap(([name, over]) => {
  const alone = name === "everything"
  return [
    ...modes.map((mode) =>
      law(
        "G1",
        `what was made of an old entry while ${name} is invalidated is not served after it (${mode})`,
        function*(s) {
          const nest = new Nest(s)
          for (let round = 0; round < rounds; round++) {
            yield* nest.round(round, Effect.suspend(() => s.invalidate(Invalidation.withMode(over(nest), mode))))
          }
          yield* nest.isKept
        },
        alone
      )
    ),
    law("G7", `what was made of an old entry under a fence over ${name} is not served after it`, function*(s) {
      const nest = new Nest(s)
      for (let round = 0; round < rounds; round++) {
        yield* nest.round(
          round,
          Effect.gen(function*() {
            const fence = yield* s.fence(over(nest))
            yield* Effect.yieldNow
            nest.version++
            yield* s.lift(fence)
          })
        )
      }
      yield* nest.isKept
    }, alone)
  ]
})

export const interruptedLaw = <R>(waiting: Waiting<R>): Rule<R> =>
  law("G8", "an invalidation that is interrupted between two steps leaves no fence, and can be repeated", function*(s) {
    const nest = new Nest(s)
    const over = () =>
      Invalidation.combineAll(
        Object.entries(coverings).flatMap(([name, one]) => name === "everything" ? [] : [one(nest)])
      )
    for (let round = 0; round < 12; round++) {
      yield* nest.fill(round)
      nest.version++
      const writer = yield* Effect.forkChild(s.invalidate(over()), { startImmediately: true })
      for (let turn = 0; turn < round; turn++) yield* nest.get(1 + turn % 2)
      yield* Fiber.interrupt(writer)
      yield* nest.during(s.invalidate(over()))
      yield* nest.isTrue
    }
    // It is taken away beside what comes next.
    const kept: Step<void> = Effect.catch(nest.isKept, () => Effect.andThen(pause(20), kept))
    yield* soon("a load that is stored", kept, waiting)
  })
