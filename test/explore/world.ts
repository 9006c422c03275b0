/**
 * The world of a case: two processes on one store, an origin with a version that
 * only grows, and a history of what readers got and what invalidations returned.
 *
 * The interpreter and the store are the real ones. Around every operation of
 * the store stands a gate; `begin` and `commit` have a second one, since their
 * answers travel while the store goes on.
 */
import { Cause, Context, Effect, Exit, Option, Result, Schema, Scope } from "effect"
import type { CacheStore } from "../../src/index.ts"
import { Cached, CacheService, Invalidation, Key, MemoryCache, Policy } from "../../src/index.ts"
import { inside } from "../../src/internal/service/model.ts"
import { makeMarkerStore, type Mistake } from "../support/markerStore.ts"
import { type Access, Actor, Machine } from "./machine.ts"

/** A row of the origin: its version, and the tag that is found in it. */
const Row = Schema.Struct({ v: Schema.Int, tag: Schema.String })
type Row = typeof Row.Type

/** There is no row yet. It tells of which version of the origin that is said. */
class Missing extends Schema.TaggedError<Missing>()("Missing", { v: Schema.Int }) {}

export interface ReadEvent {
  readonly _tag: "Read"
  readonly who: string
  /** How many events there were when the read began. */
  readonly start: number
  readonly began: number
  readonly v: number
  readonly soft: boolean
}
export type HistoryEvent =
  | ReadEvent
  /** Whoever begins to read from here on must see `v` or newer. */
  | { readonly _tag: "Done"; readonly who: string; readonly v: number; readonly soft: boolean }
  /** A writer died; whoever begins to read after `end` must see `v` or newer. */
  | { readonly _tag: "Crashed"; readonly who: string; readonly v: number; readonly end: number }

/** What the entry depends on: nothing but its key, a tag that the key tells, or one found in the value. */
export type Dependence = "key" | "known" | "found"

export interface Settings {
  readonly by: Dependence
  /** How many things are made of the row, each of the one before (none unless given). */
  readonly depth?: 0 | 1 | 2
  /** Whether an invalidation takes several steps, between which others may go on. */
  readonly steps?: boolean
  /** A soft one leaves what it covers to be served as stale. */
  readonly soft?: boolean
  /** Whether what is made of the row has a tag of its own. */
  readonly tags?: 1 | 2
  /** Whether there is no row before the first write: loads fail. */
  readonly missing?: boolean
  /** Whether no commit is answered. Not every store has that. */
  readonly unanswered?: boolean
  /** Whether a page shows that there is no row, instead of failing. */
  readonly catches?: boolean
  /** Milliseconds per step; 0 where time plays no part. */
  readonly tick?: number
  readonly fence?: number
}

/** What can be lost. Not every store has each. */
export type Losable = "entry" | "lease" | "journal" | "marker" | "fences"

/** The store, or the stores, of a world, and what is done to them from outside. */
export interface Ground {
  /** What each process reaches the store by. Two processes in one memory share theirs. */
  readonly stores: readonly [CacheStore.CacheStore, CacheStore.CacheStore]
  /** Whether the gates stand before the operations of a store, or further down, where it sends its commands. */
  readonly gates: "operations" | "commands"
  /** How the world's definition is called, so that a store can tell one world's keys from another's. */
  readonly definition: string
  readonly lose: (what: Losable) => Effect.Effect<void>
  /** How many leases are held. */
  readonly leases: () => number | Promise<number>
  /** Given by a store that does not answer at once: waits until nothing moves any more. */
  readonly quiet: (() => Promise<void>) | undefined
}

/** Turns the good store into one with a deliberate mistake. One store for both processes. */
export type Bug = (store: MemoryCache.MemoryStore, world: World) => CacheStore.CacheStore

export interface Process {
  readonly name: string
  readonly service: CacheService.CacheService
}

/** What a process remembers of what it read, in a store that does. */
export const memoryOf = (process: string): string => `${process} memory`

const processNames = ["P1", "P2"]

const inNewScope = <A>(effect: Effect.Effect<A, never, Scope.Scope>): A =>
  Effect.runSync(Scope.provide(effect, Effect.runSync(Scope.make())))

export class World {
  readonly settings: Settings
  readonly machine: Machine
  readonly history: Array<HistoryEvent> = []
  readonly ground: Ground
  readonly processes: ReadonlyArray<Process>
  readonly definition: Cached.Cached<string, Row, Missing>
  /** What is made of one another: the row, a page that shows it, and a site that shows the page. */
  readonly nest: ReadonlyArray<Cached.Cached<string, Row, Missing, CacheService.CacheService>>
  /** Around the cached reads of lookups; a deliberate mistake may be made here. */
  inside: <A, E, R>(read: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = (read) => read
  readonly row: { v: number; tag: string } = { v: 0, tag: "T" }
  readonly starts = new Map<string, { readonly at: number; readonly time: number }>()
  /** When the fences that were opened end. */
  readonly fences = new Map<string, number>()
  loads = 0
  /** Milliseconds by which the clock of the server was set back, where there is one. */
  serverBehind = 0

  constructor(settings: Settings, makeGround: (world: World) => Ground) {
    this.settings = settings
    this.machine = new Machine(settings.tick ?? 0)
    this.ground = makeGround(this)
    this.processes = this.ground.stores.map((store, i) => {
      const name = processNames[i]!
      return { name, service: inNewScope(CacheService.make(this.gated(store, name))) }
    })
    this.definition = Cached.make(
      this.ground.definition,
      { key: Key.string("id"), value: Row, lookup: () => this.load() },
      policies[settings.by]
    )
    const own = settings.tags === 2 ? ownTag : policies
    const around = (name: string, inner: Cached.Cached<string, Row, Missing, CacheService.CacheService>) =>
      Cached.make(
        `${this.ground.definition}${name}`,
        { key: Key.string("id"), value: Row, lookup: (id) => this.show(Cached.get(inner, id)) },
        own[settings.by]
      )
    const page = around("page", this.definition)
    this.nest = [this.definition, page, around("site", page)].slice(0, 1 + (settings.depth ?? 0))
  }

  /** What a page makes of what it shows. */
  private show<R>(read: Effect.Effect<Row, Missing, R>): Effect.Effect<Row, Missing, R> {
    const inner = this.inside(read)
    return this.settings.catches === true
      ? Effect.catchTag(inner, "Missing", ({ v }) => Effect.succeed({ v, tag: "T" }))
      : inner
  }

  private gated(store: CacheStore.CacheStore, process: string): CacheStore.CacheStore {
    const { machine } = this
    const writes: Access = { writes: ["store"] }
    const gate = (name: string, access: Access = writes) => machine.gate(name, access)
    // What an answer sets off happens within its process; a write-through is done with the answer to its commit, and
    // whoever begins to read after that must see it.
    const answer = (name: string) =>
      machine.gate(`${name} answered`, {
        writes: [process, memoryOf(process), ...name === "commit" ? ["history"] : []]
      })
    const atCommands = this.ground.gates === "commands"
    const before = <A, E>(name: string, effect: Effect.Effect<A, E>) =>
      atCommands ? effect : Effect.andThen(gate(name), effect)
    const around = <A, E>(name: string, effect: Effect.Effect<A, E>) =>
      Effect.tap(before(name, effect), () => answer(name))
    return {
      ...store,
      read: (address) =>
        atCommands ? store.read(address) : gate("read", { reads: ["store", "history"] }).pipe(
          Effect.andThen(this.looks),
          // A store in memory looks when it is asked, which must be when the gate is open.
          Effect.andThen(Effect.suspend(() => Effect.map(store.read(address), (entry) => entry && view(entry))))
        ),
      begin: (address, request) => around("begin", store.begin(address, request)),
      commit: (address, lease, draft) => around("commit", store.commit(address, lease, draft)),
      discard: (address, lease, dependencies) => around("discard", store.discard(address, lease, dependencies)),
      abandon: (address, token) => before("abandon", store.abandon(address, token)),
      invalidate: (batch) => before("invalidate", store.invalidate(batch)),
      fence: (fence) =>
        around(
          "fence",
          Effect.tap(
            store.fence(fence),
            () => Effect.sync(() => this.opened(fence.id, fence.length))
          )
        ),
      lift: (fence) => before("lift", store.lift(fence))
    }
  }

  /** A read begins no later than its first look at the store; later is stricter. */
  readonly looks: Effect.Effect<void> = Effect.withFiber((fiber) => {
    const who = fiber.getRef(Actor)
    if (!this.starts.has(who)) this.starts.set(who, { at: this.history.length, time: this.machine.time })
    return Effect.void
  })

  /** A fence is open, from when it was opened first. */
  opened(id: string, length: number): void {
    if (!this.fences.has(id)) this.fences.set(id, this.machine.time + length)
  }

  private load(): Effect.Effect<Row, Missing> {
    return Effect.andThen(
      this.machine.gate("load", { reads: ["origin"] }),
      Effect.suspend(() => {
        this.loads++
        const { v } = this.row
        return this.settings.missing === true && v === 0
          ? Effect.fail(new Missing({ v }))
          : Effect.succeed({ ...this.row })
      })
    )
  }

  /** One write at the origin. */
  write(change: (row: { v: number; tag: string }) => void = () => {}): Effect.Effect<number> {
    return Effect.andThen(
      this.machine.gate("write", { writes: ["origin"] }),
      Effect.sync(() => {
        change(this.row)
        return ++this.row.v
      })
    )
  }

  record(event: HistoryEvent): void {
    this.history.push(event)
  }

  run<A, E>(process: number, effect: Effect.Effect<A, E, CacheService.CacheService>): Effect.Effect<A, E> {
    return Effect.provide(effect, Context.make(CacheService.CacheService, this.processes[process]!.service))
  }

  /** What names the entry in an invalidation, and those that are made of it. */
  target(): Invalidation.Invalidation {
    const { by, soft, tags } = this.settings
    const hard = by === "key"
      // Those that show the most come first.
      ? Invalidation.combineAll(this.nest.toReversed().map((one) => Cached.invalidation(one, ["a"])))
      : Invalidation.tags([...(tags === 2 ? ["own"] : []), "T"])
    return soft === true ? Invalidation.soft(hard) : hard
  }

  /** The stored keys of all that there is. */
  keys(): ReadonlyArray<string> {
    return this.nest.map((one) => Cached.keyOf(one, "a"))
  }
}

/** Both processes have the same store, in this one. */
const onOne = (store: CacheStore.CacheStore, lose: Ground["lose"], leases: Ground["leases"]): Ground => ({
  stores: [store, store],
  gates: "operations",
  definition: "k",
  lose,
  leases,
  quiet: undefined
})

/** A store whose invalidations take several steps; between two of them stands a gate. */
const inSteps = (bug: Bug | undefined, mistake: Mistake | undefined) => (world: World): Ground => {
  const between = world.machine.gate("step", { writes: ["store"] })
  const markers = inNewScope(makeMarkerStore({ between, mistake }))
  // Mistakes that are made here know no more than the port.
  const store = bug === undefined ? markers : bug(markers as unknown as MemoryCache.MemoryStore, world)
  const names = [...Invalidation.tags(["T", "U", "own"]).dependencies.keys()]
  const lose: Ground["lose"] = (what) =>
    Effect.sync(() => {
      if (what === "fences") throw new Error("the fences are in the journal")
      for (const key of world.keys()) markers.lose(what === "marker" ? "markers" : what, key, names)
    })
  return onOne(store, lose, markers.leased)
}

/** The world in memory, where everything happens at once, unless invalidations take several steps. */
export const inMemory = (bug?: Bug, mistake?: Mistake) => (settings: Settings): World =>
  new World(settings, (world) => {
    if (settings.steps === true) return inSteps(bug, mistake)(world)
    const memory = inNewScope(MemoryCache.makeStore({ capacity: 10 }))
    const store = bug === undefined ? memory : bug(memory, world)
    const lose: Ground["lose"] = (what) =>
      Effect.sync(() => {
        if (what === "marker" || what === "fences") throw new Error(`the store in memory has no ${what} to lose`)
        memory.evict(what)
      })
    return onOne(store, lose, () => memory.sizes().leases)
  })

const view = (entry: CacheStore.Entry): CacheStore.Entry => ({
  token: entry.token,
  payload: entry.payload,
  stamp: entry.stamp,
  expiresAt: entry.expiresAt,
  changed: entry.changed && new Map(entry.changed),
  softened: entry.softened,
  memo: undefined
})

// Functions are made once, so that all worlds have one policy each.
const policies: Record<Dependence, Policy.Policy<string, Row>> = {
  key: Policy.forever,
  known: Policy.tagged((_id: string) => ["T"]),
  found: Policy.tagged({ fromValue: (row: Row) => [row.tag] })
}

const ownTag: Record<Dependence, Policy.Policy<string, Row>> = {
  key: Policy.forever,
  known: Policy.tagged((_id: string) => ["own"]),
  found: Policy.tagged({ fromValue: (_row: Row) => ["own"] })
}

// -----------------------------------------------------------------------------
// processes
// -----------------------------------------------------------------------------

/** Something that happens in a case, in a process. */
export interface Actress {
  readonly name: string
  readonly act: (world: World, who: string) => Effect.Effect<unknown, unknown>
}

const actor = (name: string, act: Actress["act"]): Actress => ({ name, act })

const got = (world: World, who: string, v: number, soft = false): void => {
  const start = world.starts.get(who) ?? { at: world.history.length, time: world.machine.time }
  world.record({ _tag: "Read", who, start: start.at, began: start.time, v, soft })
}

/** The version of which a read tells, also by failing. */
const told = (exit: Exit.Exit<Row, Missing>): Effect.Effect<number> => {
  if (Exit.isSuccess(exit)) return Effect.succeed(exit.value.v)
  const error = Cause.findErrorOption(exit.cause)
  return Option.isSome(error) ? Effect.succeed(error.value.v) : Effect.failCause(exit.cause as Cause.Cause<never>)
}

const names = ["reader", "page", "site"]

/** Reads the row, or what is made of it. */
export const reader = (process: number, depth = 0): Actress =>
  actor(names[depth]!, (world, who) =>
    world.run(process, Cached.get(world.nest[depth]!, "a")).pipe(
      Effect.exit,
      Effect.flatMap(told),
      Effect.map((v) => got(world, who, v))
    ))

/** Reads several at once. */
export const manyReader = (process: number, depth = 0): Actress =>
  actor(
    "many",
    (world, who) =>
      Effect.map(world.run(process, Cached.getMany(world.nest[depth]!, ["a"])), ([row]) => got(world, who, row!.v))
  )

/** Looks whether what is there is fresh, and takes it if so. */
export const freshReader = (process: number, depth = 0): Actress =>
  actor("fresh", (world, who) =>
    Effect.gen(function*() {
      const { verdict } = yield* world.run(process, Cached.explain(world.nest[depth]!, "a"))
      if (verdict !== "Fresh") return
      const found = yield* world.run(process, Cached.getOption(world.nest[depth]!, "a"))
      if (Option.isSome(found)) got(world, who, found.value.v)
    }))

/** Asks for the key together with another, as a batch. */
export const optionReader = (process: number): Actress =>
  actor("option", (world, who) =>
    Effect.map(world.run(process, Cached.getOption(world.definition, "a")), (found) => {
      if (found._tag === "Some") got(world, who, found.value.v)
    }))

export const refresher = (process: number, depth = 0): Actress =>
  actor("refresher", (world, who) =>
    Effect.suspend(() => {
      const start = { at: world.history.length, time: world.machine.time }
      return Effect.map(world.run(process, Cached.refresh(world.nest[depth]!, "a")), (row) => {
        world.starts.set(who, start)
        got(world, who, row.v)
      })
    }))

/** A reader that is interrupted after some other step; what it disturbs, the others tell. */
export const interrupted = (process: number): Actress =>
  actor("interrupted", (world) =>
    Effect.raceFirst(
      world.run(process, Cached.get(world.definition, "a")),
      world.machine.gate("interrupt", { writes: ["store", "origin", "P1", "P2"] })
    ))

export const writer = (
  process: number,
  how: (world: World) => Invalidation.Invalidation = (world) => world.target()
): Actress =>
  actor(
    "writer",
    (world, who) =>
      Effect.flatMap(world.write(), (v) =>
        Effect.map(world.run(process, Cached.apply(how(world))), () =>
          world.record({ _tag: "Done", who, v, soft: world.settings.soft === true })))
  )

/** A writer that is interrupted at some point of its invalidation, and then does it again. */
export const hastyWriter = (process: number): Actress =>
  actor("hasty", (world, who) =>
    Effect.gen(function*() {
      const v = yield* world.write()
      const invalidated = world.run(process, Cached.apply(world.target()))
      yield* Effect.raceFirst(
        Effect.ignore(invalidated),
        world.machine.gate("interrupt", { writes: ["store", "origin", "P1", "P2"] })
      )
      yield* invalidated
      world.record({ _tag: "Done", who, v, soft: world.settings.soft === true })
    }))

/** Moves the row to another tag, and invalidates the old and the new one. */
export const mover = (process: number): Actress =>
  actor("mover", (world, who) =>
    Effect.flatMap(
      world.write((row) => {
        row.tag = row.tag === "T" ? "U" : "T"
      }),
      (v) =>
        Effect.map(
          world.run(process, Cached.apply(Invalidation.tags(["T", "U"]))),
          () => world.record({ _tag: "Done", who, v, soft: false })
        )
    ))

export const mutator = (process: number): Actress =>
  actor("mutator", (world, who) =>
    world.run(
      process,
      Cached.mutate(world.write(), world.target(), { fence: world.settings.fence ?? 1_000_000 })
    ).pipe(
      Effect.result,
      Effect.map((result) => {
        // A write that outlasted its fence was rolled back, or the invalidation has failed and says so.
        if (Result.isSuccess(result)) world.record({ _tag: "Done", who, v: result.success, soft: false })
      })
    ))

/** A mutation whose write cannot be interrupted, and so may outlast its fence; it is an error then, and yet done. */
export const stubbornMutator = (process: number): Actress =>
  actor("stubborn", (world, who) =>
    Effect.suspend(() => {
      let v = 0
      const write = Effect.uninterruptible(Effect.tap(world.write(), (version) =>
        Effect.sync(() => {
          v = version
        })))
      return world.run(process, Cached.mutate(write, world.target(), { fence: world.settings.fence ?? 1_000_000 }))
        .pipe(
          Effect.exit,
          Effect.map(() => world.record({ _tag: "Done", who, v, soft: false }))
        )
    }))

/** Opens a fence, writes, and is never heard of again. */
export const crasher = (process: number): Actress =>
  actor("crasher", (world, who) =>
    Effect.suspend(() => {
      const { service } = world.processes[process]!
      const length = world.settings.fence ?? 10
      const fence: CacheStore.Fence = { id: inside(service).token(), over: world.target(), length }
      return service.store.fence(fence).pipe(
        Effect.andThen(world.write()),
        Effect.map((v) => {
          const end = world.fences.get(fence.id)!
          // The premise: a write does not outlast its fence.
          if (world.machine.time < end) world.record({ _tag: "Crashed", who, v, end })
        })
      )
    }))

export const setter = (process: number): Actress =>
  actor("setter", (world, who) =>
    Effect.map(
      world.run(
        process,
        Cached.set(world.definition, "a", Effect.map(world.write(), (v) => ({ v, tag: world.row.tag })))
      ),
      (row) => world.record({ _tag: "Done", who, v: row.v, soft: false })
    ))

export const evictor = (...what: ReadonlyArray<Losable>): Actress =>
  actor("evictor", (world) =>
    Effect.forEach(what, (one) =>
      Effect.andThen(
        world.machine.gate(`evict ${one}`, { writes: ["store"] }),
        world.ground.lose(one)
      )))

/** One thing after another. */
export const inTurn = (...all: ReadonlyArray<Actress>): Actress =>
  actor(
    all.map(({ name }) => name).join(" then "),
    (world, who) => Effect.forEach(all, ({ act }) => act(world, who))
  )

/** Sets the clock of the server back. */
export const setBack = (millis: number): Actress =>
  actor("clock", (world) =>
    Effect.andThen(
      world.machine.gate("set back", { writes: ["store"] }),
      Effect.sync(() => {
        world.serverBehind += millis
      })
    ))

/** Lets the fences run out. */
export const waitOut = (millis: number): Actress =>
  actor("time", (world) =>
    Effect.sync(() => {
      world.machine.time += millis
    }))

// -----------------------------------------------------------------------------
// the verdict on a history
// -----------------------------------------------------------------------------

export const violation = (world: World, leases: number): string | undefined => {
  const { history, machine } = world
  if (machine.problems.length > 0) return machine.problems.join("; ")
  for (const [i, event] of history.entries()) {
    if (event._tag === "Read") continue
    for (const read of history) {
      if (read._tag !== "Read" || read.v >= event.v) continue
      // One that may be served stale for once; who looked whether it was fresh was not.
      if (event._tag === "Done" && event.soft && !read.who.includes("fresh")) continue
      const after = event._tag === "Done" ? read.start > i : read.began > event.end
      if (after) {
        return `${read.who} began after ${event.who} was done with version ${event.v}, and got version ${read.v}`
      }
    }
  }
  for (const { name, service: made } of world.processes) {
    const service = inside(made)
    if (service.loads.size > 0) return `${name} still has ${service.loads.size} loads in its books`
    if (service.refreshing.size > 0) return `${name} still believes to refresh ${service.refreshing.size} keys`
  }
  if (leases > 0) return `${leases} leases were never given up`
  return undefined
}
