/**
 * One process of a history: readers and writers on a cache, and a record of all
 * that they did, line by line, so that what a process has seen outlives it.
 */
import { Cause, Context, Effect, Exit, Fiber, Layer, Logger, Option, Schema } from "effect"
import * as fs from "node:fs"
import { Cached, CacheService, type CacheStore, Invalidation, Key, MemoryCache, Policy } from "../../src/index.ts"
import { inside, type Service } from "../../src/internal/service/model.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import { type Fact, now, type Read } from "./history.ts"
import type { Job, Storm, StormResult, ToParent, ToWorker } from "./messages.ts"
import { makeNaive } from "./naive.ts"
import {
  type Deed,
  define,
  type Definitions,
  dependenciesOf,
  type Dice,
  dice,
  foundIn,
  innerOf,
  type Lookup,
  type Name,
  names,
  nextDeed,
  type Row,
  type RowKey,
  rowKeys,
  storedKey,
  targetsOf
} from "./workload.ts"

const send = (message: ToParent): void => {
  process.send!(message)
}

const trouble = (what: string): void => send({ _tag: "Trouble", what })

// -----------------------------------------------------------------------------
// the wall clock, which may be wrong
// -----------------------------------------------------------------------------

const realNow = Date.now
let skew = 0
Date.now = () => realNow() + skew

// -----------------------------------------------------------------------------
// the origin
// -----------------------------------------------------------------------------

interface Answer {
  readonly v: number
  readonly tag: string
  readonly before: string
}

const asked = new Map<number, (answer: Answer) => void>()
let asks = 0

const ask = (p: string, key: string, write: boolean, move: string | undefined): Effect.Effect<Answer> =>
  Effect.callback((resume) => {
    const n = ++asks
    asked.set(n, (answer) => resume(Effect.succeed(answer)))
    send({ _tag: "Ask", n, p, key, write, move })
    return Effect.sync(() => asked.delete(n))
  })

// -----------------------------------------------------------------------------
// recording
// -----------------------------------------------------------------------------

/** On behalf of which read a fiber runs. The load that a read starts inherits it. */
const Reading = Context.Reference<string>("test/histories/Reading", { defaultValue: () => "" })

const reading = (): string => Fiber.getCurrent()?.getRef(Reading) ?? ""

/** What the events tell of one read of one key. */
interface Notes {
  how: Read["how"]
  joined: number
}

/** A payload that is damaged, or of no row, is of no load that is known. */
const loadOf = (payload: unknown): string => {
  try {
    return (typeof payload === "string" ? JSON.parse(payload) as Row : payload as Row).load
  } catch {
    return "?"
  }
}

class Recorder {
  readonly p: string
  readonly counts: Record<string, number> = {}
  private readonly cluster: boolean
  private readonly file: number
  private readonly notes = new Map<string, Notes>()
  private readonly leases = new Map<string, { readonly call: number; readonly ret: number }>()
  private readonly loadOfToken = new Map<string, string>()
  private lastId = 0

  constructor({ cache, file, p }: Job) {
    this.p = p
    this.cluster = cache._tag === "cluster"
    this.file = fs.openSync(file, "a")
  }

  write(fact: Fact): void {
    fs.writeSync(this.file, `${JSON.stringify(fact)}\n`)
  }

  close(): void {
    this.write({ t: "counts", p: this.p, events: this.counts })
    fs.closeSync(this.file)
  }

  id(): string {
    return `${this.p}.${++this.lastId}`
  }

  open(read: string, key: string): Notes {
    const notes: Notes = { how: "waited", joined: 0 }
    this.notes.set(`${read} ${key}`, notes)
    return notes
  }

  notesOf(read: string, key: string): Notes | undefined {
    return this.notes.get(`${read} ${key}`)
  }

  end(read: string, key: string): void {
    this.notes.delete(`${read} ${key}`)
  }

  /** The lease under which a load runs; a background refresh outlives the read that asked for it. */
  takeLease(read: string, key: string): { readonly call: number; readonly ret: number } | undefined {
    const at = `${read} ${key}`
    const lease = this.leases.get(at)
    this.leases.delete(at)
    return lease
  }

  private event(event: CacheService.CacheEvent): void {
    const count = event._tag === "Load" ? `Load ${event.outcome}` : event._tag
    this.counts[count] = (this.counts[count] ?? 0) + 1
    const read = reading()
    const notes = "key" in event ? this.notesOf(read, event.key) : undefined
    if (event._tag === "Hit" && notes) notes.how = "hit"
    if (event._tag === "StaleServed" && notes) notes.how = "stale"
    if (event._tag === "Coalesced" && notes) notes.joined++
    if (event._tag === "StoreFailed") {
      const { operation, reason: { _tag: reason } } = event.error
      this.write({ t: "store-failed", p: this.p, read, operation, reason, at: now() })
    }
  }

  private saw(entry: CacheStore.Entry | undefined, key: string): void {
    if (entry === undefined) return
    let load = this.loadOfToken.get(entry.token)
    if (load === undefined) this.loadOfToken.set(entry.token, load = loadOf(entry.payload))
    // In a cluster a marker may have been read before the entry was stored; then it says nothing of it, and what counts
    // is that the entry is dropped.
    if (this.cluster) return
    const changed = [...entry.changed ?? []].find(([, mode]) => mode === "hard")
    if (changed !== undefined) this.dead(load, key, `${changed[0]} changed`)
  }

  private dead(load: string, key: string, because: string): void {
    this.write({ t: "dead", p: this.p, load, key, at: now(), because })
  }

  /** The service with a listener at its events, and one at its store. */
  watch(outer: CacheService.CacheService): Service {
    const service = inside(outer)
    const { store } = service
    return {
      ...service,
      watched: () => true,
      publish: (event) => {
        this.event(event)
        service.publish(event)
      },
      store: {
        ...store,
        read: (address) =>
          Effect.map(store.read(address), (entry) => {
            this.saw(entry, address.key)
            return entry
          }),
        begin: (address, request) =>
          Effect.suspend(() => {
            const [call, read] = [now(), reading()]
            return Effect.map(store.begin(address, request), (begun) => {
              const seen = request.seen === undefined ? undefined : this.loadOfToken.get(request.seen)
              if (request.drop && seen !== undefined) this.dead(seen, address.key, "dropped")
              if (begun._tag === "Leased") this.leases.set(`${read} ${address.key}`, { call, ret: now() })
              if (begun._tag === "Found") this.saw(begun.entry, address.key)
              return begun
            })
          }),
        commit: (address, lease, draft) =>
          Effect.suspend(() => {
            const [call, load] = [now(), loadOf(draft.payload)]
            const tell = (outcome: string) =>
              this.write({ t: "stored", p: this.p, load, key: address.key, call, ret: now(), outcome })
            return Effect.onExit(store.commit(address, lease, draft), (exit) =>
              Effect.sync(() => tell(Exit.isSuccess(exit) ? exit.value : "failed")))
          })
      }
    }
  }
}

// -----------------------------------------------------------------------------
// caches
// -----------------------------------------------------------------------------

/** What readers and writers need of a cache. */
interface Cache {
  readonly get: (read: string, name: Name, keys: ReadonlyArray<RowKey>) => Effect.Effect<
    ReadonlyArray<Row>,
    unknown
  >
  readonly apply: (over: Invalidation.Invalidation) => Effect.Effect<unknown, unknown>
  readonly set: (name: Name, key: RowKey, write: Effect.Effect<Row>) => Effect.Effect<unknown, unknown>
  readonly mutate: (over: Invalidation.Invalidation, write: Effect.Effect<void>) => Effect.Effect<unknown, unknown>
}

const fenceFor = 400

const layerOf = (job: Job): Layer.Layer<CacheService.CacheService> => {
  const { acknowledge, cache, failures, openFor, prefix, timeLimit } = job
  const options = { prefix, acknowledge, timeLimit, failures, openFor, journal: 500 }
  switch (cache._tag) {
    case "node":
      return RedisCache.layer({ url: cache.url, ...options })
    case "cluster":
      return RedisCache.layer({ cluster: { nodes: cache.nodes }, ...options })
    default:
      return MemoryCache.layer({ capacity: 1000 })
  }
}

const recorded = (job: Job, recorder: Recorder): Layer.Layer<CacheService.CacheService> =>
  Layer.effect(
    CacheService.CacheService,
    Effect.map(CacheService.CacheService, (service) => recorder.watch(service))
  ).pipe(Layer.provide(layerOf(job)))

const ours = (definitions: Definitions, service: CacheService.CacheService): Cache => {
  const run = <A, E>(effect: Effect.Effect<A, E, CacheService.CacheService>) =>
    Effect.provideService(effect, CacheService.CacheService, service)
  return {
    get: (read, name, keys) =>
      run(
        keys.length === 1
          ? Effect.map(Cached.get(definitions[name], keys[0]!), (row) => [row])
          : Cached.getMany(definitions[name], keys)
      ).pipe(Effect.provideService(Reading, read)),
    apply: (over) => run(Cached.apply(over)),
    set: (name, key, write) => run(Cached.set(definitions[name], key, write)),
    mutate: (over, write) => run(Cached.mutate(write, over, { fence: fenceFor }))
  }
}

const naive = (url: string, prefix: string, recorder: Recorder, lookup: Lookup) =>
  Effect.map(
    Effect.acquireRelease(Effect.sync(() => makeNaive(url, prefix)), (made) => Effect.sync(made.close)),
    (made): Cache => ({
      get: (read, name, keys) =>
        Effect.promise(() =>
          Promise.all(keys.map(async (key) => {
            const load = () =>
              Effect.runPromise(Effect.provideService(lookup(name, [key]), Reading, read)).then(([row]) => row!)
            const { hit, row } = await made.get(name, key, load)
            const notes = recorder.notesOf(read, storedKey(name, key))
            if (hit && notes) notes.how = "hit"
            return row
          }))
        ),
      apply: (over) => Effect.promise(() => made.apply(over)),
      set: (name, key, write) => Effect.flatMap(write, (row) => Effect.promise(() => made.set(name, key, row))),
      mutate: (over, write) => Effect.andThen(write, Effect.promise(() => made.apply(over)))
    })
  )

// -----------------------------------------------------------------------------
// what it does
// -----------------------------------------------------------------------------

const told = (cause: Cause.Cause<unknown>): string => String(Cause.squash(cause))

class Actors {
  readonly recorder: Recorder
  readonly job: Job
  cache!: Cache
  definitions!: Definitions
  private readonly chance: Dice

  constructor(job: Job, recorder: Recorder) {
    this.job = job
    this.recorder = recorder
    this.chance = dice(job.seed + 1000)
  }

  private pause(least: number, most: number): Effect.Effect<void> {
    return Effect.suspend(() => Effect.sleep(least + this.chance.next() * (most - least)))
  }

  /** Makes a value of another that is cached, in two steps. */
  private show(name: Name, inner: Name, key: RowKey): Effect.Effect<Row> {
    return Effect.suspend(() => {
      const { recorder } = this
      const stored = storedKey(name, key)
      const read = reading()
      const id = recorder.id()
      const leased = recorder.takeLease(read, stored)
      const begin = now()
      const tell = (row: Row | undefined): void =>
        recorder.write({
          t: "load",
          p: recorder.p,
          id,
          key: stored,
          read,
          begin,
          end: now(),
          set: false,
          known: dependenciesOf(name, key),
          found: row === undefined ? [] : foundIn(name, row.tag),
          ...(row === undefined ? {} : { v: row.v, of: row.load }),
          ...(leased === undefined ? {} : { leased })
        })
      return this.pause(0, 2).pipe(
        Effect.andThen(this.readAll(inner, [key])),
        Effect.tap(() => this.pause(0, 2)),
        Effect.orDie,
        Effect.map(([row]) => row!),
        Effect.onExit((exit) => Effect.sync(() => tell(Exit.isSuccess(exit) ? exit.value : undefined))),
        Effect.map(({ load, tag, v }) => ({ v, tag, load: id, of: load }))
      )
    })
  }

  /** Asks the origin for some rows, and takes a while for it before and after. */
  readonly lookup: Lookup = (name, keys) =>
    Effect.suspend(() => {
      const inner = innerOf[name]
      if (inner !== undefined) return Effect.map(this.show(name, inner, keys[0]!), (row) => [row])
      const { p } = this.recorder
      const read = reading()
      const all = keys.map((key) => {
        const stored = storedKey(name, key)
        return { id: this.recorder.id(), stored, key, leased: this.recorder.takeLease(read, stored) }
      })
      const begin = now()
      const tell = (rows: ReadonlyArray<Row>): void => {
        const end = now()
        for (const [i, { id, key, leased, stored }] of all.entries()) {
          const row = rows[i]
          this.recorder.write({
            t: "load",
            p,
            id,
            key: stored,
            read,
            begin,
            end,
            set: false,
            known: dependenciesOf(name, key),
            found: row === undefined ? [] : foundIn(name, row.tag),
            ...(row === undefined ? {} : { v: row.v }),
            ...(leased === undefined ? {} : { leased })
          })
        }
      }
      return this.pause(0, 5).pipe(
        Effect.andThen(Effect.forEach(all, ({ id, stored }) =>
          Effect.map(ask(p, stored, false, undefined), ({ tag, v }): Row => ({ v, tag, load: id })), {
          concurrency: "unbounded"
        })),
        Effect.tap(() =>
          this.pause(0, this.chance.happens(0.05) ? 60 : 8)
        ),
        Effect.onExit((exit) => Effect.sync(() => tell(Exit.isSuccess(exit) ? exit.value : [])))
      )
    })

  /** One read, recorded. */
  read(name: Name, keys: ReadonlyArray<RowKey>): Effect.Effect<void> {
    return Effect.asVoid(Effect.exit(this.readAll(name, keys)))
  }

  private readAll(name: Name, keys: ReadonlyArray<RowKey>): Effect.Effect<ReadonlyArray<Row>, unknown> {
    return Effect.suspend(() => {
      const { recorder } = this
      const { p } = recorder
      const id = recorder.id()
      const all = keys.map((key) => storedKey(name, key))
      const notes = all.map((key) => recorder.open(id, key))
      const start = now()
      return Effect.onExit(this.cache.get(id, name, keys), (exit) =>
        Effect.sync(() => {
          const end = now()
          for (const [i, key] of all.entries()) {
            recorder.end(id, key)
            // A lookup may be interrupted, when nobody waits for its load any more.
            if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) continue
            const base = { t: "read", p, id, key, start, end, joined: notes[i]!.joined } as const
            if (Exit.isFailure(exit)) {
              recorder.write({ ...base, how: "failed", error: told(exit.cause) })
              continue
            }
            const { load, v } = exit.value[i]!
            recorder.write({ ...base, how: notes[i]!.how, load, v })
          }
        }))
    })
  }

  reader(at: Dice): Effect.Effect<void> {
    return Effect.suspend(() => {
      const name = at.pick(names)
      const keys = at.happens(0.1) ? rowKeys : [at.pick(rowKeys)]
      return Effect.andThen(this.read(name, keys), Effect.sleep(at.next() * 6))
    })
  }

  private commit(name: Name, key: RowKey, move: string | undefined): Effect.Effect<Answer> {
    return ask(this.recorder.p, storedKey(name, key), true, move)
  }

  /** Says what is about to be invalidated, and when. */
  private calls(over: Invalidation.Invalidation): number {
    const { p } = this.recorder
    const at = now()
    this.recorder.write({ t: "called", p, targets: targetsOf(over), at })
    return at
  }

  private invalidate(deed: Extract<Deed, { readonly _tag: "Invalidate" }>): Effect.Effect<void> {
    const { p } = this.recorder
    return Effect.flatMap(this.commit(deed.name, deed.key, deed.move), ({ before, tag }) => {
      const over = deed.over(before, tag)
      const soft = [
        ...over.keys.values(),
        ...over.dependencies.values(),
        ...[...over.patterns.values()].map((one) => one.mode)
      ].includes("soft")
      const call = this.calls(over)
      return Effect.map(Effect.exit(this.cache.apply(over)), (exit) => {
        const error = Exit.isSuccess(exit) ? {} : { error: told(exit.cause) }
        const ok = Exit.isSuccess(exit)
        this.recorder.write({ t: "invalidate", p, targets: targetsOf(over), soft, call, ret: now(), ok, ...error })
      })
    })
  }

  private put({ key, move, name }: Extract<Deed, { readonly _tag: "Set" }>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { recorder } = this
      const { p } = recorder
      const id = recorder.id()
      const stored = storedKey(name, key)
      let written: Row | undefined
      const write = Effect.suspend(() => {
        const begin = now()
        return this.commit(name, key, move).pipe(
          Effect.tap(() => this.pause(0, 6)),
          Effect.map(({ tag, v }): Row => {
            recorder.write({
              t: "load",
              p,
              id,
              key: stored,
              read: "",
              begin,
              end: now(),
              set: true,
              v,
              known: dependenciesOf(name, key),
              found: foundIn(name, tag)
            })
            return written = { v, tag, load: id }
          })
        )
      })
      const start = this.calls(Invalidation.keys(stored))
      return Effect.map(Effect.exit(this.cache.set(name, key, write)), (exit) => {
        const ok = Exit.isSuccess(exit)
        recorder.write({
          t: "set",
          p,
          key: stored,
          start,
          end: now(),
          ok,
          ...(written === undefined ? {} : { v: written.v, load: written.load }),
          ...(ok ? {} : { error: told(exit.cause) })
        })
      })
    })
  }

  private mutate(
    { key, move, name, over }: Omit<Extract<Deed, { readonly _tag: "Mutate" }>, "_tag">,
    dies: boolean
  ): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { recorder } = this
      const base = { p: recorder.p, id: recorder.id(), targets: targetsOf(over) }
      const start = this.calls(over)
      let written: number | undefined
      const write = Effect.suspend(() => {
        const write = now()
        recorder.write({ t: "mutate-open", ...base, start, write, until: write + fenceFor * 1000 })
        return this.commit(name, key, move).pipe(
          Effect.tap(() => this.pause(0, 6)),
          Effect.map(() => {
            if (dies) process.kill(process.pid, "SIGKILL")
            written = now()
          })
        )
      })
      return Effect.map(Effect.exit(this.cache.mutate(over, write)), (exit) => {
        const ok = Exit.isSuccess(exit)
        recorder.write({
          t: "mutate-end",
          ...base,
          start,
          ...(written === undefined ? {} : { written }),
          end: now(),
          ok,
          ...(ok ? {} : { error: told(exit.cause) })
        })
      })
    })
  }

  writer(at: Dice): Effect.Effect<void> {
    return Effect.suspend(() => {
      const deed = nextDeed(this.definitions, at)
      const done = deed._tag === "Invalidate"
        ? this.invalidate(deed)
        : deed._tag === "Set"
        ? this.put(deed)
        : this.mutate(deed, false)
      return Effect.andThen(done, Effect.sleep(5 + at.next() * 25))
    })
  }

  crash(after: number): Effect.Effect<void> {
    const key = rowKeys[0]!
    const over = Cached.invalidation(this.definitions.plain, [key])
    // It dies in the write, so one whose fence cannot be opened is tried again.
    const dies = Effect.delay(this.mutate({ name: "plain", key, move: undefined, over }, true), 20)
    return Effect.delay(repeat(dies), after)
  }
}

// -----------------------------------------------------------------------------
// storms
// -----------------------------------------------------------------------------

class Refused extends Schema.TaggedError<Refused>()("Refused", { load: Schema.String }) {}

const stormKey = Key.struct({ group: Key.int("group"), id: Key.int("id") })

/** How long a lookup takes in a storm: enough for all to come while it runs. */
const stormLoad = 150

const stormDefinitions = (p: string) => {
  let loads = 0
  const lookup = (of: string) => ({ group, id }: RowKey) =>
    Effect.as(Effect.delay(ask(p, `${of}:${group}:${id}`, false, undefined), stormLoad), `${p}.${++loads}`)
  const failing = (of: string) => (key: RowKey) =>
    Effect.flatMap(lookup(of)(key), (load) => Effect.fail(new Refused({ load })))
  const base = { key: stormKey, value: Schema.String }
  return {
    cold: Cached.make("cold", { ...base, lookup: lookup("cold") }, Policy.forever),
    expiring: Cached.make("expiring", { ...base, lookup: lookup("expiring") }, Policy.ttl("1 second")),
    staling: Cached.make(
      "staling",
      { ...base, lookup: lookup("staling") },
      Policy.ttl("1 second", { stale: "1 minute" })
    ),
    failing: Cached.make("failing", {
      ...base,
      lookup: failing("failing"),
      failures: { error: Refused, policy: Policy.ttl("1 minute") }
    }, Policy.forever),
    refused: Cached.make("refused", { ...base, lookup: failing("refused") }, Policy.forever)
  }
}

const runStorm = (
  definitions: ReturnType<typeof stormDefinitions>,
  { callers, key, not, of }: Storm
): Effect.Effect<Omit<StormResult, "waited">, never, CacheService.CacheService> =>
  Effect.gen(function*() {
    const values = new Set<string>()
    const errors = new Set<string>()
    let calls = 0
    const get: Effect.Effect<string, Refused, CacheService.CacheService> = Cached.get(definitions[of], key)
    const call = Effect.map(Effect.exit(get), (exit) => {
      calls++
      if (Exit.isSuccess(exit)) values.add(exit.value)
      else {
        const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
        errors.add(error instanceof Refused ? error._tag : told(exit.cause))
      }
      return exit
    })
    const caller = Effect.gen(function*() {
      for (;;) {
        const exit = yield* call
        if (not === undefined || (Exit.isSuccess(exit) && exit.value !== not)) return
        yield* Effect.sleep(5)
      }
    })
    yield* Effect.all(Array.from({ length: callers }, () => caller), { concurrency: "unbounded" })
    return { values: [...values], errors: [...errors], calls }
  })

// -----------------------------------------------------------------------------
// a run
// -----------------------------------------------------------------------------

let stopping = false
let go = () => {}
let storms: Array<Storm> = []
let stormed = () => {}

const awaitGo = (): Promise<void> =>
  new Promise((resolve) => {
    go = resolve
  })

const repeat = (effect: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.whileLoop({ while: () => !stopping, body: () => effect, step: () => undefined })

const loops = (actors: Actors, { crashAfter, readers, seed, writers }: Job): Effect.Effect<unknown> =>
  Effect.all([
    ...Array.from({ length: readers }, (_, i) => repeat(actors.reader(dice(seed * 100 + i)))),
    ...Array.from({ length: writers }, (_, i) => repeat(actors.writer(dice(seed * 100 + 50 + i)))),
    ...(crashAfter === undefined ? [] : [actors.crash(crashAfter)])
  ], { concurrency: "unbounded" })

/** Storms come one after another until the parent says stop. */
const awaitStorms = (service: CacheService.CacheService, recorder: Recorder): Effect.Effect<void> =>
  Effect.gen(function*() {
    const definitions = stormDefinitions(recorder.p)
    for (;;) {
      if (stopping) return
      const next = storms.shift()
      if (next === undefined) {
        yield* Effect.promise(() =>
          new Promise<void>((resolve) => {
            stormed = resolve
          })
        )
        continue
      }
      const before = recorder.counts["Miss"] ?? 0
      const result = yield* Effect.provideService(runStorm(definitions, next), CacheService.CacheService, service)
      const waited = (recorder.counts["Miss"] ?? 0) - before
      send({ _tag: "Stormed", result: { ...result, waited } })
    }
  })

const setClock = (job: Job): ReadonlyArray<NodeJS.Timeout> =>
  job.clock.map(({ after, by }) =>
    setTimeout(() => {
      skew = by
    }, after)
  )

const work = (job: Job): Effect.Effect<void> => {
  const recorder = new Recorder(job)
  const actors = new Actors(job, recorder)
  actors.definitions = define(actors.lookup)
  const { cache } = job
  const started = (body: Effect.Effect<unknown>) =>
    Effect.gen(function*() {
      const gone = awaitGo()
      send({ _tag: "Prepared" })
      yield* Effect.promise(() => gone)
      const clocks = setClock(job)
      yield* body
      clocks.forEach(clearTimeout)
    })
  // What is wrong from the beginning is wrong before the layer first looks.
  skew = job.clock.find(({ after }) => after === 0)?.by ?? 0
  const run = cache._tag === "naive"
    ? Effect.scoped(
      Effect.flatMap(naive(cache.url, job.prefix, recorder, actors.lookup), (made) => {
        actors.cache = made
        return started(loops(actors, job))
      })
    )
    : CacheService.CacheService.use((service) => {
      actors.cache = ours(actors.definitions, service)
      return started(
        job.readers + job.writers > 0 || job.crashAfter !== undefined
          ? loops(actors, job)
          : awaitStorms(service, recorder)
      )
    }).pipe(Effect.provide(recorded(job, recorder)))
  return run.pipe(
    Effect.ensuring(Effect.sync(() => recorder.close())),
    Effect.provide(Logger.layer([])),
    Effect.catchCause((cause) => Effect.sync(() => trouble(Cause.pretty(cause))))
  )
}

process.on("message", (message: ToWorker) => {
  switch (message._tag) {
    case "Prepare":
      stopping = false
      storms = []
      void Effect.runPromise(work(message.job)).then(() => send({ _tag: "Done" }))
      break
    case "Go":
      go()
      break
    case "Stop":
      stopping = true
      stormed()
      break
    case "Storm":
      storms.push(message.storm)
      stormed()
      break
    case "Answer": {
      const resume = asked.get(message.n)
      asked.delete(message.n)
      resume?.(message)
      break
    }
  }
})

// Whoever has lost its parent has nobody to work for.
process.on("disconnect", () => process.exit(0))
process.on("unhandledRejection", (reason) => trouble(`unhandled rejection: ${String(reason)}`))
process.on("uncaughtException", (error) => trouble(`uncaught: ${error.stack}`))
send({ _tag: "Born" })
