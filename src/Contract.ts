/**
 * The laws of the port, for whoever writes a store.
 *
 * Each law is a small program that knows `CacheService` and nothing else; it
 * fails with a `ContractViolation` that says what was promised and what was
 * seen. The guarantees that a cache gives rest on these laws, so a store that
 * obeys them may stand below `Cached`.
 *
 * **Details**
 *
 * - `laws` needs nothing but the store. `make` takes instruments, which move the
 *   clock and lose things; the laws that need them are left out without them.
 * - Laws use keys and dependencies of their own, so they may run on a store that
 *   holds other things, and side by side. The laws that are marked `alone` touch
 *   everything, or move the clock, and must run when no other does.
 * - `random` compares the store with a small model under random operations. What
 *   it finds it repeats with fewer and fewer operations, until none can be spared.
 *
 * **Gotchas**
 *
 * - Keys are made from the prefix, so they are the same in each process. Give a
 *   prefix of its own to each run on a store that keeps what it held.
 * - A law that waits for the store to tell something waits by the real clock,
 *   whatever clock is provided.
 *
 * **Example** (The store in memory obeys)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { MemoryCache } from "effect-cache-algebra"
 * import * as Contract from "effect-cache-algebra/Contract"
 *
 * const program = Contract.violations(Contract.laws).pipe(
 *   Effect.provide(MemoryCache.layer({ capacity: 1000 }))
 * )
 *
 * await Effect.runPromise(program) // => []
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as Hash from "effect/Hash"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as CacheService from "./CacheService.ts"
import type * as CacheStore from "./CacheStore.ts"
import * as Dependency from "./Dependency.ts"
import * as Dependencies from "./internal/dependencies.ts"
import { encodeName } from "./internal/keys.ts"
import { stronger } from "./internal/mode.ts"
import { inside, type Service } from "./internal/service/model.ts"
import type { Stamp } from "./internal/stamp.ts"
import * as Invalidation from "./Invalidation.ts"
import * as Key from "./Key.ts"
import type * as Verdict from "./Verdict.ts"

/**
 * The guarantee that falls when a law does, by its number in
 * `docs/consistency.md`; `port` for what the interpreter relies on otherwise.
 *
 * @category models
 * @since 0.1.0
 */
export const Guarantee = Schema.Literals(["G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "G9", "G10", "port"])

/**
 * The guarantee that falls when a law does.
 *
 * @category models
 * @since 0.1.0
 */
export type Guarantee = typeof Guarantee.Type

/**
 * A store broke a law.
 *
 * `message` says all of it. `seed` and `operations` are there when the
 * operations were random: the fewest that still broke the law, with the store's
 * answers, and the seed that leads to them again (`random({ seed, runs: 1 })`)
 * on a store that is new: one that has seen other runs may need those, too.
 *
 * @category errors
 * @since 0.1.0
 */
export class ContractViolation extends Schema.TaggedError<ContractViolation>()("ContractViolation", {
  law: Schema.String,
  guarantee: Guarantee,
  message: Schema.String,
  seed: Schema.optional(Schema.Finite),
  operations: Schema.optional(Schema.Array(Schema.String))
}) {}

/**
 * A promise that every store keeps.
 *
 * - `name`: the promise.
 * - `guarantee`: what of the cache's guarantees rests on it.
 * - `alone`: whether it touches all that the store holds, or moves its clock.
 * - `check`: can be run any number of times; each time on keys of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Law<out R = never> {
  readonly name: string
  readonly guarantee: Guarantee
  readonly alone: boolean
  readonly check: Effect.Effect<void, ContractViolation, CacheService.CacheService | R>
}

/**
 * What a store can lose at any time: an entry, a key's lease, the journal of
 * invalidations with the fences in it, the tokens of dependencies.
 *
 * @category models
 * @since 0.1.0
 */
export type Losable = "entry" | "lease" | "journal" | "markers"

/**
 * Ways to disturb a store, as far as it has them.
 *
 * - `advance`: moves the store's clock, and the one that is provided, by some
 *   milliseconds. Where it is the real one that goes on, a law of time takes
 *   some four seconds.
 * - `lose`: loses one thing. Given is the key whose entry or lease is meant, and
 *   the dependencies whose tokens are.
 *
 * @category models
 * @since 0.1.0
 */
export interface Instruments<out R = never> {
  readonly advance?: (millis: number) => Effect.Effect<unknown, never, R>
  readonly lose?: {
    readonly [What in Losable]?: (
      key: string,
      dependencies: ReadonlyArray<Dependency.Dependency>
    ) => Effect.Effect<unknown, never, R>
  }
}

/**
 * Options of the random laws.
 *
 * - `runs`: so many sequences of operations (40), each of `steps` (40).
 * - `seed`: of the first sequence; the next ones follow it.
 * - `exact`: whether the store must answer as the model does. A store that
 *   forgets, as one with a short journal, sets `false`: it may then miss and
 *   refuse more than the model, and never less. With things to lose it may too.
 * - `prefix`: with which all keys and dependencies begin (`contract`).
 *
 * @category models
 * @since 0.1.0
 */
export interface RandomOptions<out R = never> {
  readonly instruments?: Instruments<R>
  readonly runs?: number
  readonly steps?: number
  readonly seed?: number
  readonly exact?: boolean
  readonly prefix?: string
}

/**
 * Options of the laws: those of the random ones, and `patience`: for so many
 * milliseconds of real time a law waits for what a store is to tell (5000).
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<out R = never> extends RandomOptions<R> {
  readonly patience?: number
}

// -----------------------------------------------------------------------------
// the scene of a law
// -----------------------------------------------------------------------------

/** How a law was broken; it becomes a `ContractViolation` that names the law. */
class Broken extends Data.TaggedError("Broken")<{
  readonly message: string
  readonly seed?: number
  readonly operations?: ReadonlyArray<string>
}> {}

type Step<A, R = never> = Effect.Effect<A, Broken | CacheStore.StoreError, R>

const broken = (message: string): Step<never> => Effect.fail(new Broken({ message }))

const expect = (holds: boolean, message: () => string): Step<void> => holds ? Effect.void : broken(message())

const same = (a: unknown, b: unknown): boolean => Object.is(a, b) || Equal.equals(a, b)

const abbreviate = (text: string): string => text.length > 200 ? `${text.slice(0, 200)}... (${text.length})` : text

const show = (value: unknown): string => {
  if (typeof value !== "object" || value === null) return abbreviate(String(value))
  try {
    return abbreviate(JSON.stringify(value))
  } catch {
    return String(value)
  }
}

const showMarks = (entry: CacheStore.Entry): string =>
  [...(entry.changed ?? [])].map(([name, mode]) => ` ${mode} ${Dependency.format(name)}`).join(",") +
  (entry.softened ? " softened" : "")

const showEntry = (entry: CacheStore.Entry | undefined): string =>
  entry === undefined ? "nothing" : `${show(entry.payload)}${showMarks(entry)}`

const isMarked = (entry: CacheStore.Entry): boolean => entry.softened || (entry.changed?.size ?? 0) > 0

const isHard = (entry: CacheStore.Entry): boolean => [...(entry.changed ?? [])].some(([, mode]) => mode === "hard")

const isRefused = (outcome: CacheStore.Outcome): boolean => outcome === "invalidated" || outcome === "lost"

/** A load that has its lease. */
interface Loading {
  readonly address: CacheStore.Address
  readonly lease: CacheStore.Lease
}

/** What a load ended with, where it is not the usual. */
interface Loaded {
  readonly payload?: unknown
  readonly stamp?: Partial<Stamp>
  readonly found?: ReadonlyArray<Dependency.Dependency>
  readonly fatal?: ReadonlyArray<Dependency.Dependency>
  readonly expiresAt?: number
}

type Asked = Partial<CacheStore.Begin>

// Long enough that no law sees its end by mistake, however slow the store.
const long = 3_600_000

const part = Key.string("part")

/** Where one run of a law takes place: the store, and names that no other run uses. */
class Scene {
  readonly service: Service
  readonly store: CacheStore.CacheStore
  readonly space: string
  private loads = 0
  private readonly keys = new Set<string>()
  private readonly fences = new Set<CacheStore.Fence>()

  constructor(service: Service, space: string) {
    this.service = service
    this.store = service.store
    this.space = space
  }

  /** A stored key, as the interpreter makes it; `definition` leads to another one's. */
  key(parts: ReadonlyArray<string>, definition = ""): string {
    const key = [this.name(definition), ...parts.map((one) => Key.encode(part, one))].join(":")
    this.keys.add(key)
    return key
  }

  name(definition = ""): string {
    return encodeName(this.space + definition)
  }

  pattern(...parts: ReadonlyArray<string | undefined>): Key.Pattern {
    return { name: this.name(), parts: parts.map((one) => one === undefined ? undefined : Key.encode(part, one)) }
  }

  tag(name: string): Dependency.Dependency {
    return Dependency.tag(`${this.space} ${name}`)
  }

  at(key: string | ReadonlyArray<string>, ...known: ReadonlyArray<Dependency.Dependency>): CacheStore.Address {
    return { key: this.key(typeof key === "string" ? [key] : key), known }
  }

  readonly now: Effect.Effect<number> = Effect.withFiber((fiber) =>
    Effect.succeed(this.service.store.now(fiber.getRef(Clock.Clock)))
  )

  begin(address: CacheStore.Address, asked: Asked = {}): Step<CacheStore.Begun> {
    const usual = { seen: undefined, drop: false, force: false, leaseFor: long }
    return Effect.suspend(() => this.store.begin(address, { token: this.service.token(), ...usual, ...asked }))
  }

  /** Begins a load that must be granted. */
  load(address: CacheStore.Address, asked?: Asked): Step<Loading> {
    return Effect.flatMap(this.begin(address, asked), (begun) =>
      begun._tag === "Leased"
        ? Effect.succeed({ address, lease: begun.lease })
        : broken(`begin should have given the lease of ${address.key}, and answered ${begun._tag}`))
  }

  payload(content: unknown): unknown {
    return this.store.payload === "text" ? JSON.stringify(content) : content
  }

  draft({ address, lease }: Loading, now: number, loaded: Loaded): CacheStore.Draft {
    const found = (loaded.found ?? []).filter((name) => !address.known.includes(name))
    const payload = "payload" in loaded ? loaded.payload : this.payload({ load: ++this.loads })
    return {
      token: lease.token,
      payload,
      stamp: {
        storedAt: now,
        beganAt: now - 9,
        duration: 12,
        jitter: 0.25,
        versions: {},
        dependencies: [...address.known, ...found],
        shape: "shape",
        failure: false,
        ...loaded.stamp
      },
      found,
      fatal: new Set(loaded.fatal),
      expiresAt: loaded.expiresAt ?? Infinity,
      size: () => typeof payload === "string" ? Math.max(1, payload.length) : 100,
      memo: undefined
    }
  }

  commitDraft({ address, lease }: Loading, draft: CacheStore.Draft): Step<CacheStore.Outcome> {
    return Effect.suspend(() => this.store.commit(address, lease, draft))
  }

  commit(loading: Loading, loaded: Loaded = {}): Step<CacheStore.Outcome> {
    return Effect.flatMap(this.now, (now) => this.commitDraft(loading, this.draft(loading, now, loaded)))
  }

  discard(
    { address, lease }: Loading,
    dependencies: ReadonlyArray<Dependency.Dependency> | undefined
  ): Step<CacheStore.Outcome> {
    return Effect.suspend(() => this.store.discard(address, lease, dependencies))
  }

  /** A load that ends now, and must be stored. */
  finish(loading: Loading, loaded: Loaded = {}): Step<CacheStore.Draft> {
    return Effect.gen({ self: this }, function*() {
      const draft = this.draft(loading, yield* this.now, loaded)
      const outcome = yield* this.commitDraft(loading, draft)
      yield* this.outcome(outcome, "stored")
      return draft
    })
  }

  /** A whole load, whatever is stored. */
  put(address: CacheStore.Address, loaded: Loaded = {}): Step<CacheStore.Draft> {
    return Effect.flatMap(this.load(address, { force: true }), (loading) => this.finish(loading, loaded))
  }

  read(address: CacheStore.Address): Step<CacheStore.Entry | undefined> {
    return Effect.suspend(() => this.store.read(address))
  }

  invalidate(...batch: ReadonlyArray<Invalidation.Invalidation>): Step<number | undefined> {
    return Effect.suspend(() => this.store.invalidate(Invalidation.combineAll(batch)))
  }

  sweep(keys: Key.Pattern | "everything", mode: Verdict.Mode = "hard"): Step<number | undefined> {
    return this.invalidate(
      Invalidation.withMode(keys === "everything" ? Invalidation.everything : Invalidation.pattern(keys), mode)
    )
  }

  fence(over: Invalidation.Invalidation, length = long): Step<CacheStore.Fence> {
    return Effect.suspend(() => {
      const fence = { id: this.service.token(), over, length }
      this.fences.add(fence)
      return Effect.as(this.store.fence(fence), fence)
    })
  }

  lift(fence: CacheStore.Fence): Step<boolean> {
    return Effect.suspend(() => this.store.lift(fence))
  }

  /** Leaves nothing behind, so that a law costs a store that it shares nothing. */
  readonly leave: Effect.Effect<void> = Effect.suspend(() => {
    const lifted = Effect.forEach(this.fences, (fence) => Effect.ignore(this.store.lift(fence)), { discard: true })
    return Effect.andThen(lifted, Effect.ignore(this.invalidate(Invalidation.keys(this.keys))))
  })

  // ----- what must be so

  outcome(actual: CacheStore.Outcome, expected: CacheStore.Outcome): Step<void> {
    return expect(actual === expected, () => `commit should have answered "${expected}", and answered "${actual}"`)
  }

  refused(actual: CacheStore.Outcome): Step<void> {
    return expect(isRefused(actual), () => `commit should have refused, and answered "${actual}"`)
  }

  holds(address: CacheStore.Address, draft: CacheStore.Draft): Step<CacheStore.Entry> {
    return Effect.flatMap(this.read(address), (entry) => {
      if (entry === undefined) return broken(`${abbreviate(address.key)} should have an entry, and has none`)
      if (!same(entry.payload, draft.payload)) {
        return broken(
          `the payload of ${abbreviate(address.key)} should be ${show(draft.payload)}, and is ${show(entry.payload)}`
        )
      }
      if (!same(entry.stamp, draft.stamp)) {
        return broken(`the stamp should be ${show(draft.stamp)}, and is ${show(entry.stamp)}`)
      }
      return Effect.succeed(entry)
    })
  }

  /** The entry is there, and nothing has happened to it. */
  serves(address: CacheStore.Address, draft: CacheStore.Draft): Step<CacheStore.Entry> {
    return Effect.tap(
      this.holds(address, draft),
      (entry) => expect(!isMarked(entry), () => `${abbreviate(address.key)} should be good, and is ${showEntry(entry)}`)
    )
  }

  /** The entry is there, softly invalidated. */
  servesSoftly(address: CacheStore.Address, draft: CacheStore.Draft): Step<void> {
    return Effect.flatMap(
      this.holds(address, draft),
      (entry) =>
        expect(
          isMarked(entry) && !isHard(entry),
          () => `${address.key} should be marked softly, and is ${showEntry(entry)}`
        )
    )
  }

  isMissing(address: CacheStore.Address): Step<void> {
    return Effect.flatMap(
      this.read(address),
      (entry) => expect(entry === undefined, () => `${address.key} should have no entry, and has ${showEntry(entry)}`)
    )
  }

  /** Gone, or marked as invalidated by a hard one. */
  isDead(address: CacheStore.Address): Step<void> {
    return Effect.flatMap(this.read(address), (entry) =>
      expect(
        entry === undefined || isHard(entry),
        () => `${address.key} should be gone or marked, and is ${showEntry(entry)}`
      ))
  }

  isNotFresh(address: CacheStore.Address): Step<void> {
    return Effect.flatMap(this.read(address), (entry) =>
      expect(
        entry === undefined || isMarked(entry),
        () => `${address.key} should be gone or marked, and is ${showEntry(entry)}`
      ))
  }

  isBusy(address: CacheStore.Address, holder: Loading, asked?: Asked): Step<void> {
    return Effect.flatMap(this.begin(address, asked), (begun) =>
      expect(
        begun._tag === "Busy" && begun.token === holder.lease.token,
        () => `begin should have said that ${holder.lease.token} has the lease, and answered ${show(begun)}`
      ))
  }
}

type Body<R> = (scene: Scene) => Generator<Effect.Effect<unknown, Broken | CacheStore.StoreError, R>, void, never>

/** A law before it has keys. */
interface Draft<R> {
  readonly name: string
  readonly guarantee: Guarantee
  readonly alone: boolean
  readonly run: (scene: Scene, fresh: () => string) => Step<void, R>
}

const law = <R = never>(guarantee: Guarantee, name: string, body: Body<R>, alone = false): Draft<R> => ({
  name,
  guarantee,
  alone,
  run: (scene) => Effect.ensuring(Effect.gen(() => body(scene)), scene.leave)
})

const toViolation = (law: Draft<never>, error: Broken | CacheStore.StoreError): ContractViolation => {
  const { message, operations = [], seed } = error._tag === "Broken" ? error : { message: error.message }
  const replay = seed === undefined ? "" : `\nWith seed ${seed}, after\n${operations.join("\n")}`
  return new ContractViolation({
    law: law.name,
    guarantee: law.guarantee,
    message: `${law.name} (${law.guarantee}): ${message}${replay}`,
    ...(seed === undefined ? {} : { seed, operations })
  })
}

/** Gives the laws their keys: a function of the prefix, the law, and how often it ran. */
const settle = <R>(drafts: ReadonlyArray<Draft<R>>, prefix = "contract"): ReadonlyArray<Law<R>> => {
  let runs = 0
  return drafts.map((draft) => {
    const fresh = () => {
      const text = `${prefix} ${draft.name} ${++runs}`
      return `${prefix}-${runs}-${(Hash.string(text) >>> 0).toString(36)}`
    }
    const check = Effect.flatMap(
      CacheService.CacheService,
      (service) => draft.run(new Scene(inside(service), fresh()), fresh)
    )
    return {
      name: draft.name,
      guarantee: draft.guarantee,
      alone: draft.alone,
      check: Effect.mapError(check, (error) => toViolation(draft as Draft<never>, error))
    }
  })
}

// -----------------------------------------------------------------------------
// waiting
// -----------------------------------------------------------------------------

// Under a test clock nothing would ever be too late.
const realClock = Clock.Clock.defaultValue()

const pause = (millis: number): Effect.Effect<void> =>
  Effect.provideService(Effect.sleep(millis), Clock.Clock, realClock)

/** Waits for what a store is to tell. A store that polls by the provided clock needs it to move meanwhile. */
interface Waiting<R> {
  readonly advance: Instruments<R>["advance"] | undefined
  readonly patience: number
}

const turns = 10

const soon = <A, R>(what: string, awaited: Step<A>, { advance, patience }: Waiting<R>): Step<A, R> => {
  const rest = pause(patience / turns)
  const turn = advance === undefined ? rest : Effect.andThen(advance(1000), rest)
  const late = Effect.andThen(
    Effect.forEach(Array.from({ length: turns }), () => turn, { discard: true }),
    broken(`${what} should have been told, and was not`)
  )
  return Effect.raceFirst(awaited, late)
}

// -----------------------------------------------------------------------------
// laws of entries
// -----------------------------------------------------------------------------

const texts: ReadonlyArray<string> = [
  "",
  " ",
  "null",
  "0",
  "{\"a\":[1,2,{\"b\":null}]}",
  "line\r\nline\ttab\0nul",
  "\"quotes\" and \\ and %25",
  "äöü ß 東京 🎬👩‍👩‍👧",
  "\u2028\u2029\u200b\ufeff",
  "x".repeat(1_000_000)
]

const values: ReadonlyArray<unknown> = [
  ...texts,
  undefined,
  null,
  0,
  -0,
  Number.NaN,
  1n,
  true,
  Symbol.for("contract"),
  new Date(0),
  [1, [2, [3]]],
  { a: { b: undefined } },
  new Map([["a", new Set([1])]]),
  () => 1
]

/** Inputs that a careless encoding, or a pattern's syntax, would take for one another. */
const awkward: ReadonlyArray<ReadonlyArray<string>> = [
  ["a"],
  ["A"],
  ["a "],
  ["a*"],
  ["*"],
  ["a:b"],
  ["a", "b"],
  ["a%3Ab"],
  ["a%253Ab"],
  ["{a}"],
  ["{a}b"],
  ["[a]"],
  ["[^a]"],
  ["?"],
  ["a\\"],
  ["a\0"],
  ["a\n"],
  ["é"],
  ["e\u0301"],
  ["🎬"],
  ["\ud83c"],
  ["\ufffd"],
  ["a".repeat(10_000)],
  [`${"a".repeat(9_999)}b`],
  ["__proto__"],
  ["constructor"]
]

const entryLaws: ReadonlyArray<Draft<never>> = [
  law("port", "what was stored is read as it was given, each time", function*(s) {
    const address = s.at("a", s.tag("known"))
    const draft = yield* s.put(address, { found: [s.tag("found")] })
    yield* s.serves(address, draft)
    yield* s.serves(address, draft)
  }),

  law("port", "a key that was never filled is a miss", function*(s) {
    yield* s.isMissing(s.at("a"))
  }),

  law("port", "payloads of all shapes come back equal", function*(s) {
    for (const [i, payload] of (s.store.payload === "text" ? texts : values).entries()) {
      const address = s.at(String(i))
      yield* s.serves(address, yield* s.put(address, { payload }))
    }
  }),

  law("port", "stamps of all shapes come back equal", function*(s) {
    const stamps: ReadonlyArray<Partial<Stamp>> = [
      { duration: 0, jitter: 0 },
      { duration: 1234.5678, jitter: 0.123456789012345, storedAt: 1e15, beganAt: 1e15 - 1234.5 },
      { versions: { schema: 2, "etag 🎬 \"*:": "W/\"1\"", __proto: "" } },
      { failure: true, shape: "" },
      { partsUntil: 1e15 + 0.5 },
      { dependencies: ["b", "a", "c \n🎬*:{}"].map((name) => s.tag(name)) },
      {
        dependencies: [
          Dependencies.rowField("film", "4:2", "title"),
          Dependencies.partitionMembers("film", "year", 1999n)
        ]
      }
    ]
    for (const [i, stamp] of stamps.entries()) {
      const address = s.at(String(i))
      yield* s.serves(address, yield* s.put(address, { stamp, found: stamp.dependencies ?? [] }))
    }
  }),

  law("port", "no two keys are one, whatever characters they hold", function*(s) {
    const drafts: Array<readonly [CacheStore.Address, CacheStore.Draft]> = []
    for (const parts of awkward) {
      const address = s.at(parts)
      yield* s.isMissing(address)
      drafts.push([address, yield* s.put(address)])
    }
    for (const [address, draft] of drafts) yield* s.serves(address, draft)
    for (const [address] of drafts) {
      yield* s.invalidate(Invalidation.keys(address.key))
      yield* s.isMissing(address)
    }
  }),

  law("G1", "no two dependencies are one, whatever characters they hold", function*(s) {
    const all: Array<readonly [CacheStore.Address, Dependency.Dependency, CacheStore.Draft]> = []
    for (const [i, parts] of awkward.entries()) {
      const address = s.at(String(i))
      const dependency = s.tag(parts.join("/"))
      all.push([address, dependency, yield* s.put(address, { found: [dependency] })])
    }
    for (const [i, [address, dependency]] of all.entries()) {
      yield* s.invalidate(Invalidation.dependencies(dependency))
      yield* s.isDead(address)
      for (const [other, , draft] of all.slice(i + 1)) yield* s.serves(other, draft)
    }
  }),

  law("port", "a later load replaces the entry, under another token", function*(s) {
    const address = s.at("a")
    const first = yield* s.serves(address, yield* s.put(address))
    const draft = yield* s.finish(yield* s.load(address, { seen: first.token }))
    const second = yield* s.serves(address, draft)
    yield* expect(second.token !== first.token, () => `both entries have the token ${first.token}`)
  }),

  law("G2", "a later load's dependencies replace those of the entry before", function*(s) {
    const address = s.at("a")
    yield* s.put(address, { found: [s.tag("old")] })
    const draft = yield* s.put(address, { found: [s.tag("new")] })
    yield* s.invalidate(Invalidation.dependencies(s.tag("old")))
    yield* s.serves(address, draft)
    yield* s.invalidate(Invalidation.dependencies(s.tag("new")))
    yield* s.isDead(address)
  }),

  law("G4", "what is past its time is not stored, and leaves nothing older", function*(s) {
    const address = s.at("a")
    const past = { expiresAt: (yield* s.now) - 1000 }
    yield* s.outcome(yield* s.commit(yield* s.load(address), past), "unstored")
    yield* s.isMissing(address)
    yield* s.put(address)
    yield* s.outcome(yield* s.commit(yield* s.load(address, { force: true }), past), "unstored")
    yield* s.isMissing(address)
  }),

  law("port", "inspecting tells what is there, and changes nothing", function*(s) {
    const address = s.at("a", s.tag("known"))
    const inspect = Effect.suspend(() => s.store.inspect(address.key, address.known))
    const before = yield* inspect
    yield* expect(
      before.entry === undefined && before.leased === undefined && !before.fenced,
      () => `a key that was never used is inspected as ${show(before)}`
    )
    const loading = yield* s.load(address)
    const during = yield* inspect
    yield* expect(
      during.leased === loading.lease.token,
      () => `${loading.lease.token} has the lease, not ${during.leased}`
    )
    const draft = yield* s.finish(loading)
    const after = yield* inspect
    yield* expect(
      same(after.entry?.payload, draft.payload) && same(after.entry?.stamp, draft.stamp) &&
        after.leased === undefined &&
        after.removed === undefined,
      () => `the entry is inspected as ${show(after)}`
    )
    yield* s.serves(address, draft)
    yield* s.fence(Invalidation.dependencies(s.tag("known")))
    yield* expect((yield* inspect).fenced, () => "a fence stands over the key, and is not told")
  })
]

// -----------------------------------------------------------------------------
// laws of leases
// -----------------------------------------------------------------------------

const leaseLaws: ReadonlyArray<Draft<never>> = [
  law("G5", "one load at a time has the lease, and the others are told which", function*(s) {
    const address = s.at("a")
    const holder = yield* s.load(address)
    yield* s.isBusy(address, holder)
    yield* s.isBusy(address, holder)
    const draft = yield* s.finish(holder)
    yield* s.serves(address, draft)
  }),

  law("G5", "of many that begin at once, one has the lease", function*(s) {
    const address = s.at("a", s.tag("known"))
    const all = yield* Effect.forEach(Array.from({ length: 20 }), () => s.begin(address), { concurrency: "unbounded" })
    const leased = all.flatMap((begun) => begun._tag === "Leased" ? [begun.lease.token] : [])
    yield* expect(leased.length === 1, () => `${leased.length} have the lease`)
    yield* expect(
      all.every((begun) => begun._tag === "Leased" || (begun._tag === "Busy" && begun.token === leased[0])),
      () => `${leased[0]} has the lease, and the answers were ${show(all)}`
    )
  }),

  law("G5", "leases of different keys do not meet", function*(s) {
    const a = yield* s.load(s.at("a"))
    const b = yield* s.load(s.at("b"))
    yield* s.serves(a.address, yield* s.finish(a))
    yield* s.serves(b.address, yield* s.finish(b))
  }),

  law("port", "a begin that is repeated is one", function*(s) {
    const address = s.at("a")
    const token = s.service.token()
    const first = yield* s.load(address, { token })
    const second = yield* s.load(address, { token })
    yield* s.isBusy(address, second)
    yield* s.finish(second)
    yield* s.outcome(yield* s.commit(first), "lost")
  }),

  law("G1", "a begin that is repeated makes no load younger", function*(s) {
    const [known, found] = [s.tag("known"), s.tag("found")]
    for (const dependency of [known, found]) {
      const address = s.at(dependency, known)
      const token = s.service.token()
      const first = yield* s.load(address, { token })
      yield* s.invalidate(Invalidation.dependencies(dependency))
      // As a request does that was sent twice, and delayed once.
      yield* s.begin(address, { token })
      yield* s.refused(yield* s.commit(first, { found: [found] }))
      yield* s.isDead(address)
    }
  }),

  law("port", "begin finds what was stored meanwhile", function*(s) {
    const address = s.at("a")
    const draft = yield* s.put(address)
    const begun = yield* s.begin(address)
    yield* expect(
      begun._tag === "Found" && same(begun.entry.payload, draft.payload),
      () => `begin should have found the entry, and answered ${begun._tag}`
    )
    yield* s.serves(address, draft)
  }),

  law("port", "begin gives the lease over the entry that was seen, and leaves it there", function*(s) {
    const address = s.at("a")
    const draft = yield* s.put(address)
    const { token } = yield* s.serves(address, draft)
    const loading = yield* s.load(address, { seen: token })
    yield* s.serves(address, draft)
    yield* s.isBusy(address, loading, { seen: token })
  }),

  law("port", "begin finds a newer entry than the one that was seen", function*(s) {
    const address = s.at("a")
    const { token } = yield* s.serves(address, yield* s.put(address))
    const newer = yield* s.put(address)
    const begun = yield* s.begin(address, { seen: token })
    yield* expect(
      begun._tag === "Found" && same(begun.entry.payload, newer.payload),
      () => `begin should have found the newer entry, and answered ${begun._tag}`
    )
  }),

  law("G2", "what was seen dead is dropped when a load begins", function*(s) {
    const [address, other] = [s.at("a"), s.at("b")]
    const kept = yield* s.put(other)
    const { token } = yield* s.serves(address, yield* s.put(address))
    const loading = yield* s.load(address, { seen: token, drop: true })
    yield* s.isMissing(address)
    yield* s.serves(other, kept)
    yield* s.store.abandon(address, loading.lease.token)
    yield* s.isMissing(address)
  }),

  law("G2", "what was seen dead is dropped though another has the lease", function*(s) {
    const address = s.at("a")
    const { token } = yield* s.serves(address, yield* s.put(address))
    const holder = yield* s.load(address, { seen: token })
    yield* s.isBusy(address, holder, { seen: token, drop: true })
    yield* s.isMissing(address)
  }),

  law("port", "only the entry that was seen is dropped", function*(s) {
    const [address, other] = [s.at("a"), s.at("b")]
    const kept = yield* s.put(other)
    const { token } = yield* s.serves(address, yield* s.put(address))
    const newer = yield* s.put(address)
    const begun = yield* s.begin(address, { seen: token, drop: true })
    yield* expect(begun._tag === "Found", () => `begin should have found the newer entry, and answered ${begun._tag}`)
    yield* s.serves(address, newer)
    yield* s.serves(other, kept)
  }),

  law("G6", "force takes the lease, and the load that had it stores nothing", function*(s) {
    const address = s.at("a")
    const first = yield* s.load(address)
    const second = yield* s.load(address, { force: true })
    yield* s.isBusy(address, second)
    yield* s.outcome(yield* s.commit(first), "lost")
    yield* s.isMissing(address)
    yield* s.isBusy(address, second)
    const draft = yield* s.finish(second)
    yield* s.outcome(yield* s.commit(first), "lost")
    yield* s.serves(address, draft)
  }),

  law("G6", "force takes the lease whatever is stored, and with drop removes it", function*(s) {
    const address = s.at("a")
    const draft = yield* s.put(address)
    yield* s.load(address, { force: true })
    yield* s.serves(address, draft)
    yield* s.load(address, { force: true, drop: true })
    yield* s.isMissing(address)
  }),

  law("G6", "a lease is over when its load has ended", function*(s) {
    const address = s.at("a")
    const loading = yield* s.load(address)
    const draft = yield* s.finish(loading)
    yield* s.outcome(yield* s.commit(loading), "lost")
    const { token } = yield* s.serves(address, draft)
    yield* s.load(address, { seen: token })
    yield* s.outcome(yield* s.commit(loading), "lost")
    yield* s.serves(address, draft)
  }),

  law("G5", "a lease is over when its load was refused", function*(s) {
    const address = s.at("a")
    const loading = yield* s.load(address)
    yield* s.invalidate(Invalidation.dependencies(s.tag("found")))
    yield* s.refused(yield* s.commit(loading, { found: [s.tag("found")] }))
    yield* s.load(address)
  }),

  law("port", "a lease that is abandoned is free, and its load stores nothing", function*(s) {
    const address = s.at("a")
    const first = yield* s.load(address)
    yield* s.store.abandon(address, first.lease.token)
    yield* s.outcome(yield* s.commit(first), "lost")
    yield* s.isMissing(address)
    const second = yield* s.load(address)
    yield* s.store.abandon(address, first.lease.token)
    yield* s.finish(second)
  }),

  law("port", "a load that is discarded stores nothing, and its lease is over", function*(s) {
    const address = s.at("a", s.tag("known"))
    for (const dependencies of [[s.tag("known")], [s.tag("known"), s.tag("found")]]) {
      const loading = yield* s.load(address)
      yield* s.outcome(yield* s.discard(loading, dependencies), "unstored")
      yield* s.isMissing(address)
      yield* s.outcome(yield* s.discard(loading, dependencies), "lost")
      yield* s.outcome(yield* s.commit(loading), "lost")
    }
    const draft = yield* s.put(address)
    const { token } = yield* s.serves(address, draft)
    yield* s.discard(yield* s.load(address, { seen: token }), undefined)
    yield* s.serves(address, draft)
  }),

  law("G3", "of a load whose dependencies are not known, everything that was invalidated counts", function*(s) {
    const address = s.at("a")
    const ways: ReadonlyArray<Step<unknown>> = [
      s.invalidate(Invalidation.dependencies(s.tag("any"))),
      s.invalidate(Invalidation.soft(Invalidation.dependencies(s.tag("any")))),
      Effect.flatMap(s.fence(Invalidation.dependencies(s.tag("any"))), (fence) => s.lift(fence))
    ]
    for (const way of ways) {
      const loading = yield* s.load(address)
      yield* way
      yield* s.refused(yield* s.discard(loading, undefined))
    }
    const fence = yield* s.fence(Invalidation.dependencies(s.tag("any")))
    const loading = yield* s.load(address)
    yield* s.lift(fence)
    yield* s.refused(yield* s.discard(loading, undefined))
  }),

  law("G5", "of a load whose dependencies are not known, nothing counts if nothing was invalidated", function*(s) {
    const address = s.at("a")
    yield* s.outcome(yield* s.discard(yield* s.load(address), undefined), "unstored")
    const fence = yield* s.fence(Invalidation.dependencies(s.tag("any")))
    yield* s.outcome(yield* s.discard(yield* s.load(address), undefined), "fenced")
    yield* s.lift(fence)
  }, true),

  law("G3", "the position is another once something was invalidated, or a fence opened or lifted", function*(s) {
    const address = s.at("a")
    const over = Invalidation.dependencies(s.tag("any"))
    const fences: Array<CacheStore.Fence> = []
    const ways: ReadonlyArray<Step<unknown>> = [
      s.invalidate(over),
      s.invalidate(Invalidation.soft(over)),
      Effect.map(s.fence(over), (fence) => fences.push(fence)),
      Effect.suspend(() => s.lift(fences[0]!)),
      Effect.map(s.fence(Invalidation.keys(s.key(["b"]))), (fence) => fences.push(fence)),
      Effect.suspend(() => s.lift(fences[1]!))
    ]
    for (const [i, way] of ways.entries()) {
      const holder = yield* s.load(address)
      yield* way
      const begun = yield* s.begin(address)
      const { position } = holder.lease
      yield* expect(
        begun._tag === "Busy" && (begun.position === undefined || begun.position !== position),
        () => `after the ${i + 1}. of these, begin should have given another position, and answered ${show(begun)}`
      )
      yield* s.store.abandon(address, holder.lease.token)
    }
  }),

  law("G5", "the position is the same while nothing happens, where it is told", function*(s) {
    const holder = yield* s.load(s.at("a", s.tag("known")))
    const begun = yield* s.begin(holder.address)
    yield* expect(
      begun._tag === "Busy" && begun.position === holder.lease.position,
      () => `begin should have given the position ${holder.lease.position}, and answered ${show(begun)}`
    )
  }, true),

  law("G5", "a stranger abandons nothing", function*(s) {
    const address = s.at("a")
    const holder = yield* s.load(address)
    yield* s.store.abandon(address, s.service.token())
    yield* s.store.abandon(s.at("b"), holder.lease.token)
    yield* s.isBusy(address, holder)
    yield* s.finish(holder)
  }),

  law("G3", "a load from before an invalidation of its key is not waited for", function*(s) {
    const address = s.at("a")
    const ways: ReadonlyArray<Step<unknown>> = [
      s.invalidate(Invalidation.keys(address.key)),
      s.invalidate(Invalidation.soft(Invalidation.keys(address.key))),
      s.sweep(s.pattern("a")),
      s.sweep(s.pattern(undefined), "soft"),
      Effect.flatMap(s.fence(Invalidation.keys(address.key)), (fence) => s.lift(fence)),
      Effect.flatMap(s.fence(Invalidation.pattern(s.pattern("a"))), (fence) => s.lift(fence))
    ]
    for (const way of ways) {
      const first = yield* s.load(address)
      yield* way
      const second = yield* s.load(address)
      yield* s.outcome(yield* s.commit(first), "lost")
      yield* s.store.abandon(address, second.lease.token)
    }
  }),

  law("G3", "a load from before an invalidation of what its key tells is not waited for", function*(s) {
    const address = s.at("a", s.tag("known"))
    const ways = [
      s.invalidate(Invalidation.dependencies(s.tag("known"))),
      s.invalidate(Invalidation.soft(Invalidation.dependencies(s.tag("known"))))
    ]
    for (const way of ways) {
      const first = yield* s.load(address)
      yield* way
      const second = yield* s.load(address)
      yield* s.refused(yield* s.commit(first))
      yield* s.finish(second)
      yield* s.invalidate(Invalidation.keys(address.key))
    }
  })
]

const releaseLaw = <R>(waiting: Waiting<R>): Draft<R> =>
  law("G5", "who waits for a lease is told when it is over", function*(s) {
    const ways: Record<string, (holder: Loading) => Step<unknown>> = {
      "stored": (holder) => s.finish(holder),
      "refused": (holder) =>
        Effect.andThen(
          s.invalidate(Invalidation.dependencies(s.tag("found"))),
          s.commit(holder, { found: [s.tag("found")] })
        ),
      "abandoned": ({ address, lease }) => s.store.abandon(address, lease.token),
      "its key invalidated": ({ address }) => s.invalidate(Invalidation.keys(address.key)),
      "swept": () => s.sweep(s.pattern("swept")),
      "taken by force": ({ address }) => s.load(address, { force: true })
    }
    for (const [name, way] of Object.entries(ways)) {
      const holder = yield* s.load(s.at(name))
      const { address, lease: { token } } = holder
      const fiber = yield* Effect.forkChild(s.store.released(address, token), { startImmediately: true })
      yield* way(holder)
      yield* soon(`the end of a lease that was ${name}`, Fiber.join(fiber), waiting)
      yield* soon(`the end of a lease that was ${name} before`, s.store.released(address, token), waiting)
    }
    const address = s.at("repeated")
    const token = s.service.token()
    const first = yield* s.load(address, { token })
    const fiber = yield* Effect.forkChild(s.store.released(address, token), { startImmediately: true })
    yield* s.finish(yield* s.load(address, { token: first.lease.token }))
    yield* soon("the end of a lease that was asked for twice", Fiber.join(fiber), waiting)
  })

// -----------------------------------------------------------------------------
// laws of invalidations
// -----------------------------------------------------------------------------

const modes: ReadonlyArray<Verdict.Mode> = ["hard", "soft"]

/** One thing that covers the load of `a`, which has a known dependency and finds one. */
interface Target {
  readonly name: string
  readonly alone: boolean
  readonly over: (s: Scene) => Invalidation.Invalidation
  readonly invalidate: (s: Scene, mode: Verdict.Mode) => Step<unknown>
}

const batchTarget = (name: string, over: Target["over"]): Target => ({
  name,
  alone: false,
  over,
  invalidate: (s, mode) => s.invalidate(Invalidation.withMode(over(s), mode))
})

const targets: ReadonlyArray<Target> = [
  batchTarget("a dependency that its key tells", (s) => Invalidation.dependencies(s.tag("known"))),
  batchTarget("a dependency that its value tells", (s) => Invalidation.dependencies(s.tag("found"))),
  batchTarget("its key", (s) => Invalidation.keys(s.key(["a", "b"]))),
  {
    name: "a pattern",
    alone: false,
    over: (s) => Invalidation.pattern(s.pattern("a", undefined)),
    invalidate: (s, mode) => s.sweep(s.pattern("a", undefined), mode)
  },
  {
    name: "everything",
    alone: true,
    over: () => Invalidation.everything,
    invalidate: (s, mode) => s.sweep("everything", mode)
  }
]

const covered = (s: Scene): CacheStore.Address => s.at(["a", "b"], s.tag("known"))

const finding = (s: Scene): Loaded => ({ found: [s.tag("found")] })

const targetLaws: ReadonlyArray<Draft<never>> = targets.flatMap(({ alone, invalidate, name, over }) => [
  ...modes.flatMap((mode) => [
    law("G1", `a load is refused if ${name} is invalidated before it ends (${mode})`, function*(s) {
      const loading = yield* s.load(covered(s))
      yield* invalidate(s, mode)
      yield* s.refused(yield* s.commit(loading, finding(s)))
      yield* s.isNotFresh(loading.address)
    }, alone),

    law("G1", `a load is refused if ${name} is invalidated twice before it ends (${mode})`, function*(s) {
      yield* s.put(covered(s), finding(s))
      yield* invalidate(s, mode)
      const loading = yield* s.load(covered(s), { force: true })
      yield* invalidate(s, mode)
      yield* invalidate(s, mode)
      yield* s.refused(yield* s.commit(loading, finding(s)))
      yield* s.isNotFresh(loading.address)
    }, alone),

    law("G3", `a load of which nothing is stored is not shared if ${name} was invalidated (${mode})`, function*(s) {
      const loading = yield* s.load(covered(s))
      yield* invalidate(s, mode)
      yield* s.refused(yield* s.discard(loading, [s.tag("known"), s.tag("found")]))
    }, alone),

    law("port", `a load is stored if ${name} was invalidated before it began (${mode})`, function*(s) {
      yield* invalidate(s, mode)
      const draft = yield* s.put(covered(s), finding(s))
      yield* s.serves(covered(s), draft)
    }, alone)
  ]),

  law("G1", `an entry is dead when ${name} was invalidated, and stays so`, function*(s) {
    const draft = yield* s.put(covered(s), finding(s))
    yield* s.serves(covered(s), draft)
    for (let times = 0; times < 4; times++) {
      yield* invalidate(s, "hard")
      yield* s.isDead(covered(s))
    }
    yield* s.serves(covered(s), yield* s.put(covered(s), finding(s)))
  }, alone),

  law("port", `an entry is marked softly when ${name} was invalidated softly`, function*(s) {
    const draft = yield* s.put(covered(s), finding(s))
    yield* invalidate(s, "soft")
    yield* s.servesSoftly(covered(s), draft)
    yield* invalidate(s, "soft")
    yield* s.servesSoftly(covered(s), draft)
    yield* s.serves(covered(s), yield* s.put(covered(s), finding(s)))
  }, alone),

  law("G1", `hard after soft is hard, and soft after hard stays hard (${name})`, function*(s) {
    yield* s.put(covered(s), finding(s))
    yield* invalidate(s, "soft")
    yield* invalidate(s, "hard")
    yield* s.isDead(covered(s))
    yield* invalidate(s, "soft")
    yield* s.isDead(covered(s))
  }, alone),

  law("G1", `a commit that races an invalidation leaves nothing that looks good (${name})`, function*(s) {
    for (let round = 0; round < 20; round++) {
      const loading = yield* s.load(covered(s), { force: true })
      const both = [Effect.asVoid(s.commit(loading, finding(s))), Effect.asVoid(invalidate(s, "hard"))]
      yield* Effect.all(round % 2 === 0 ? both : both.reverse(), { concurrency: "unbounded" })
      yield* s.isDead(covered(s))
    }
  }, alone),

  law("G7", `what begins under a fence over ${name} is not stored`, function*(s) {
    const fence = yield* s.fence(over(s))
    const loading = yield* s.load(covered(s))
    yield* s.outcome(yield* s.commit(loading, finding(s)), "fenced")
    yield* s.isMissing(covered(s))
    yield* s.outcome(yield* s.commit(yield* s.load(covered(s)), finding(s)), "fenced")
    yield* s.isMissing(covered(s))
    yield* s.lift(fence)
  }, alone),

  law("G7", `what begins under a fence over ${name} is refused once it is lifted`, function*(s) {
    const fence = yield* s.fence(over(s))
    const loading = yield* s.load(covered(s))
    yield* s.lift(fence)
    yield* s.refused(yield* s.commit(loading, finding(s)))
    yield* s.isMissing(covered(s))
    yield* s.serves(covered(s), yield* s.put(covered(s), finding(s)))
  }, alone),

  law("G7", `what begins under a fence over ${name} may be shared while it stands, and is not stored`, function*(s) {
    const both = [s.tag("known"), s.tag("found")]
    const fence = yield* s.fence(over(s))
    const [first, second] = [yield* s.load(covered(s)), yield* s.load(s.at("other", s.tag("unlike")))]
    yield* s.outcome(yield* s.discard(first, both), "fenced")
    if (name !== "everything") yield* s.outcome(yield* s.discard(second, second.address.known), "unstored")
    const third = yield* s.load(covered(s))
    yield* s.lift(fence)
    yield* s.refused(yield* s.discard(third, both))
  }, alone),

  law("G7", `what began before a fence over ${name} is refused`, function*(s) {
    const before = yield* s.load(covered(s))
    const fence = yield* s.fence(over(s))
    yield* s.refused(yield* s.commit(before, finding(s)))
    yield* s.isDead(covered(s))
    // By force, since the refused load may have left an entry that is dead.
    const again = yield* s.load(covered(s), { force: true })
    yield* s.lift(fence)
    yield* s.refused(yield* s.commit(again, finding(s)))
    yield* s.isDead(covered(s))
  }, alone),

  law("G7", `a fence over ${name} ends what was stored, as hard or soft as it is`, function*(s) {
    yield* s.put(covered(s), finding(s))
    const hard = yield* s.fence(over(s))
    yield* s.isDead(covered(s))
    yield* s.lift(hard)
    yield* s.isDead(covered(s))
    const draft = yield* s.put(covered(s), finding(s))
    const soft = yield* s.fence(Invalidation.soft(over(s)))
    yield* s.servesSoftly(covered(s), draft)
    yield* s.lift(soft)
    yield* s.servesSoftly(covered(s), draft)
  }, alone)
])

const invalidationLaws: ReadonlyArray<Draft<never>> = [
  law("port", "what does not cover a load or an entry does nothing to it", function*(s) {
    const address = s.at(["a", "b"], s.tag("known"))
    const unrelated = Effect.gen(function*() {
      yield* s.invalidate(
        Invalidation.keys([s.key(["a"]), s.key(["a", "c"]), s.key(["a", "b"], "s")]),
        Invalidation.dependencies([s.tag("other"), s.tag("know"), s.tag("known ")])
      )
      for (const pattern of [s.pattern("b", undefined), s.pattern("a"), s.pattern("a", "b", undefined)]) {
        yield* s.sweep(pattern)
      }
      const fence = yield* s.fence(Invalidation.dependencies(s.tag("other")))
      yield* s.load(s.at("c", s.tag("other")), { force: true })
      yield* s.lift(fence)
    })
    const loading = yield* s.load(address)
    yield* unrelated
    const draft = yield* s.finish(loading, { found: [s.tag("found")] })
    yield* unrelated
    yield* s.serves(address, draft)
    yield* s.invalidate()
    yield* s.serves(address, draft)
  }),

  law("G1", "invalidating a dependency marks or removes the entries that have it, and no others", function*(s) {
    const [x, y, z] = [s.tag("x"), s.tag("y"), s.tag("z")]
    for (const mode of modes) {
      const without = new Map<CacheStore.Address, CacheStore.Draft>()
      const having: Array<readonly [CacheStore.Address, CacheStore.Draft]> = []
      for (
        const [name, known, found] of [["1", [x], []], ["2", [], [x]], ["3", [y], [x, z]], ["4", [x, y], [z]]] as const
      ) {
        const address = s.at(name, ...known)
        having.push([address, yield* s.put(address, { found })])
      }
      for (const [name, known, found] of [["5", [], []], ["6", [y], []], ["7", [y], [z]]] as const) {
        const address = s.at(name, ...known)
        without.set(address, yield* s.put(address, { found }))
      }
      yield* s.invalidate(Invalidation.withMode(Invalidation.dependencies(x), mode))
      for (const [address, draft] of having) {
        if (mode === "hard") yield* s.isDead(address)
        else yield* s.servesSoftly(address, draft)
      }
      for (const [address, draft] of without) yield* s.serves(address, draft)
    }
  }),

  law("G1", "a dependency of which a hard change leaves nothing kills, and a soft one marks", function*(s) {
    const [address, fatal] = [s.at("a"), s.tag("fatal")]
    const loaded = { found: [fatal, s.tag("other")], fatal: [fatal] }
    const draft = yield* s.put(address, loaded)
    yield* s.invalidate(Invalidation.soft(Invalidation.dependencies(fatal)))
    yield* s.servesSoftly(address, draft)
    yield* s.invalidate(Invalidation.dependencies(fatal))
    yield* s.isDead(address)
    yield* s.serves(address, yield* s.put(address, loaded))
  }),

  law("G1", "marks name what changed, and only that, each in its mode", function*(s) {
    const [x, y, z] = [s.tag("x"), s.tag("y"), s.tag("z")]
    const address = s.at("a", x)
    const draft = yield* s.put(address, { found: [y, z] })
    yield* s.invalidate(Invalidation.dependencies(x), Invalidation.soft(Invalidation.dependencies(y)))
    const entry = yield* s.holds(address, draft)
    const expected = new Map<Dependency.Dependency, Verdict.Mode>([[x, "hard"], [y, "soft"]])
    yield* expect(
      !entry.softened && entry.changed?.size === 2 &&
        [...expected].every(([name, mode]) => entry.changed?.get(name) === mode),
      () => `x should be marked hard and y soft, and the marks are${showMarks(entry)}`
    )
  }),

  law("G1", "a batch of keys and dependencies in several modes is applied as a whole", function*(s) {
    const [x, y] = [s.tag("x"), s.tag("y")]
    const drafts = new Map<string, CacheStore.Draft>()
    for (const name of ["hard key", "soft key", "neither"]) drafts.set(name, yield* s.put(s.at(name)))
    drafts.set("hard", yield* s.put(s.at("hard", x)))
    drafts.set("soft", yield* s.put(s.at("soft"), { found: [y] }))
    const loading = yield* s.load(s.at("in flight"))
    const loadingKey = yield* s.load(s.at("in flight too"))
    yield* s.invalidate(
      Invalidation.keys([s.key(["hard key"]), s.key(["in flight too"])]),
      Invalidation.soft(Invalidation.keys(s.key(["soft key"]))),
      Invalidation.dependencies(x),
      Invalidation.soft(Invalidation.dependencies(y))
    )
    yield* s.isMissing(s.at("hard key"))
    yield* s.servesSoftly(s.at("soft key"), drafts.get("soft key")!)
    yield* s.isDead(s.at("hard", x))
    yield* s.servesSoftly(s.at("soft"), drafts.get("soft")!)
    yield* s.serves(s.at("neither"), drafts.get("neither")!)
    yield* s.refused(yield* s.commit(loading, { found: [y] }))
    yield* s.outcome(yield* s.commit(loadingKey), "lost")
  }),

  law("G1", "what was invalidated during a load is not forgotten for what comes after it", function*(s) {
    const loading = yield* s.load(s.at("a"))
    yield* s.invalidate(Invalidation.dependencies(s.tag("found")))
    for (let i = 0; i < 20; i++) {
      const many = Array.from({ length: 100 }, (_, j) => s.tag(`${i} ${j}`))
      yield* s.invalidate(Invalidation.dependencies(many))
    }
    yield* s.refused(yield* s.commit(loading, finding(s)))
    yield* s.isDead(s.at("a"))
  }),

  law("port", "a count is that of the entries that were there, or is not told", function*(s) {
    const told = (what: string, actual: number | undefined, expected: number) =>
      expect(
        actual === undefined || actual === expected,
        () => `${what} touched ${expected} entries, and told ${actual}`
      )
    const [x, y, z] = [s.tag("x"), s.tag("y"), s.tag("z")]
    yield* s.put(s.at("1", x))
    yield* s.put(s.at("2", x, y))
    yield* s.put(s.at("3", y))
    yield* s.put(s.at("4"))
    const soft = Invalidation.soft(Invalidation.dependencies([x, y]))
    yield* told("two dependencies", yield* s.invalidate(soft, Invalidation.keys([s.key(["3"]), s.key(["none"])])), 3)
    yield* told("a dependency that nothing has", yield* s.invalidate(Invalidation.dependencies(z)), 0)
    yield* told("a pattern", yield* s.sweep(s.pattern(undefined)), 3)
    yield* told("a pattern that nothing matches", yield* s.sweep(s.pattern(undefined)), 0)
    yield* s.put(s.at("5"))
    const fence = { id: s.service.token(), over: Invalidation.keys([s.key(["5"]), s.key(["none"])]), length: long }
    yield* told("a fence", yield* s.store.fence(fence), 1)
    yield* s.lift(fence)
  }),

  law("G1", "a sweep touches the keys of its pattern, and no others", function*(s) {
    const inside = [["drama", "1"], ["drama", "2"], ["drama", "*"], ["drama", "10"]]
    const outside = [["drama"], ["drama", "1", "1"], ["dramas", "1"], ["dram", "1"], ["*", "1"], ["noir", "1"], [
      "1",
      "drama"
    ]]
    const other = { key: s.key(["drama", "1"], "s"), known: [] }
    for (const mode of modes) {
      const drafts = new Map<CacheStore.Address, CacheStore.Draft>()
      for (const parts of [...inside, ...outside]) drafts.set(s.at(parts), yield* s.put(s.at(parts)))
      drafts.set(other, yield* s.put(other))
      const loads: Array<readonly [boolean, Loading]> = []
      for (const parts of [["drama", "new"], ["drama", "new", "1"], ["new", "drama"]]) {
        loads.push([parts.length === 2 && parts[0] === "drama", yield* s.load(s.at(parts), { force: true })])
      }
      yield* s.sweep(s.pattern("drama", undefined), mode)
      const swept = new Set(inside.map((parts) => s.key(parts)))
      for (const [address, draft] of drafts) {
        if (!swept.has(address.key)) yield* s.serves(address, draft)
        else if (mode === "hard") yield* s.isMissing(address)
        else yield* s.servesSoftly(address, draft)
      }
      for (const [voided, loading] of loads) yield* s.outcome(yield* s.commit(loading), voided ? "lost" : "stored")
    }
  }),

  law("G1", "no character in a key widens a pattern", function*(s) {
    const fixed = awkward.flatMap((parts) => parts.length === 1 ? parts : [])
    const drafts = new Map<string, CacheStore.Draft>()
    for (const one of fixed) drafts.set(one, yield* s.put(s.at([one, "x"])))
    for (const one of fixed) {
      yield* s.sweep(s.pattern(one, undefined))
      yield* s.isMissing(s.at([one, "x"]))
      drafts.delete(one)
      for (const [other, draft] of drafts) yield* s.serves(s.at([other, "x"]), draft)
    }
  }),

  law("port", "everything sweeps everything", function*(s) {
    const other = { key: s.key(["a"], "s"), known: [] }
    for (const mode of modes) {
      const drafts: Array<readonly [CacheStore.Address, CacheStore.Draft]> = []
      for (const address of [s.at("a"), s.at(["a", "b"]), other]) drafts.push([address, yield* s.put(address)])
      const loading = yield* s.load(s.at("loading"), { force: true })
      yield* s.sweep("everything", mode)
      for (const [address, draft] of drafts) {
        if (mode === "hard") yield* s.isMissing(address)
        else yield* s.servesSoftly(address, draft)
      }
      yield* s.outcome(yield* s.commit(loading), "lost")
    }
  }, true)
]

const toldLaw = <R>(waiting: Waiting<R>): Draft<R> =>
  law("port", "whoever listens is told what was invalidated", function*(s) {
    const told: Array<Invalidation.Invalidation> = []
    const key = s.key(["a", "b"])
    const ways: ReadonlyArray<readonly [string, Step<unknown>, (one: Invalidation.Invalidation) => boolean]> = [
      ["a key", s.invalidate(Invalidation.keys(key)), (one) => one.keys.has(key)],
      [
        "a dependency",
        s.invalidate(Invalidation.dependencies(s.tag("x"))),
        (one) => one.dependencies.get(s.tag("x")) === "hard"
      ],
      [
        "a soft one",
        s.invalidate(Invalidation.soft(Invalidation.dependencies(s.tag("y")))),
        (one) => one.dependencies.get(s.tag("y")) === "soft"
      ],
      [
        "a pattern",
        s.sweep(s.pattern("a", undefined)),
        (one) => one.patterns.size > 0 && Invalidation.covers(one, key, [])
      ],
      [
        "a fence",
        Effect.flatMap(s.fence(Invalidation.dependencies(s.tag("z"))), (fence) => s.lift(fence)),
        (one) => one.dependencies.has(s.tag("z"))
      ]
    ]
    for (const [name, way, isIt] of ways) {
      const heard = yield* Deferred.make<void>()
      const listen = Stream.runForEach(s.store.announcements, (announcement) => {
        if (announcement._tag === "Gap") return Effect.void
        const one = announcement.invalidation
        told.push(one)
        return isIt(one) ? Deferred.succeed(heard, undefined) : Effect.void
      })
      const listener = yield* Effect.forkChild(listen, { startImmediately: true })
      // When the listener is heard of is the store's affair, so it is told until it listens.
      const repeat = Effect.forever(Effect.andThen(way, pause(20)))
      yield* soon(`the invalidation of ${name}`, Effect.raceFirst(Deferred.await(heard), repeat), waiting)
      yield* Fiber.interrupt(listener)
    }
  })

// -----------------------------------------------------------------------------
// laws of fences
// -----------------------------------------------------------------------------

const fenceLaws: ReadonlyArray<Draft<never>> = [
  law("G7", "lifting a fence tells whether it stood", function*(s) {
    const fence = yield* s.fence(Invalidation.dependencies(s.tag("x")))
    yield* expect(yield* s.lift(fence), () => "the fence stood, and lifting it said no")
    yield* expect(!(yield* s.lift(fence)), () => "the fence was lifted before, and lifting it again said that it stood")
    const never = { ...fence, id: s.service.token() }
    yield* expect(!(yield* s.lift(never)), () => "the fence was never there, and lifting it said that it stood")
  }),

  law("G7", "of two fences, lifting one leaves the other", function*(s) {
    const address = s.at("a", s.tag("x"))
    const over = Invalidation.dependencies(s.tag("x"))
    const first = yield* s.fence(over)
    const second = yield* s.fence(over)
    yield* expect(yield* s.lift(first), () => "the first fence stood, and lifting it said no")
    yield* s.outcome(yield* s.commit(yield* s.load(address)), "fenced")
    yield* s.isMissing(address)
    yield* expect(yield* s.lift(second), () => "the second fence stood, and lifting it said no")
    yield* s.serves(address, yield* s.put(address))
  }),

  law("G7", "what began under two fences is refused once either is lifted", function*(s) {
    const address = s.at("a", s.tag("x"))
    const ways = [Invalidation.dependencies(s.tag("x")), Invalidation.keys(address.key)]
    for (const over of ways) {
      const first = yield* s.fence(Invalidation.dependencies(s.tag("x")))
      const second = yield* s.fence(over)
      const loading = yield* s.load(address)
      // Its write may have happened after the load has read: nobody who comes later may share the load.
      yield* s.lift(first)
      yield* s.refused(yield* s.commit(loading))
      yield* s.isMissing(address)
      yield* s.lift(second)
    }
  }),

  law("port", "what begins after a fence was lifted is stored", function*(s) {
    const address = s.at("a", s.tag("x"))
    yield* s.lift(yield* s.fence(Invalidation.dependencies([s.tag("x"), s.tag("y")])))
    yield* s.serves(address, yield* s.put(address, { found: [s.tag("y")] }))
  }),

  law("port", "a fence leaves alone what it is not over", function*(s) {
    const entry = yield* s.put(s.at(["a", "b"], s.tag("y")))
    const loading = yield* s.load(s.at("loading"))
    yield* s.fence(Invalidation.combineAll([
      Invalidation.dependencies(s.tag("x")),
      Invalidation.keys(s.key(["b"])),
      Invalidation.pattern(s.pattern("b", undefined))
    ]))
    yield* s.serves(s.at(["a", "b"], s.tag("y")), entry)
    yield* s.finish(loading, { found: [s.tag("y")] })
    const after = yield* s.put(s.at("after"), { found: [s.tag("y")] })
    yield* s.serves(s.at("after"), after)
  }),

  law("port", "a fence that is opened twice is one", function*(s) {
    const address = s.at("a", s.tag("x"))
    const fence = yield* s.fence(Invalidation.dependencies(s.tag("x")))
    yield* s.store.fence(fence)
    yield* s.lift(fence)
    yield* s.serves(address, yield* s.put(address))
  }),

  law("G7", "what is found to be under a fence only in the value is not stored either", function*(s) {
    const fence = yield* s.fence(Invalidation.dependencies(s.tag("x")))
    const loading = yield* s.load(s.at("a"))
    const other = yield* s.load(s.at("b"))
    yield* s.outcome(yield* s.commit(loading, { found: [s.tag("y"), s.tag("x")] }), "fenced")
    yield* s.isMissing(s.at("a"))
    yield* s.finish(other, { found: [s.tag("y")] })
    yield* s.lift(fence)
  })
]

// -----------------------------------------------------------------------------
// laws of loads that read the cache
// -----------------------------------------------------------------------------

/** Values that are made of one another: a card of the origin, a page of the card, and a site of the page. */
class Nest {
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
      const version = yield* this.load(i)
      if (begun._tag === "Leased") {
        const payload = scene.payload({ version })
        const found = [this.found(i), scene.tag("found in all")]
        yield* scene.commit({ address, lease: begun.lease }, { payload, found })
      }
      return version
    })
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

  /** Fills all three, changes the origin, and invalidates while they are read. */
  round<R>(way: Step<unknown, R>): Step<void, R> {
    return Effect.gen({ self: this }, function*() {
      yield* this.get(2)
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

const coverings: Record<string, (nest: Nest) => Invalidation.Invalidation> = {
  "their keys": ({ addresses }) => Invalidation.keys(outerFirst.map((i) => addresses[i]!.key)),
  "dependencies that their keys tell": (nest) => Invalidation.dependencies(outerFirst.map((i) => nest.known(i))),
  "dependencies that their values tell": (nest) => Invalidation.dependencies(outerFirst.map((i) => nest.found(i))),
  "one dependency that all their values tell": ({ scene }) => Invalidation.dependencies(scene.tag("found in all")),
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

const rounds = 6

const nestedLaws: ReadonlyArray<Draft<never>> = Object.entries(coverings).flatMap(([name, over]) => {
  const alone = name === "everything"
  return [
    ...modes.map((mode) =>
      law(
        "G1",
        `what was made of an old entry while ${name} is invalidated is not served after it (${mode})`,
        function*(s) {
          const nest = new Nest(s)
          for (let round = 0; round < rounds; round++) {
            yield* nest.round(Effect.suspend(() => s.invalidate(Invalidation.withMode(over(nest), mode))))
          }
          yield* nest.isKept
        },
        alone
      )
    ),
    law("G7", `what was made of an old entry under a fence over ${name} is not served after it`, function*(s) {
      const nest = new Nest(s)
      for (let round = 0; round < rounds; round++) {
        yield* nest.round(Effect.gen(function*() {
          const fence = yield* s.fence(over(nest))
          yield* Effect.yieldNow
          nest.version++
          yield* s.lift(fence)
        }))
      }
      yield* nest.isKept
    }, alone)
  ]
})

const interruptedLaw = <R>(waiting: Waiting<R>): Draft<R> =>
  law("G8", "an invalidation that is interrupted between two steps leaves no fence, and can be repeated", function*(s) {
    const nest = new Nest(s)
    const over = () =>
      Invalidation.combineAll(
        Object.entries(coverings).flatMap(([name, one]) => name === "everything" ? [] : [one(nest)])
      )
    for (let round = 0; round < 12; round++) {
      yield* nest.get(2)
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

// -----------------------------------------------------------------------------
// laws of time
// -----------------------------------------------------------------------------

/** How long leases and fences last: what is done while they do may take so long, where the clock is a real one. */
const span = 4000

const clockLaws = <R>(advance: NonNullable<Instruments<R>["advance"]>): ReadonlyArray<Draft<R>> => [
  law("G5", "a lease can be taken when its time is over, and not before", function*(s) {
    const address = s.at("a")
    const first = yield* s.load(address, { leaseFor: span })
    yield* advance(400)
    yield* s.isBusy(address, first)
    yield* advance(span)
    const second = yield* s.load(address)
    yield* s.outcome(yield* s.commit(first), "lost")
    yield* s.isMissing(address)
    const draft = yield* s.finish(second)
    yield* s.outcome(yield* s.commit(first), "lost")
    yield* s.serves(address, draft)
  }, true),

  law("G7", "a fence that ran out still refuses what began under it", function*(s) {
    const address = s.at("a", s.tag("x"))
    const fence = yield* s.fence(Invalidation.dependencies([s.tag("x"), s.tag("y")]), span)
    const [loading, other] = [yield* s.load(address), yield* s.load(s.at("b"))]
    yield* advance(span + 200)
    yield* s.refused(yield* s.commit(loading))
    yield* s.isMissing(address)
    yield* s.refused(yield* s.commit(other, { found: [s.tag("y")] }))
    yield* s.isMissing(s.at("b"))
    yield* expect(!(yield* s.lift(fence)), () => "the fence ran out, and lifting it said that it stood")
  }, true),

  law("port", "what begins after a fence ran out is stored", function*(s) {
    const address = s.at("a", s.tag("x"))
    yield* s.fence(Invalidation.dependencies(s.tag("x")), span)
    yield* advance(span + 200)
    yield* s.serves(address, yield* s.put(address))
  }, true),

  law("G7", "a fence that ran out was no shelter: lifting it says so, whatever happened meanwhile", function*(s) {
    const fence = yield* s.fence(Invalidation.dependencies(s.tag("x")), span)
    yield* advance(span + 200)
    yield* s.put(s.at("a", s.tag("x")))
    yield* s.invalidate(Invalidation.dependencies(s.tag("x")))
    yield* expect(!(yield* s.lift(fence)), () => "the fence ran out, and lifting it said that it stood")
  }, true),

  law("port", "an entry outlives its lease, and time alone changes nothing about it", function*(s) {
    const address = s.at("a", s.tag("x"))
    const loading = yield* s.load(address, { leaseFor: span })
    const draft = yield* s.finish(loading, { expiresAt: (yield* s.now) + long })
    yield* advance(span + 200)
    yield* s.serves(address, draft)
  }, true)
]

// -----------------------------------------------------------------------------
// laws of losses
// -----------------------------------------------------------------------------

type Lose<R> = NonNullable<Instruments<R>["lose"]>

const losses = <R>(lose: Lose<R>): ReadonlyArray<readonly [Losable, NonNullable<Lose<R>[Losable]>]> =>
  (["entry", "lease", "journal", "markers"] as const).flatMap((what) => {
    const way = lose[what]
    return way === undefined ? [] : [[what, way] as const]
  })

/** Laws that hold whatever is lost, and at whatever point. */
const lossLaws = <R>(lose: Lose<R>): ReadonlyArray<Draft<R>> =>
  losses(lose).flatMap(([what, way]) => {
    const lost = (s: Scene, address: CacheStore.Address) => way(address.key, [...address.known, s.tag("found")])
    // The journal belongs to all loads.
    const alone = what === "journal" || what === "markers"
    return [
      ...targets.map(({ alone: everything, invalidate, name }) =>
        law<R>("G9", `losing the ${what} revives nothing that ${name} ended`, function*(s) {
          const address = covered(s)
          yield* s.put(address, finding(s))
          yield* invalidate(s, "hard")
          yield* lost(s, address)
          yield* s.isDead(address)
          // What was lost is made anew by whoever needs it next.
          yield* s.put(s.at("next", s.tag("known")), finding(s))
          yield* s.isDead(address)
        }, alone || everything)
      ),

      ...targets.map(({ alone: everything, invalidate, name }) =>
        law<R>("G9", `losing the ${what} lets no load through that ${name} voids`, function*(s) {
          const voided = invalidate(s, "hard")
          const lostOne = lost(s, covered(s))
          const next = s.put(s.at("next", s.tag("known")), finding(s))
          const orders = [[voided, lostOne], [lostOne, voided], [lostOne, voided, lostOne], [voided, lostOne, next]]
          for (const order of orders) {
            const loading = yield* s.load(covered(s), { force: true })
            for (const one of order) yield* one
            yield* s.refused(yield* s.commit(loading, finding(s)))
            yield* s.isDead(covered(s))
          }
        }, alone || everything)
      ),

      law<R>(
        "G9",
        `losing the ${what} lets no load through that a fence voids, or the fence owns up to it`,
        function*(s) {
          const address = covered(s)
          for (const before of [true, false]) {
            const fence = yield* s.fence(Invalidation.dependencies([s.tag("known"), s.tag("found")]))
            if (before) yield* lost(s, address)
            const loading = yield* s.load(address, { force: true })
            if (!before) yield* lost(s, address)
            const outcome = yield* s.commit(loading, finding(s))
            const entry = yield* s.read(address)
            const stored = outcome === "stored" || (entry !== undefined && !isHard(entry))
            const stood = yield* s.lift(fence)
            yield* expect(
              !stored || (before && !stood),
              () =>
                `what began under the fence was ${outcome}, and lifting it said that it ${stood ? "stood" : "was lost"}`
            )
          }
        },
        alone
      ),

      law<R>("G9", `after losing the ${what} a load is stored again`, function*(s) {
        const address = covered(s)
        yield* s.put(address, finding(s))
        yield* lost(s, address)
        const draft = yield* s.put(address, finding(s))
        yield* s.serves(address, draft)
        yield* s.invalidate(Invalidation.dependencies(s.tag("known")))
        yield* s.isDead(address)
      }, alone),

      law<R>("G9", `losing the ${what} of one key leaves the entries of others`, function*(s) {
        const [address, other] = [covered(s), s.at("other", s.tag("unlike"))]
        const draft = yield* s.put(other)
        yield* s.put(address, finding(s))
        yield* lost(s, address)
        yield* s.serves(other, draft)
      }, alone)
    ]
  })

/** A fence that was lost sheltered nothing. */
const nestedLossLaws = <R>(way: NonNullable<Lose<R>[Losable]>): ReadonlyArray<Draft<R>> =>
  Object.entries(coverings).map(([name, over]) =>
    law<R>(
      "G9",
      `losing the journal serves nothing that was made of an old entry while ${name} is invalidated`,
      function*(s) {
        const nest = new Nest(s)
        const lose = Effect.suspend(() => Effect.andThen(way(nest.addresses[0]!.key, []), Effect.yieldNow))
        for (let round = 0; round < rounds; round++) {
          const invalidated = Effect.suspend(() => s.invalidate(over(nest)))
          const losing = Effect.forEach(Array.from({ length: round % 3 }), () => lose, { discard: true })
          yield* nest.round(Effect.all([invalidated, losing], { concurrency: "unbounded" }))
        }
        yield* nest.isKept
      },
      true
    )
  )

const leaseLossLaw = <R>(way: NonNullable<Lose<R>[Losable]>): Draft<R> =>
  law("G9", "a load whose lease was lost stores nothing over a later one", function*(s) {
    const address = s.at("a")
    const first = yield* s.load(address)
    yield* way(address.key, [])
    const second = yield* s.load(address)
    yield* s.outcome(yield* s.commit(first), "lost")
    yield* s.isMissing(address)
    const draft = yield* s.finish(second)
    yield* s.outcome(yield* s.commit(first), "lost")
    yield* s.serves(address, draft)
  })

// -----------------------------------------------------------------------------
// random operations
// -----------------------------------------------------------------------------

type Mode = Verdict.Mode

/** What an invalidation names, by index. */
interface Names {
  readonly keys: ReadonlyArray<readonly [number, Mode]>
  readonly dependencies: ReadonlyArray<readonly [number, Mode]>
}

/**
 * One operation. Loads and fences go by the operation that began them, so that
 * any other operation can be taken out of a sequence.
 */
type Operation =
  | { readonly _tag: "Read"; readonly by: number; readonly key: number }
  | {
    readonly _tag: "Begin"
    readonly id: number
    readonly by: number
    readonly key: number
    readonly seen: boolean
    readonly drop: boolean
    readonly force: boolean
    readonly leaseFor: number
  }
  | { readonly _tag: "Repeat"; readonly load: number }
  | {
    readonly _tag: "Commit"
    readonly load: number
    readonly found: ReadonlyArray<number>
    readonly fatal: ReadonlyArray<number>
    readonly late: boolean
  }
  | { readonly _tag: "Discard"; readonly load: number; readonly found: ReadonlyArray<number> | undefined }
  | { readonly _tag: "Abandon"; readonly load: number; readonly stranger: boolean }
  | ({ readonly _tag: "Invalidate" } & Names)
  | { readonly _tag: "Sweep"; readonly pattern: number; readonly mode: Mode }
  | (
    & { readonly _tag: "Fence"; readonly id: number; readonly pattern: number | undefined; readonly length: number }
    & Names
  )
  | { readonly _tag: "Lift"; readonly fence: number }
  | { readonly _tag: "Advance"; readonly millis: number }
  | { readonly _tag: "Lose"; readonly what: Losable; readonly key: number }

const keyParts: ReadonlyArray<ReadonlyArray<string>> = [["a", "1"], ["a", "2"], ["b", "1"]]
const patternParts: ReadonlyArray<ReadonlyArray<string | undefined>> = [["a", undefined], [undefined, "1"]]
const tagNames: ReadonlyArray<string> = ["w", "x", "y", "z"]
/** The dependencies that each key tells. */
const knownOf: ReadonlyArray<ReadonlyArray<number>> = [[], [0], [0, 1]]

/** Draws operations. Times are such that nothing ends at the very moment of an operation. */
class Draw {
  readonly random: typeof Random.Random["Service"]
  readonly instruments: Instruments<never>
  private begun = 0
  private fenced = 0

  constructor(random: typeof Random.Random["Service"], instruments: Instruments<never>) {
    this.random = random
    this.instruments = instruments
  }

  below(limit: number): number {
    return Math.floor(this.random.nextDoubleUnsafe() * limit)
  }

  chance(probability: number): boolean {
    return this.random.nextDoubleUnsafe() < probability
  }

  some(limit: number, probability: number): ReadonlyArray<number> {
    return Array.from({ length: limit }, (_, i) => i).filter(() => this.chance(probability))
  }

  mode(): Mode {
    return this.chance(0.35) ? "soft" : "hard"
  }

  /** One of the last few, since old ones have usually ended. */
  recent(count: number): number {
    return count - 1 - this.below(Math.min(count, 4))
  }

  time(): number {
    return this.instruments.advance === undefined ? long : 100 + 200 * this.below(8)
  }

  names(): Names {
    const modes = (all: ReadonlyArray<number>) => all.map((i) => [i, this.mode()] as const)
    const keys = modes(this.some(keyParts.length, 0.2))
    const dependencies = modes(this.some(tagNames.length, 0.3))
    return keys.length + dependencies.length > 0
      ? { keys, dependencies }
      : { keys, dependencies: [[this.below(4), "hard"]] }
  }

  lose(): Operation | undefined {
    const all = losses(this.instruments.lose ?? {})
    return all.length === 0
      ? undefined
      : { _tag: "Lose", what: all[this.below(all.length)]![0], key: this.below(keyParts.length) }
  }

  operation(): Operation {
    const by = this.below(3)
    const key = this.below(keyParts.length)
    const at = this.below(100)
    if (at < 22) return { _tag: "Read", by, key }
    if (at < 44 || this.begun === 0) {
      const [seen, drop, force] = [this.chance(0.6), this.chance(0.3), this.chance(0.15)]
      return { _tag: "Begin", id: this.begun++, by, key, seen, drop, force, leaseFor: this.time() }
    }
    if (at < 64) {
      const [found, fatal] = [this.some(tagNames.length, 0.35), this.some(tagNames.length, 0.3)]
      return { _tag: "Commit", load: this.recent(this.begun), found, fatal, late: this.chance(0.05) }
    }
    if (at < 68) {
      const found = this.chance(0.3) ? undefined : this.some(tagNames.length, 0.35)
      return { _tag: "Discard", load: this.recent(this.begun), found }
    }
    if (at < 69) return { _tag: "Abandon", load: this.recent(this.begun), stranger: this.chance(0.4) }
    if (at < 71) return { _tag: "Repeat", load: this.recent(this.begun) }
    if (at < 79) return { _tag: "Invalidate", ...this.names() }
    if (at < 82) return { _tag: "Sweep", pattern: this.below(patternParts.length), mode: this.mode() }
    if (at < 87) {
      const pattern = this.chance(0.2) ? this.below(patternParts.length) : undefined
      return { _tag: "Fence", id: this.fenced++, ...this.names(), pattern, length: this.time() }
    }
    if (at < 92 && this.fenced > 0) return { _tag: "Lift", fence: this.recent(this.fenced) }
    if (at < 96 && this.instruments.advance !== undefined) return { _tag: "Advance", millis: 200 * (1 + this.below(5)) }
    return this.lose() ?? { _tag: "Read", by, key }
  }
}

/** A load of the model. */
interface Flight {
  readonly id: number
  readonly key: number
  readonly loading: Loading
  readonly until: number
  /** How much had happened when it began. */
  readonly since: number
  /** The fences that stood then. */
  readonly fences: ReadonlyArray<OpenFence>
  payload: unknown
  stamp: Stamp | undefined
  /** The token of its entry, once it was seen. */
  entry: CacheStore.Token | undefined
}

interface OpenFence {
  readonly id: number
  readonly fence: CacheStore.Fence
  readonly until: number
}

/** What happened. All that the model knows follows from the list of these. */
type Fact =
  | { readonly _tag: "began"; readonly flight: Flight }
  | { readonly _tag: "ended"; readonly flight: Flight }
  | { readonly _tag: "stored"; readonly flight: Flight; readonly fatal: ReadonlySet<Dependency.Dependency> }
  | { readonly _tag: "voided"; readonly key: number }
  | { readonly _tag: "gone"; readonly key: number }
  | { readonly _tag: "softened"; readonly key: number }
  | { readonly _tag: "touched"; readonly dependency: Dependency.Dependency; readonly mode: Mode }
  /** A mark for which the model knows no reason but a loss. */
  | { readonly _tag: "marked"; readonly key: number; readonly dependency: Dependency.Dependency; readonly mode: Mode }
  | { readonly _tag: "fenced"; readonly open: OpenFence }
  | { readonly _tag: "lifted"; readonly id: number; readonly stood: boolean }
  | { readonly _tag: "forgot" }

/** What the model knows of a stored entry. */
interface Known {
  readonly flight: Flight
  readonly marks: ReadonlyMap<Dependency.Dependency, Mode>
  readonly softened: boolean
  /** Whether a store may have removed it at once: nothing of it could be served. */
  readonly mayBeGone: boolean
}

const sameMarks = (a: ReadonlyMap<unknown, Mode>, b: ReadonlyMap<unknown, Mode>): boolean =>
  a.size === b.size && [...a].every(([key, value]) => b.get(key) === value)

/** A store as a list of what happened; naive on purpose. */
class Model {
  readonly facts: Array<Fact> = []

  tell(...facts: ReadonlyArray<Fact>): void {
    this.facts.push(...facts)
  }

  /** The load whose lease is the key's, though its time may be over. */
  holder(key: number): Flight | undefined {
    let holder: Flight | undefined
    for (const fact of this.facts) {
      if (fact._tag === "began" && fact.flight.key === key) holder = fact.flight
      if (fact._tag === "ended" && fact.flight === holder) holder = undefined
      if (fact._tag === "voided" && fact.key === key) holder = undefined
    }
    return holder
  }

  entry(key: number): Known | undefined {
    let stored: { readonly flight: Flight; readonly fatal: ReadonlySet<Dependency.Dependency> } | undefined
    let marks = new Map<Dependency.Dependency, Mode>()
    let [softened, mayBeGone] = [false, false]
    const mark = (dependency: Dependency.Dependency, mode: Mode) => {
      marks.set(dependency, stronger(marks.get(dependency), mode)!)
      if (mode === "hard" && stored?.fatal.has(dependency)) mayBeGone = true
    }
    for (const fact of this.facts) {
      if (fact._tag === "stored" && fact.flight.key === key) {
        stored = fact
        marks = new Map()
        softened = mayBeGone = false
      }
      if (stored === undefined) continue
      if (fact._tag === "gone" && fact.key === key) stored = undefined
      if (fact._tag === "softened" && fact.key === key) softened = true
      if (fact._tag === "marked" && fact.key === key) mark(fact.dependency, fact.mode)
      if (fact._tag === "touched" && stored?.flight.stamp!.dependencies.includes(fact.dependency)) {
        mark(fact.dependency, fact.mode)
      }
    }
    return stored && { flight: stored.flight, marks, softened, mayBeGone }
  }

  /** Whether one of these was invalidated since, or any if they are not known. */
  touchedSince(since: number, dependencies: ReadonlyArray<Dependency.Dependency> | undefined): boolean {
    return this.facts.slice(since).some((fact) =>
      fact._tag === "touched" && (dependencies?.includes(fact.dependency) ?? true)
    )
  }

  /** Whether nothing happened since then that may void a load. */
  unmovedSince({ fences, since }: Flight, now: number): boolean {
    const standing = this.standing(now)
    return !this.touchedSince(since, undefined) && fences.length === standing.length &&
      fences.every((open) => standing.includes(open)) && !this.facts.slice(since).some(({ _tag }) => _tag === "forgot")
  }

  stands({ id, until }: OpenFence, now: number): boolean {
    return now < until && !this.facts.some((fact) => fact._tag === "lifted" && fact.id === id)
  }

  /** Whether a load that began after so much may not have seen the fence, since the store lost it with its journal. */
  mayBeUnseen(open: OpenFence, since: number): boolean {
    const at = this.facts.findIndex((fact) => fact._tag === "fenced" && fact.open === open)
    return this.facts.slice(at, since).some(({ _tag }) => _tag === "forgot") &&
      !this.facts.some((fact) => fact._tag === "lifted" && fact.id === open.id && fact.stood)
  }

  fence(id: number): OpenFence | undefined {
    for (const fact of this.facts) if (fact._tag === "fenced" && fact.open.id === id) return fact.open
    return undefined
  }

  standing(now: number): ReadonlyArray<OpenFence> {
    return this.facts.flatMap((fact) => fact._tag === "fenced" && this.stands(fact.open, now) ? [fact.open] : [])
  }
}

/** One sequence of operations, played on the store and on the model at once. */
class Play {
  readonly scene: Scene
  readonly instruments: Instruments<never>
  /** Whether the store may miss and refuse more than the model. */
  readonly lenient: boolean
  readonly model = new Model()
  readonly log: Array<string> = []
  private readonly flights = new Map<number, Flight>()
  /** What each process saw last of each key. */
  private readonly seen = new Map<string, { readonly flight: Flight; readonly token: CacheStore.Token }>()
  /** Under which something was stored, so that they must own up to having been lost. */
  private readonly pierced = new Set<OpenFence>()

  constructor(scene: Scene, instruments: Instruments<never>, exact: boolean) {
    this.scene = scene
    this.instruments = instruments
    this.lenient = !exact
  }

  address(key: number): CacheStore.Address {
    return this.scene.at(keyParts[key]!, ...knownOf[key]!.map((i) => this.tag(i)))
  }

  tag(i: number): Dependency.Dependency {
    return this.scene.tag(tagNames[i]!)
  }

  pattern(i: number): Key.Pattern {
    return this.scene.pattern(...patternParts[i]!)
  }

  batch({ dependencies, keys }: Names): Invalidation.Invalidation {
    return Invalidation.combineAll([
      ...keys.map(([i, mode]) => Invalidation.withMode(Invalidation.keys(this.address(i).key), mode)),
      ...dependencies.map(([i, mode]) => Invalidation.withMode(Invalidation.dependencies(this.tag(i)), mode))
    ])
  }

  /** Plays one operation, and fails if the store's answer is none that the model allows. */
  play(operation: Operation): Step<void> {
    return Effect.flatMap(this.scene.now, (now) => {
      const line = this.log.length
      this.log.push(describe(operation))
      const note = (answer: string) => {
        this.log[line] += ` => ${answer}`
      }
      switch (operation._tag) {
        case "Read":
          return this.read(operation, note)
        case "Begin":
          return this.begin(operation, now, note)
        case "Repeat":
          return this.repeat(operation, now, note)
        case "Commit":
          return this.commit(operation, now, note)
        case "Discard":
          return this.discard(operation, now, note)
        case "Abandon":
          return this.abandon(operation)
        case "Invalidate":
          return Effect.map(this.scene.invalidate(this.batch(operation)), () => this.touch(operation))
        case "Sweep":
          return Effect.map(
            this.scene.sweep(this.pattern(operation.pattern), operation.mode),
            () => this.touchPattern(operation.pattern, operation.mode)
          )
        case "Fence":
          return this.fence(operation, now)
        case "Lift":
          return this.lift(operation, now, note)
        case "Advance":
          return Effect.asVoid(this.instruments.advance?.(operation.millis) ?? Effect.void)
        case "Lose":
          return this.lose(operation)
      }
    })
  }

  private touchKey(key: number, mode: Mode): void {
    this.model.tell({ _tag: "voided", key }, mode === "hard" ? { _tag: "gone", key } : { _tag: "softened", key })
  }

  private touch({ dependencies, keys }: Names): void {
    for (const [key, mode] of keys) this.touchKey(key, mode)
    for (const [i, mode] of dependencies) this.model.tell({ _tag: "touched", dependency: this.tag(i), mode })
  }

  private touchPattern(pattern: number, mode: Mode): void {
    for (const key of keyParts.keys()) {
      if (Key.matches(this.pattern(pattern), this.address(key).key)) this.touchKey(key, mode)
    }
  }

  // ----- entries

  /** Compares an entry that the store gave with the one that is known. */
  private compare(key: number, by: number, actual: CacheStore.Entry, known: Known | undefined): Step<void> {
    if (known === undefined || !same(known.flight.payload, actual.payload)) {
      const refused = this.leftover(key, actual)
      if (refused === undefined) {
        return broken(
          `there should be ${known === undefined ? "nothing" : show(known.flight.payload)}, and is ${showEntry(actual)}`
        )
      }
      known = refused
    }
    const { flight, marks, softened } = known
    const actualMarks = actual.changed ?? new Map()
    const weaker = [...marks].filter(([name, mode]) =>
      mode === "hard" ? actualMarks.get(name) !== "hard" : !actualMarks.has(name)
    )
    const wrong = !same(flight.stamp, actual.stamp)
      ? `the stamp should be ${show(flight.stamp)}, and is ${show(actual.stamp)}`
      : flight.entry !== undefined && flight.entry !== actual.token
      ? `its token was ${flight.entry}, and is ${actual.token}`
      : this.isOthers(flight, actual.token)
      ? `its token is that of another entry`
      : weaker.length > 0
      ? `it should be marked${weaker.map(([name, mode]) => ` ${mode} ${Dependency.format(name)}`).join(",")}`
      : softened && !actual.softened
      ? "it should be softened"
      : !this.lenient && (!sameMarks(marks, actualMarks) || softened !== actual.softened)
      ? "it is marked without a reason"
      : undefined
    if (wrong !== undefined) return broken(`${wrong}: ${showEntry(actual)}`)
    flight.entry = actual.token
    this.seen.set(`${by} ${key}`, { flight, token: actual.token })
    // What is found dead must stay so.
    for (const [dependency, mode] of actualMarks) this.model.tell({ _tag: "marked", key, dependency, mode })
    if (actual.softened && !softened) this.model.tell({ _tag: "softened", key })
    return Effect.void
  }

  private isOthers(flight: Flight, token: CacheStore.Token): boolean {
    return [...this.flights.values()].some((other) => other !== flight && other.entry === token)
  }

  /** Where steps come apart, a load that is refused may have stored an entry that is dead from the start. */
  private leftover(key: number, actual: CacheStore.Entry): Known | undefined {
    const flight = [...this.flights.values()].find((one) => one.key === key && same(one.payload, actual.payload))
    if (flight === undefined || !isMarked(actual)) return undefined
    const since = this.model.facts.slice(flight.since)
    if (since.some((fact) => fact._tag === "stored" && fact.flight === flight)) return undefined
    const marks = since.flatMap((fact): ReadonlyArray<Fact> => {
      if (fact._tag === "softened" && fact.key === key) return [fact]
      const touched = fact._tag === "touched" && flight.stamp!.dependencies.includes(fact.dependency)
      return touched ? [{ ...fact, _tag: "marked", key }] : []
    })
    if (marks.length === 0 && !this.lenient) return undefined
    this.model.tell({ _tag: "stored", flight, fatal: new Set() }, ...marks)
    return this.model.entry(key)
  }

  private read({ by, key }: Extract<Operation, { _tag: "Read" }>, note: (answer: string) => void): Step<void> {
    return Effect.flatMap(this.scene.read(this.address(key)), (actual) => {
      note(showEntry(actual))
      const known = this.model.entry(key)
      if (actual !== undefined) return this.compare(key, by, actual, known)
      if (known !== undefined && !known.mayBeGone && !this.lenient) {
        return broken(`there should be ${show(known.flight.payload)}, and is nothing`)
      }
      this.model.tell({ _tag: "gone", key })
      return Effect.void
    })
  }

  // ----- loads

  private begin(
    operation: Extract<Operation, { _tag: "Begin" }>,
    now: number,
    note: (answer: string) => void
  ): Step<void> {
    const { by, drop, force, key, leaseFor } = operation
    const address = this.address(key)
    const seen = operation.seen ? this.seen.get(`${by} ${key}`) : undefined
    return Effect.flatMap(this.scene.begin(address, { seen: seen?.token, drop, force, leaseFor }), (begun) => {
      note(begun._tag === "Found" ? `Found ${showEntry(begun.entry)}` : begun._tag)
      const known = this.model.entry(key)
      const unseen = known !== undefined && !force && known.flight !== seen?.flight
      if (begun._tag === "Found") {
        if (force || begun.entry.token === seen?.token) return broken("begin should not have looked at the entry")
        return this.compare(key, by, begun.entry, known)
      }
      if (unseen && !known.mayBeGone && !this.lenient) {
        return broken(`begin should have found ${show(known.flight.payload)}`)
      }
      if (unseen || (known !== undefined && drop)) this.model.tell({ _tag: "gone", key })
      return this.granted(begun, address, operation, now)
    })
  }

  private granted(
    begun: Exclude<CacheStore.Begun, { _tag: "Found" }>,
    address: CacheStore.Address,
    { force, id, key, leaseFor }: Extract<Operation, { _tag: "Begin" }>,
    now: number
  ): Step<void> {
    const holder = this.model.holder(key)
    const held = holder !== undefined && now < holder.until && !force
    if (begun._tag === "Busy") {
      if (!held) return broken("begin should have given the lease")
      const { loading: { lease } } = holder
      if (begun.token !== lease.token) return broken("begin should have named another lease")
      return expect(
        begun.position === undefined || begun.position !== lease.position || this.model.unmovedSince(holder, now),
        () => "something happened since the load began, and the position is the same"
      )
    }
    // A load that is doomed need not be waited for.
    const doomed = holder !== undefined && this.model.touchedSince(holder.since, address.known)
    if (held && !doomed && !this.lenient) return broken(`begin should have said that load ${holder.id} has the lease`)
    if (holder !== undefined) this.model.tell({ _tag: "ended", flight: holder })
    const flight: Flight = {
      id,
      key,
      loading: { address, lease: begun.lease },
      until: now + leaseFor,
      since: this.model.facts.length,
      fences: this.model.standing(now),
      payload: undefined,
      stamp: undefined,
      entry: undefined
    }
    this.flights.set(id, flight)
    this.model.tell({ _tag: "began", flight })
    return Effect.void
  }

  /** Asks again for a lease that one has, as one does who got no answer. */
  private repeat(
    { load }: Extract<Operation, { _tag: "Repeat" }>,
    now: number,
    note: (answer: string) => void
  ): Step<void> {
    const flight = this.flights.get(load)
    if (flight === undefined || this.model.holder(flight.key) !== flight || now >= flight.until) return Effect.void
    const { address, lease: { token } } = flight.loading
    return Effect.flatMap(this.scene.begin(address, { token, force: true, leaseFor: flight.until - now }), (begun) => {
      note(begun._tag)
      return expect(
        begun._tag === "Leased" && begun.lease.token === token,
        () => "begin should have given the lease again"
      )
    })
  }

  private commit(
    operation: Extract<Operation, { _tag: "Commit" }>,
    now: number,
    note: (answer: string) => void
  ): Step<void> {
    const flight = this.flights.get(operation.load)
    if (flight === undefined) return Effect.void
    const draft = this.scene.draft(flight.loading, now, {
      found: operation.found.map((i) => this.tag(i)),
      fatal: operation.fatal.map((i) => this.tag(i)),
      ...(operation.late ? { expiresAt: now - 1000 } : {})
    })
    // A second commit of a load must be refused, so what it would have stored does not matter.
    if (flight.stamp === undefined) Object.assign(flight, { payload: draft.payload, stamp: draft.stamp })
    return Effect.flatMap(this.scene.commitDraft(flight.loading, draft), (outcome) => {
      note(`${outcome} (${show(draft.payload)})`)
      const allowed = this.outcomes(flight, draft.stamp.dependencies, draft.expiresAt, now)
      if (!allowed.includes(outcome)) return broken(`commit should have answered ${allowed.join(" or ")}`)
      const over = this.fencesOver(flight, draft.stamp.dependencies)
      this.model.tell({ _tag: "ended", flight })
      if (outcome === "stored") {
        for (const open of over) this.pierced.add(open)
        this.model.tell({ _tag: "stored", flight, fatal: draft.fatal })
      }
      if (outcome === "unstored") this.model.tell({ _tag: "gone", key: flight.key })
      return Effect.void
    })
  }

  private fencesOver(
    { fences, loading }: Flight,
    dependencies: ReadonlyArray<Dependency.Dependency> | undefined
  ): ReadonlyArray<OpenFence> {
    return dependencies === undefined
      ? fences
      : fences.filter(({ fence }) => Invalidation.covers(fence.over, loading.address.key, dependencies))
  }

  /** What a store may answer to a commit; or, of what never expires, to one of which nothing is stored. */
  private outcomes(
    flight: Flight,
    dependencies: ReadonlyArray<Dependency.Dependency> | undefined,
    expiresAt: number,
    now: number
  ): ReadonlyArray<CacheStore.Outcome> {
    const { model } = this
    const touched = model.touchedSince(flight.since, dependencies)
    const over = this.fencesOver(flight, dependencies)
    const seen = over.filter((open) => !model.mayBeUnseen(open, flight.since))
    const stand = (fences: ReadonlyArray<OpenFence>) => fences.every((open) => model.stands(open, now))
    if (model.holder(flight.key) !== flight) return touched || !stand(over) ? ["lost", "invalidated"] : ["lost"]
    const more: Array<CacheStore.Outcome> = this.lenient
      ? ["lost", "invalidated"]
      // Nobody has taken the lease, and the store may have let it go.
      : now >= flight.until
      ? ["lost"]
      : []
    if (touched) return ["invalidated", ...more]
    if (over.length > 0 && stand(seen)) more.push("fenced")
    if (over.length > 0 && !stand(over)) more.push("invalidated")
    if (seen.length > 0) return more
    return expiresAt <= now
      ? ["unstored", ...more]
      : this.lenient
      ? ["stored", "unstored", ...more]
      : ["stored", ...more]
  }

  private discard(
    { found, load }: Extract<Operation, { _tag: "Discard" }>,
    now: number,
    note: (answer: string) => void
  ): Step<void> {
    const flight = this.flights.get(load)
    if (flight === undefined) return Effect.void
    const { address, lease } = flight.loading
    const dependencies = found && [...new Set([...address.known, ...found.map((i) => this.tag(i))])]
    return Effect.flatMap(this.scene.store.discard(address, lease, dependencies), (outcome) => {
      note(outcome)
      // What others invalidate counts as well where the dependencies are not known.
      const allowed = [
        ...this.outcomes(flight, dependencies, -Infinity, now),
        ...(dependencies === undefined ? ["invalidated" as const] : [])
      ]
      this.model.tell({ _tag: "ended", flight })
      return expect(
        outcome !== "stored" && allowed.includes(outcome),
        () => `discard should have answered ${allowed.join(" or ")}`
      )
    })
  }

  private abandon({ load, stranger }: Extract<Operation, { _tag: "Abandon" }>): Step<void> {
    const flight = this.flights.get(load)
    if (flight === undefined) return Effect.void
    const { address, lease } = flight.loading
    const token = stranger ? this.scene.service.token() : lease.token
    return Effect.map(this.scene.store.abandon(address, token), () => {
      if (!stranger) this.model.tell({ _tag: "ended", flight })
    })
  }

  // ----- fences

  private fence(operation: Extract<Operation, { _tag: "Fence" }>, now: number): Step<void> {
    const over = operation.pattern === undefined
      ? this.batch(operation)
      : Invalidation.combine(this.batch(operation), Invalidation.pattern(this.pattern(operation.pattern)))
    return Effect.map(this.scene.fence(over, operation.length), (fence) => {
      this.model.tell({ _tag: "fenced", open: { id: operation.id, fence, until: now + operation.length } })
      this.touch(operation)
      if (operation.pattern !== undefined) this.touchPattern(operation.pattern, "hard")
    })
  }

  private lift(
    { fence: id }: Extract<Operation, { _tag: "Lift" }>,
    now: number,
    note: (answer: string) => void
  ): Step<void> {
    const open = this.model.fence(id)
    if (open === undefined) return Effect.void
    return Effect.flatMap(this.scene.lift(open.fence), (stood) => {
      note(String(stood))
      const stands = this.model.stands(open, now)
      this.model.tell({ _tag: "lifted", id, stood })
      if (stood && !stands) return broken("the fence did not stand, and lifting it said that it did")
      if (stood && this.pierced.has(open)) {
        return broken("something was stored under the fence, and lifting it said that it stood")
      }
      return expect(stood || !stands || this.lenient, () => "the fence stood, and lifting it said that it did not")
    })
  }

  private lose({ key, what }: Extract<Operation, { _tag: "Lose" }>): Step<void> {
    const way = this.instruments.lose?.[what]
    if (way === undefined) return Effect.void
    const address = this.address(key)
    return Effect.map(way(address.key, tagNames.map((_, i) => this.tag(i))), () => {
      if (what === "entry") this.model.tell({ _tag: "gone", key })
      if (what === "lease") this.model.tell({ _tag: "voided", key })
      if (what === "journal") this.model.tell({ _tag: "forgot" })
    })
  }
}

const describeNames = ({ dependencies, keys }: Names): string =>
  [
    ...keys.map(([i, mode]) => `${keyParts[i]!.join(":")} (${mode})`),
    ...dependencies.map(([i, mode]) => `${tagNames[i]} (${mode})`)
  ].join(", ")

const describePattern = (pattern: number | undefined): string =>
  pattern === undefined ? "" : patternParts[pattern]!.map((one) => one ?? "*").join(":")

const flags = (all: Record<string, boolean>): string =>
  Object.keys(all).filter((name) => all[name]).map((name) => `, ${name}`).join("")

const tags = (all: ReadonlyArray<number>): string => `[${all.map((i) => tagNames[i]).join(" ")}]`

/** An operation for people: `load 3: process 1 begins a:1, by force`. */
const describe = (operation: Operation): string => {
  switch (operation._tag) {
    case "Read":
      return `process ${operation.by} reads ${keyParts[operation.key]!.join(":")}`
    case "Begin": {
      const { by, drop, force, id, key, leaseFor, seen } = operation
      const known = tags(knownOf[key]!)
      return `load ${id}: process ${by} begins ${keyParts[key]!.join(":")} ${known} for ${leaseFor} ms` + flags({
        "over what it saw": seen,
        drop,
        "by force": force
      })
    }
    case "Repeat":
      return `load ${operation.load} asks for its lease again`
    case "Commit":
      return `load ${operation.load} commits, found ${tags(operation.found)}, fatal ${tags(operation.fatal)}` +
        flags({ late: operation.late })
    case "Discard":
      return `load ${operation.load} stores nothing, found ${
        operation.found ? tags(operation.found) : "what is unknown"
      }`
    case "Abandon":
      return `${
        operation.stranger ? "a stranger" : `load ${operation.load}`
      } abandons the lease of load ${operation.load}`
    case "Invalidate":
      return `invalidate ${describeNames(operation)}`
    case "Sweep":
      return `sweep ${describePattern(operation.pattern)} (${operation.mode})`
    case "Fence":
      return `fence ${operation.id} over ${describeNames(operation)} ${
        describePattern(operation.pattern)
      } for ${operation.length} ms`
    case "Lift":
      return `lift fence ${operation.fence}`
    case "Advance":
      return `${operation.millis} ms pass`
    case "Lose":
      return operation.what === "entry" || operation.what === "lease"
        ? `the ${operation.what} of ${keyParts[operation.key]!.join(":")} is lost`
        : `the ${operation.what} of the store is lost`
  }
}

/** How a sequence of operations went wrong, and what happened until then. */
interface Failure {
  readonly message: string
  readonly played: ReadonlyArray<Operation>
  readonly log: ReadonlyArray<string>
}

const playAll = (play: Play, operations: ReadonlyArray<Operation>): Effect.Effect<Failure | undefined> =>
  Effect.gen(function*() {
    for (const [i, operation] of operations.entries()) {
      const result = yield* Effect.result(play.play(operation))
      if (Result.isSuccess(result)) continue
      // The same words each time, whatever names the run was given.
      const plain = (text: string) => text.replaceAll(`tag ${play.scene.space} `, "")
      return { message: plain(result.failure.message), played: operations.slice(0, i + 1), log: play.log.map(plain) }
    }
    return undefined
  })

/** Takes out operations, many at once and then fewer, as long as what is left still fails. */
const shrink = Effect.fnUntraced(function*(
  failure: Failure,
  attempt: (operations: ReadonlyArray<Operation>) => Effect.Effect<Failure | undefined>
) {
  let least = failure
  for (let size = Math.ceil(least.played.length / 2); size > 0; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let start = 0; start < least.played.length;) {
      const fewer = yield* attempt(least.played.toSpliced(start, size))
      if (fewer === undefined) start += size
      else least = fewer
    }
  }
  return least
})

const randomDraft = <R>(name: string, guarantee: Guarantee, options: RandomOptions<R>): Draft<R> => {
  const { exact = true, runs = 40, seed = 1, steps = 40 } = options
  // What the instruments need is there whenever the law runs.
  const instruments = (options.instruments ?? {}) as Instruments<never>
  const strict = exact && losses(instruments.lose ?? {}).length === 0
  return {
    name,
    guarantee,
    alone: instruments.advance !== undefined || instruments.lose?.journal !== undefined ||
      instruments.lose?.markers !== undefined,
    run: (scene, fresh) => {
      const attempt = (operations: ReadonlyArray<Operation>) =>
        Effect.suspend(() => {
          const stage = new Scene(scene.service, fresh())
          return Effect.ensuring(playAll(new Play(stage, instruments, strict), operations), stage.leave)
        })
      return Effect.gen(function*() {
        for (let run = seed; run < seed + runs; run++) {
          const random = yield* Random.withSeed(Effect.map(Random.Random, (random) => random), run)
          const draw = new Draw(random, instruments)
          const failure = yield* attempt(Array.from({ length: steps }, () => draw.operation()))
          if (failure === undefined) continue
          const { log, message } = yield* shrink(failure, attempt)
          return yield* new Broken({ message, seed: run, operations: log })
        }
      })
    }
  }
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

const agreement = "random operations: the store answers as the model does"

const disturbed = "random operations: losing things costs loads and nothing else"

/**
 * Random operations of three processes on three keys with four dependencies,
 * compared with a small model: reads, loads that overlap, hard and soft
 * invalidations, fences, and as far as there are instruments for it, time that
 * passes and things that are lost.
 *
 * The store must answer exactly as the model does. When things are lost, or with
 * `exact: false`, it may miss and refuse more, and never less; and what it has
 * once not served it must not serve again.
 *
 * **Example** (A longer search)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { MemoryCache } from "effect-cache-algebra"
 * import * as Contract from "effect-cache-algebra/Contract"
 *
 * const law = Contract.random({ runs: 20, steps: 100, seed: 7 })
 * const program = Contract.violations([law]).pipe(Effect.provide(MemoryCache.layer({ capacity: 1000 })))
 * await Effect.runPromise(program) // => []
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const random = <R = never>(options: RandomOptions<R> = {}): Law<R> => {
  const losing = losses(options.instruments?.lose ?? {}).length > 0
  const draft = losing ? randomDraft(disturbed, "G9", options) : randomDraft(agreement, "G1", options)
  return settle([draft], options.prefix)[0]!
}

/**
 * All laws, with those that need the instruments that are given. The last ones
 * are those of `random`.
 *
 * **Example** (Laws that move the clock)
 *
 * ```ts
 * import * as Contract from "effect-cache-algebra/Contract"
 * import * as TestCache from "effect-cache-algebra/TestCache"
 * import { Effect } from "effect"
 * import { TestClock } from "effect/testing"
 *
 * const laws = Contract.make({
 *   instruments: {
 *     advance: (millis) => TestClock.adjust(millis),
 *     lose: { entry: (key) => TestCache.evict("entry", key) }
 *   },
 *   runs: 5
 * })
 * const program = Contract.violations(laws).pipe(
 *   Effect.provide(TestCache.layer()),
 *   Effect.provide(TestClock.layer())
 * )
 * await Effect.runPromise(program) // => []
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <R = never>(options: Options<R> = {}): ReadonlyArray<Law<R>> => {
  const { advance, lose = {} } = options.instruments ?? {}
  const waiting: Waiting<R> = { advance, patience: options.patience ?? 5000 }
  const undisturbed = { ...options, instruments: advance === undefined ? {} : { advance } }
  const drafts: ReadonlyArray<Draft<R>> = [
    ...entryLaws,
    ...leaseLaws,
    releaseLaw(waiting),
    ...targetLaws,
    ...invalidationLaws,
    toldLaw(waiting),
    ...fenceLaws,
    ...nestedLaws,
    interruptedLaw(waiting),
    ...(advance === undefined ? [] : clockLaws(advance)),
    ...lossLaws(lose),
    ...(lose.lease === undefined ? [] : [leaseLossLaw(lose.lease)]),
    ...(lose.journal === undefined ? [] : nestedLossLaws(lose.journal)),
    randomDraft(agreement, "G1", undisturbed),
    ...(losses(lose).length === 0 ? [] : [randomDraft(disturbed, "G9", options)])
  ]
  return settle(drafts, options.prefix)
}

/**
 * The laws that need nothing but the store.
 *
 * @category laws
 * @since 0.1.0
 */
export const laws: ReadonlyArray<Law> = make()

/**
 * Checks laws one after another, and gives what was broken.
 *
 * @category checking
 * @since 0.1.0
 */
export const violations = <R>(
  laws: ReadonlyArray<Law<R>>
): Effect.Effect<ReadonlyArray<ContractViolation>, never, CacheService.CacheService | R> =>
  Effect.map(
    Effect.forEach(laws, ({ check }) => Effect.result(check)),
    (results) => results.flatMap((result) => Result.isFailure(result) ? [result.failure] : [])
  )
