/**
 * The world of a case: two processes on one store, an origin with a version that
 * only grows, and a history of what readers got and what invalidations returned.
 *
 * The interpreter and the store are the real ones. Around every operation of
 * the store stands a gate; `begin` and `commit` have a second one, since their
 * answers travel while the store goes on.
 */
import { Context, Effect, Result, Schema, Scope } from "effect"
import { Cached, CacheService, Invalidation, Key, MemoryCache, Policy } from "../../src/index.ts"
import { type Access, Actor, Machine } from "./machine.ts"

/** A row of the origin: its version, and the tag that is found in it. */
const Row = Schema.Struct({ v: Schema.Int, tag: Schema.String })
type Row = typeof Row.Type

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
  /** Milliseconds per step; 0 where time plays no part. */
  readonly tick?: number
  readonly fence?: number
}

/** What can be lost. Not every store has each. */
export type Losable = "entry" | "lease" | "journal" | "marker" | "fences"

/** The store, or the stores, of a world, and what is done to them from outside. */
export interface Ground {
  /** What each process reaches the store by. Two processes in one memory share theirs. */
  readonly stores: readonly [CacheService.CacheStore, CacheService.CacheStore]
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
export type Bug = (store: MemoryCache.MemoryStore, world: World) => CacheService.CacheStore

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
  readonly definition: Cached.Cached<string, Row>
  readonly row: { v: number; tag: string } = { v: 0, tag: "T" }
  readonly starts = new Map<string, { readonly at: number; readonly time: number }>()
  /** When the fences that were opened end. */
  readonly fences = new Map<string, number>()
  loads = 0

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
  }

  private gated(store: CacheService.CacheStore, process: string): CacheService.CacheStore {
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
      abandon: (address, token) => before("abandon", store.abandon(address, token)),
      invalidate: (batch) => before("invalidate", store.invalidate(batch)),
      sweep: (keys, mode) => before("sweep", store.sweep(keys, mode)),
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

  private load(): Effect.Effect<Row> {
    return Effect.andThen(
      this.machine.gate("load", { reads: ["origin"] }),
      Effect.sync(() => {
        this.loads++
        return { ...this.row }
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

  /** What names the entry in an invalidation. */
  target(): Invalidation.Invalidation {
    return this.settings.by === "key" ? Cached.keys(this.definition, "a") : Invalidation.tags("T")
  }
}

/** The world in memory, where everything happens at once. */
export const inMemory = (bug?: Bug) => (settings: Settings): World =>
  new World(settings, (world) => {
    const memory = inNewScope(MemoryCache.makeStore({ capacity: 10 }))
    const store = bug === undefined ? memory : bug(memory, world)
    return {
      stores: [store, store],
      gates: "operations",
      definition: "k",
      lose: (what) =>
        Effect.sync(() => {
          if (what === "marker" || what === "fences") throw new Error(`the store in memory has no ${what} to lose`)
          memory.evict(what)
        }),
      leases: () => memory.sizes().leases,
      quiet: undefined
    }
  })

const view = (entry: CacheService.Entry): CacheService.Entry => ({
  token: entry.token,
  payload: entry.payload,
  stamp: entry.stamp,
  changed: entry.changed && new Map(entry.changed),
  softened: entry.softened,
  memo: undefined
})

// Functions are made once, so that all worlds have one policy each.
const policies: Record<Dependence, Policy.Policy<string, Row>> = {
  key: Policy.forever,
  known: Policy.tagged((_id: string) => ["T"]),
  found: Policy.tagged((_id: string, row: Row) => [row.tag])
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

export const reader = (process: number): Actress =>
  actor(
    "reader",
    (world, who) => Effect.map(world.run(process, Cached.get(world.definition, "a")), (row) => got(world, who, row.v))
  )

/** Asks for the key together with another, as a batch. */
export const optionReader = (process: number): Actress =>
  actor("option", (world, who) =>
    Effect.map(world.run(process, Cached.getOption(world.definition, "a")), (found) => {
      if (found._tag === "Some") got(world, who, found.value.v)
    }))

export const refresher = (process: number): Actress =>
  actor("refresher", (world, who) =>
    Effect.suspend(() => {
      const start = { at: world.history.length, time: world.machine.time }
      return Effect.map(world.run(process, Cached.refresh(world.definition, "a")), (row) => {
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
        Effect.map(world.run(process, CacheService.invalidate(how(world))), () =>
          world.record({ _tag: "Done", who, v, soft: false })))
  )

/** Moves the row to another tag, and invalidates the old and the new one. */
export const mover = (process: number): Actress =>
  actor("mover", (world, who) =>
    Effect.flatMap(
      world.write((row) => {
        row.tag = row.tag === "T" ? "U" : "T"
      }),
      (v) =>
        Effect.map(
          world.run(process, CacheService.invalidate(Invalidation.tags("T", "U"))),
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
      const fence: CacheService.Fence = { id: service.token(), over: world.target(), length }
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
      const after = event._tag === "Done" ? read.start > i : read.began > event.end
      if (after) {
        return `${read.who} began after ${event.who} was done with version ${event.v}, and got version ${read.v}`
      }
    }
  }
  for (const { name, service } of world.processes) {
    if (service.flights.size > 0) return `${name} still has ${service.flights.size} loads in its books`
    if (service.refreshing.size > 0) return `${name} still believes to refresh ${service.refreshing.size} keys`
  }
  if (leases > 0) return `${leases} leases were never given up`
  return undefined
}
