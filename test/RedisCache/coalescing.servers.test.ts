/**
 * One load of a key at a time across processes, and how those who wait are
 * woken. A process is a layer with connections of its own.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import type * as CacheStore from "../../src/CacheStore.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import { startServer } from "../support/redis.ts"
import {
  both,
  lookAt,
  oneNode,
  Origin,
  patient,
  places,
  type Process,
  promise,
  sleepless,
  start,
  until,
  type Way
} from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"

class Down extends Schema.TaggedError<Down>()("Down", { load: Schema.Int }) {}

const processes = 4
const callers = 25

const start4 = (way: Way, prefix: string) =>
  Effect.all(Array.from({ length: processes }, () => start(way.layer({ prefix }))), {
    concurrency: "unbounded"
  })

const numbers = (
  origin: Origin,
  policy: Policy.Policy<string, number>,
  options: { readonly refresh?: Cached.Refresh } = {}
) =>
  Cached.make("number", {
    key: Key.string("of"),
    value: Schema.Finite,
    lookup: () => origin.load,
    waitLimit: "30 seconds",
    ...options
  }, Policy.all(policy, Policy.tagged("known"), Policy.tagged({ fromValue: (n: number) => [`value:${n}`] })))

/** Every caller of every process at once. */
const everyone = <A, E, R>(all: ReadonlyArray<Process>, effect: Effect.Effect<A, E, R>) =>
  Effect.forEach(
    all.flatMap((process) => Array.from({ length: callers }, () => process)),
    (process) => Effect.forkChild(process.run(effect))
  )

const joined = <A, E>(fibers: ReadonlyArray<Fiber.Fiber<A, E>>) => Effect.forEach(fibers, Fiber.join)

/** How often each store was asked to begin, and how many were answered that a lease is taken. */
const counting = (all: ReadonlyArray<Process>) => {
  const state = { begins: 0, leases: Array<CacheStore.Token>(), busy: new Map<CacheStore.Token, number>() }
  const answered = (begun: CacheStore.Begun) => {
    if (begun._tag === "Leased") state.leases.push(begun.lease.token)
    if (begun._tag === "Busy") state.busy.set(begun.token, (state.busy.get(begun.token) ?? 0) + 1)
  }
  const counted = all.map((process): Process => {
    const service = {
      ...process.service,
      store: {
        ...process.service.store,
        begin: (address: CacheStore.Address, request: CacheStore.Begin) => {
          state.begins++
          return Effect.tap(
            process.service.store.begin(address, request),
            (begun) => Effect.sync(() => answered(begun))
          )
        }
      }
    }
    return { service, run: (effect) => Effect.provideService(effect, CacheService.CacheService, service) as never }
  })
  return { state, counted }
}

for (const way of both) {
  describe(way.name, () => {
    it.live("4 processes with 25 callers each: one load of a cold key, one at its expiry, one in its stale window", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const client = yield* way.look
        const all = yield* start4(way, prefix)
        const origin = new Origin()
        const cached = numbers(origin, Policy.ttl("1 hour"))
        origin.hold()
        const cold = yield* everyone(all, Cached.get(cached, "a"))
        yield* origin.begun(1)
        yield* until(
          "all processes wait",
          () => client.get(places(prefix).lease("number:a")).then((lease) => lease?.[0] === "1")
        )
        yield* origin.release
        assert.deepStrictEqual(new Set(yield* joined(cold)), new Set([0]))
        assert.strictEqual(origin.loads, 1)

        // It is gone when the server says so.
        const entry = places(prefix).entry("number:a")
        yield* promise(() => client.pexpire(entry, 1))
        yield* until("it has expired", () => client.exists(entry).then((n) => n === 0))
        origin.version = 1
        origin.hold()
        const expired = yield* everyone(all, Cached.get(cached, "a"))
        yield* origin.begun(2)
        yield* origin.release
        const values = yield* joined(expired)
        assert.strictEqual(origin.loads, 2)
        assert.deepStrictEqual(new Set(values), new Set([1]))

        // In the stale window all are served, and one refreshes.
        const stale = new Origin()
        const windowed = numbers(stale, Policy.ttl("1 second", { stale: "1 hour" }))
        yield* all[0]!.run(Cached.get(windowed, "b"))
        yield* until(
          "it is stale",
          () => Effect.runPromise(all[0]!.run(Cached.explain(windowed, "b"))).then(({ verdict }) => verdict !== "Fresh")
        )
        stale.version = 1
        stale.hold()
        const served = yield* joined(yield* everyone(all, Cached.get(windowed, "b")))
        assert.deepStrictEqual(new Set(served), new Set([0]))
        yield* stale.begun(2)
        yield* stale.release
        yield* until(
          "it is refreshed",
          () => Effect.runPromise(all[1]!.run(Cached.get(windowed, "b"))).then((n) => n === 1)
        )
        assert.strictEqual(stale.loads, 2)
      }))

    it.live("who waits is woken, and does not poll", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const client = yield* way.look
        const { counted, state } = counting(yield* start4(way, prefix))
        const origin = new Origin()
        const cached = numbers(origin, Policy.forever)
        for (let i = 0; i < 10; i++) {
          const key = `key${i}`
          origin.hold()
          const loads = origin.loads
          state.begins = 0
          const fibers = yield* Effect.forEach(counted, (process) =>
            Effect.forkChild(sleepless(process.run(Cached.get(cached, key)))))
          yield* origin.begun(loads + 1)
          yield* until("all have begun", () =>
            state.begins === processes)
          yield* until("they wait", () =>
            client.get(places(prefix).lease(`number:${key}`)).then((lease) =>
              lease?.[0] === "1"
            ))
          yield* origin.release
          yield* joined(fibers)
          assert.strictEqual(origin.loads, loads + 1)
          // One begin each: woken, all read what was stored.
          assert.strictEqual(state.begins, processes)
        }
      }))

    it.live("a lookup that fails is asked once, and its failure is for all of a process", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const all = yield* start4(way, prefix)
        const origin = new Origin()
        let failed = 0
        const cached = Cached.make("failing", {
          key: Key.string("of"),
          value: Schema.Finite,
          lookup: () =>
            Effect.flatMap(origin.load, () => Effect.suspend(() => Effect.fail(new Down({ load: ++failed })))),
          failures: { error: Down, policy: Policy.ttl("1 minute") },
          waitLimit: "30 seconds"
        }, Policy.forever)
        origin.hold()
        const fibers = yield* everyone(all, Effect.flip(Cached.get(cached, "a")))
        yield* origin.begun(1)
        yield* origin.release
        const errors = yield* joined(fibers)
        assert.deepStrictEqual(new Set(errors.map((error) => error instanceof Down && error.load)), new Set([1]))
        assert.strictEqual(origin.loads, 1)
      }))

    it.live("a failure that is not cached is shared by all who wait: one load by each process", () =>
      Effect.gen(function*() {
        const { counted, state } = counting(yield* start4(way, freshPrefix()))
        let loads = 0
        // Whoever asks only when a load is over loads again. So each lasts until all whom no load has answered know of it.
        const load = Effect.suspend(() => {
          const others = (processes - loads++) * callers - 1
          const lease = state.leases.at(-1)!
          return until("all the others wait for it", () => (state.busy.get(lease) ?? 0) >= others)
        })
        const cached = Cached.make("failing", {
          key: Key.string("of"),
          value: Schema.Finite,
          lookup: () => Effect.flatMap(load, () => Effect.fail(new Down({ load: 0 }))),
          waitLimit: "30 seconds"
        }, Policy.forever)
        // Who asks anew because a second is over would be counted twice.
        const errors = yield* joined(yield* everyone(counted, sleepless(Effect.flip(Cached.get(cached, "a")))))
        assert.isTrue(errors.every((error) => error instanceof Down))
        assert.strictEqual(loads, processes)
      }))

    it.live("who waits for a write-through that fails is woken, whatever the version of the definition", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const client = yield* way.look
        const [writer, reader] = yield* start4(way, prefix)
        for (const version of [undefined, 2]) {
          const cached = Cached.make("written", {
            key: Key.string("of"),
            value: Schema.Finite,
            lookup: () => Effect.succeed(7),
            waitLimit: "30 seconds",
            ...(version === undefined ? {} : { version })
          }, Policy.forever)
          const write = Deferred.makeUnsafe<never, Down>()
          const setting = yield* Effect.forkChild(
            writer!.run(Effect.flip(Cached.set(cached, "a", Deferred.await(write)))),
            { startImmediately: true }
          )
          const lease = places(prefix).lease("written:a") + (version === undefined ? "" : `#${version}`)
          yield* until("the lease is the writer's", () => client.exists(lease).then((n) => n === 1))
          const read = reader!.run(Cached.get(cached, "a"))
          // What is published in a cluster may get lost between two nodes that are busy.
          const reading = yield* Effect.forkChild(way === oneNode ? sleepless(read) : read)
          const held = yield* until(
            "the reader waits",
            () => client.get(lease).then((held) => held?.[0] === "1" && held)
          )
          yield* Deferred.fail(write, new Down({ load: 0 }))
          assert.instanceOf(yield* Fiber.join(setting), Down)
          assert.notStrictEqual(yield* promise(() => client.get(lease)), held)
          assert.strictEqual(yield* Fiber.join(reading), 7)
          yield* writer!.run(Cached.invalidate(cached, "a"))
        }
      }))

    it.live("a holder that goes away is replaced by one of those who wait", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const client = yield* way.look
        const scope = yield* Scope.make()
        const mortal = yield* Scope.provide(start(way.layer({ prefix })), scope)
        const all = yield* start4(way, prefix)
        const origin = new Origin()
        const cached = numbers(origin, Policy.forever)
        origin.hold()
        const first = yield* Effect.forkChild(Effect.exit(mortal.run(Cached.get(cached, "a"))))
        yield* origin.begun(1)
        const fibers = yield* everyone(all, Cached.get(cached, "a"))
        yield* until(
          "they wait",
          () => client.get(places(prefix).lease("number:a")).then((lease) => lease?.[0] === "1")
        )
        yield* Scope.close(scope, Exit.void)
        yield* origin.begun(2)
        yield* origin.release
        yield* joined(fibers)
        assert.isTrue(Exit.isFailure(yield* Fiber.join(first)))
        assert.strictEqual(origin.loads, 2)
      }))

    it.live("a lease that runs out is taken by another, and its holder's load is refused", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const [one, two] = yield* start4(way, prefix)
        const origin = new Origin()
        const holding = (lease: number) =>
          Cached.make("held", {
            key: Key.string("of"),
            value: Schema.Finite,
            lookup: () => origin.load,
            lease
          }, Policy.forever)
        const [cached, longer] = [holding(60), holding(60_000)]
        origin.hold()
        const paused = yield* Effect.forkChild(one!.run(Cached.get(cached, "a")))
        yield* origin.begun(1)
        origin.version = 1
        const taking = yield* Effect.forkChild(two!.run(Cached.get(longer, "a")))
        yield* origin.begun(2)
        yield* origin.release
        yield* Fiber.join(paused)
        assert.strictEqual(yield* Fiber.join(taking), 1)
        const { refused } = yield* one!.run(Cached.stats(cached))
        assert.strictEqual(refused, 1)
        assert.strictEqual(yield* one!.run(Cached.get(cached, "a")), 1)
        assert.strictEqual(origin.loads, 2)
      }))
  })
}

describe("notifications that are lost", () => {
  const server = Effect.acquireRelease(promise(() => startServer()), (server) => promise(() => server.stop()))

  /** One loads and the other waits for it, both in their own way; gives how long it waits once the load has ended. */
  const waiting = (
    one: Process,
    two: Process,
    leased: () => Promise<string | null>,
    { lose = Effect.void, wait = (get) => get }: {
      readonly lose?: Effect.Effect<unknown>
      readonly wait?: typeof sleepless
    }
  ) =>
    Effect.gen(function*() {
      const origin = new Origin()
      const cached = numbers(origin, Policy.forever)
      origin.hold()
      const first = yield* Effect.forkChild(one.run(Cached.get(cached, "a")))
      yield* origin.begun(1)
      const second = yield* Effect.forkChild(wait(two.run(Cached.get(cached, "a"))))
      yield* until("it waits", () => leased().then((lease) => lease?.[0] === "1"))
      yield* lose
      yield* origin.release
      yield* Fiber.join(first)
      const before = performance.now()
      assert.strictEqual(yield* Fiber.join(second), 0)
      assert.strictEqual(origin.loads, 1)
      return performance.now() - before
    })

  it.live("when the connection that listens is back, those who wait look for themselves", () =>
    Effect.gen(function*() {
      const { url } = yield* server
      const client = yield* lookAt(url)
      const prefix = freshPrefix()
      const another = start(RedisCache.layer({ url, ...patient, prefix }))
      const [one, two] = [yield* another, yield* another]
      const leased = () => client.get(places(prefix).lease("number:a"))
      const lose = promise(() => client.call("CLIENT", "KILL", "TYPE", "pubsub"))
      yield* waiting(one, two, leased, { lose, wait: sleepless })
      yield* until("both listen again", () =>
        client.call("PUBSUB", "NUMSUB", `${prefix}:released`).then((answer) =>
          Number((answer as Array<unknown>)[1]) === 2
        ))
    }))

  it.live("without such a connection, polling ends the wait", () =>
    Effect.gen(function*() {
      const { host, port, url } = yield* server
      const client = yield* lookAt(url)
      yield* promise(() => client.call("ACL", "SETUSER", "deaf", "on", ">x", "~*", "&*", "+@all", "-subscribe"))
      const prefix = freshPrefix()
      const one = yield* start(RedisCache.layer({ url, ...patient, prefix }))
      const two = yield* start(RedisCache.layer({ url: `redis://deaf:x@${host}:${port}`, ...patient, prefix }))
      const leased = () => client.get(places(prefix).lease("number:a"))
      // If nothing polled, the limit of the wait would end it, after thirty seconds.
      assert.isBelow(yield* waiting(one, two, leased, {}), 10_000)
    }))
})
