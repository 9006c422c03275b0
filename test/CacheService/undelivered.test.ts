import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, Exit, Fiber, Logger, References, Schedule, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Dependency from "../../src/Dependency.ts"
import { inside } from "../../src/internal/service/model.ts"
import { instrument } from "../../src/internal/testing/instruments.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { asks, at, begin, draft, load } from "../support/port.ts"
import { forked, inSteps, service, store, text } from "./support.ts"

describe("an undelivered invalidation", () => {
  const tag = Invalidation.tags

  /** What this process sees of a key, and what the store holds. */
  const seen = (address: CacheStore.Address) =>
    Effect.gen(function*() {
      const here = yield* (yield* store).read(address)
      const there = yield* (yield* TestCache.TestCache).store.read(address)
      return [here !== undefined, there !== undefined] as const
    })

  const fails = (batch: Invalidation.Invalidation) => Effect.flip(Cached.apply(batch))

  const waiting = Effect.map(CacheService.undelivered, (all) => all.map(({ invalidation }) => invalidation.toString()))

  /** What was asked of the store to invalidate, and when. */
  const recording = Effect.gen(function*() {
    const asked: Array<string> = []
    yield* TestCache.disturb("invalidate", (operation, perform) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        asked.push(`${now} ${operation.detail}`)
        return perform
      }))
    return asked
  })

  const refused = (operation: string) =>
    Effect.fail(new CacheStore.StoreError({ operation, reason: { _tag: "Unavailable" }, mayHaveHappened: false }))

  /** Refuses until it is told to stop; says what was asked, and when. */
  const refusing = (...which: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      const state = { asked: [] as Array<string>, down: true }
      yield* TestCache.disturb("invalidate", (operation, perform) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          state.asked.push(`${now} ${operation.detail}`)
          const hit = which.length === 0 || which.includes(operation.detail!)
          return state.down && hit ? refused("invalidate") : perform
        }))
      return state
    })

  it.effect("is dead in this process at once, and in the store when it is delivered", () =>
    Effect.gen(function*() {
      for (const [key, name] of [["a", "x"], ["b", "y"]] as const) yield* load(yield* store, at(key, name))
      yield* TestCache.fail("invalidate", 1)
      yield* fails(tag("x"))
      assert.deepStrictEqual(yield* waiting, ["tag x"])
      assert.deepStrictEqual(yield* seen(at("a", "x")), [false, true])
      assert.deepStrictEqual(yield* seen(at("b", "y")), [true, true])
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(yield* waiting, [])
      assert.isTrue((yield* (yield* TestCache.TestCache).store.read(at("a", "x")))?.changed?.has(Dependency.tag("x")))
      yield* load(yield* store, at("a", "x"))
      assert.deepStrictEqual(yield* seen(at("a", "x")), [true, true])
    }).pipe(Effect.provide(text())))

  const ways: Record<string, Invalidation.Invalidation> = {
    "a key": Invalidation.keys("a:1"),
    "a tag": tag("x"),
    "a tag that was found in the value": tag("found"),
    "a pattern": Invalidation.pattern({ name: "a", parts: [undefined] }),
    "everything": Invalidation.everything,
    "a soft one, which counts as hard meanwhile": Invalidation.soft(tag("x")),
    "a batch of several parts": Invalidation.combine(tag("other"), Invalidation.everything)
  }
  for (const [what, batch] of Object.entries(ways)) {
    it.effect(`covers what it names: ${what}`, () =>
      Effect.gen(function*() {
        yield* load(yield* store, at("a:1", "x"), { found: ["found"] })
        yield* load(yield* store, at("b:1", "z"))
        yield* TestCache.fail("invalidate")
        yield* fails(batch)
        assert.deepStrictEqual(yield* seen(at("a:1", "x")), [false, true])
        assert.deepStrictEqual(yield* seen(at("b:1", "z")), [batch.everything === undefined, true])
        yield* TestCache.restore
        yield* TestClock.adjust(100)
        assert.deepStrictEqual(yield* waiting, [])
      }).pipe(Effect.provide(text())))
  }

  it.effect("covers what it names: a batch of which the first step has happened", () =>
    Effect.gen(function*() {
      yield* load(yield* store, at("a:1", "x"))
      yield* load(yield* store, at("b:1", "z"))
      yield* TestCache.fail("lift")
      yield* fails(Invalidation.combine(Invalidation.keys("b:1"), Invalidation.pattern({ name: "a", parts: ["1"] })))
      const addresses = [at("a:1", "x"), at("b:1", "z")]
      // What another process stores then, when the fence is gone: this one cannot tell that it is younger.
      yield* TestCache.evict("journal")
      for (const address of addresses) {
        assert.deepStrictEqual(yield* seen(address), [false, false])
        yield* load((yield* TestCache.TestCache).store, address)
        assert.deepStrictEqual(yield* seen(address), [false, true])
      }
      yield* TestCache.restore
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(yield* waiting, [])
      for (const address of addresses) assert.deepStrictEqual(yield* seen(address), [false, false])
    }).pipe(Effect.provide(inSteps)))

  it.effect("is told with how often and since when it was tried", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_000_000)
      const down = yield* refusing()
      yield* fails(tag("x"))
      yield* TestClock.adjust(300)
      const [one] = yield* CacheService.undelivered
      assert.deepInclude(one, { since: 1_000_000, attempts: 3 })
      down.down = false
    }).pipe(Effect.provide(text())))

  it.effect("is tried again after a tenth of a second, then twice as long, and at last every five seconds", () =>
    Effect.gen(function*() {
      const down = yield* refusing()
      yield* fails(tag("x"))
      yield* TestClock.adjust("20 seconds")
      const times = down.asked.map((line) => Number(line.split(" ")[0]))
      assert.deepStrictEqual(times, [0, 100, 300, 700, 1500, 3100, 6300, 11_300, 16_300])
      down.down = false
    }).pipe(Effect.provide(text())))

  it.effect("is tried by the schedule that is given, and on when that ends", () =>
    Effect.gen(function*() {
      const { instruments, store } = instrument(yield* MemoryCache.makeStore({ capacity: 10 }))
      const made = yield* CacheService.make(store, { retry: Schedule.upTo(Schedule.spaced(10), { times: 2 }) })
      const context = Context.make(service, made).pipe(Context.add(TestCache.TestCache, instruments))
      yield* Effect.provide(
        Effect.gen(function*() {
          const down = yield* refusing()
          yield* fails(tag("x"))
          yield* TestClock.adjust("12 seconds")
          const times = down.asked.map((line) => Number(line.split(" ")[0]))
          assert.deepStrictEqual(times, [0, 10, 20, 5020, 10_020])
          down.down = false
        }),
        context
      )
    }))

  it.effect("several are delivered in the order in which they failed", () =>
    Effect.gen(function*() {
      const down = yield* refusing()
      for (const name of ["c", "a", "b", "d"]) yield* fails(tag(name))
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(yield* waiting, ["tag c", "tag a", "tag b", "tag d"])
      down.down = false
      down.asked.length = 0
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(down.asked, ["1500 tag c", "1500 tag a", "1500 tag b", "1500 tag d"])
      assert.deepStrictEqual(yield* waiting, [])
    }).pipe(Effect.provide(text())))

  it.effect("those that cannot be delivered do not hold up those behind them", () =>
    Effect.gen(function*() {
      const down = yield* refusing("tag a", "tag b", "tag c", "tag z")
      for (const name of ["a", "b", "c", "z"]) yield* fails(tag(name))
      yield* load(yield* store, at("k", "z"))
      assert.deepStrictEqual(yield* seen(at("k", "z")), [false, true])
      yield* TestCache.restore
      const still = yield* refusing("tag a", "tag b", "tag c")
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* waiting, ["tag a", "tag b", "tag c"])
      // What is delivered covers nothing any more.
      yield* load(yield* store, at("k", "z"))
      assert.deepStrictEqual(yield* seen(at("k", "z")), [true, true])
      down.down = still.down = false
    }).pipe(Effect.provide(text())))

  it.effect("a store that is down is not asked for each of many", () =>
    Effect.gen(function*() {
      const down = yield* refusing()
      for (let i = 0; i < 1000; i++) yield* fails(tag(`t${i}`))
      down.asked.length = 0
      yield* TestClock.adjust(100)
      assert.strictEqual(down.asked.length, 1)
      yield* TestClock.adjust(200)
      assert.strictEqual(down.asked.length, 3)
      down.down = false
      yield* TestClock.adjust(400)
      assert.deepStrictEqual(yield* waiting, [])
    }).pipe(Effect.provide(text())))

  it.effect("that is called for again and acknowledged is done with", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("invalidate", 1)
      yield* fails(tag("x"))
      yield* Cached.apply(tag("x"))
      assert.deepStrictEqual(yield* waiting, [])
      const asked = yield* recording
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(asked, [])
    }).pipe(Effect.provide(text())))

  it.effect("that is called for again and fails again is one", () =>
    Effect.gen(function*() {
      const down = yield* refusing()
      yield* fails(tag("x"))
      yield* fails(tag("y"))
      yield* TestClock.adjust(50)
      yield* fails(tag("x"))
      assert.deepStrictEqual(yield* waiting, ["tag y", "tag x"])
      const [, x] = yield* CacheService.undelivered
      assert.deepInclude(x, { since: 0, attempts: 2 })
      down.down = false
    }).pipe(Effect.provide(text())))

  it.effect("an answer to an earlier try does not stand for a later call", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("invalidate", 1)
      yield* fails(tag("x"))
      // The second try takes place at once, and its answer takes half a second.
      yield* TestCache.disturb("invalidate", (_, perform) => Effect.tap(perform, Effect.sleep(500)), 1)
      yield* TestClock.adjust(100)
      // Loaded after the try has happened, and before the next call.
      yield* load(yield* store, at("a", "x"))
      yield* TestCache.fail("invalidate", 1)
      yield* fails(tag("x"))
      const asked = yield* recording
      yield* TestClock.adjust(500)
      assert.deepStrictEqual(yield* waiting, ["tag x"])
      assert.isFalse((yield* seen(at("a", "x")))[0])
      yield* TestClock.adjust(500)
      assert.deepStrictEqual(yield* waiting, [])
      assert.strictEqual(asked.length, 1)
    }).pipe(Effect.provide(text())))

  it.effect("whose caller is interrupted is delivered all the same", () =>
    Effect.gen(function*() {
      yield* load(yield* store, at("a", "x"))
      yield* TestCache.lose("invalidate", "request", 1)
      const fiber = yield* forked(Cached.apply(tag("x")))
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* waiting, ["tag x"])
      assert.deepStrictEqual(yield* seen(at("a", "x")), [false, true])
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(yield* waiting, [])
    }).pipe(Effect.provide(text())))

  it.effect("of a store that dies is kept, too", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      let broken = true
      const made = yield* CacheService.make({
        ...memory,
        invalidate: (batch) => broken ? Effect.die("broken") : memory.invalidate(batch)
      })
      yield* Effect.exit(Effect.provideService(Cached.apply(tag("x")), service, made))
      assert.strictEqual((yield* made.undelivered).length, 1)
      yield* TestClock.adjust(100)
      assert.strictEqual((yield* made.undelivered).length, 1)
      broken = false
      yield* TestClock.adjust(200)
      assert.strictEqual((yield* made.undelivered).length, 0)
    }))

  it.effect("of more than ten thousand targets everything is made", () =>
    Effect.gen(function*() {
      const down = yield* refusing()
      yield* load(yield* store, at("other"))
      for (let i = 0; i < 10; i++) {
        yield* fails(Invalidation.keys(Array.from({ length: 1000 }, (_, n) => `k${i}:${n}`)))
      }
      assert.strictEqual((yield* waiting).length, 10)
      assert.isTrue((yield* seen(at("other")))[0])
      yield* TestClock.adjust(50)
      yield* fails(tag("x"))
      assert.deepStrictEqual(yield* waiting, ["everything"])
      assert.deepInclude((yield* CacheService.undelivered)[0], { since: 0 })
      assert.isFalse((yield* seen(at("other")))[0])
      yield* fails(tag("y"))
      assert.strictEqual((yield* waiting).length, 2)
      down.down = false
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* waiting, [])
      assert.deepStrictEqual(yield* seen(at("other")), [false, false])
    }).pipe(Effect.provide(text({ failures: 100 }))))

  it.effect("is told as events, each time, until it is acknowledged", () =>
    Effect.gen(function*() {
      const heard: Array<string> = []
      yield* forked(Stream.runForEach(CacheService.events, (one) =>
        Effect.sync(() => {
          if (one._tag === "Undelivered") {
            heard.push(`${one.invalidation} undelivered ${one.attempts} ${one.error.reason._tag}`)
          } else if (one._tag === "Invalidated") heard.push(`${one.invalidation} invalidated ${one.entries}`)
          else heard.push(one._tag)
        })))
      const { watched } = inside(yield* service)
      while (!watched()) yield* Effect.yieldNow
      yield* load(yield* store, at("a", "x"))
      yield* TestCache.fail("invalidate", 3)
      yield* fails(tag("x"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(heard, [
        "StoreFailed",
        "tag x undelivered 1 Unavailable",
        "StoreFailed",
        "tag x undelivered 2 Unavailable",
        "StoreFailed",
        "tag x undelivered 3 Unavailable",
        "tag x invalidated 1"
      ])
    }).pipe(Effect.provide(text())))

  /** The lines that are logged, and the context that logs them. */
  const makeLog = () => {
    const lines: Array<{ readonly level: string; readonly text: string; readonly annotations: object }> = []
    const logger = Logger.make((options) => {
      const annotations = options.fiber.getRef(References.CurrentLogAnnotations)
      const text = String(options.message)
      // That the store is lost is told besides: `CacheService/health`.
      if (!text.startsWith("the store of the cache")) lines.push({ level: options.logLevel, text, annotations })
    })
    return { lines, layer: Logger.layer([logger]) }
  }

  it.effect("makes a line in the log when it begins, and then one a minute", () =>
    Effect.gen(function*() {
      const log = makeLog()
      yield* Effect.gen(function*() {
        const down = yield* refusing()
        yield* Effect.annotateLogs(fails(tag("x")), { request: 1 })
        yield* fails(tag("y"))
        assert.strictEqual(log.lines.length, 1)
        assert.strictEqual(log.lines[0]!.level, "Warn")
        assert.deepStrictEqual(log.lines[0]!.annotations, {
          request: 1,
          invalidation: "tag x",
          reason: "Unavailable",
          undelivered: 1
        })
        yield* TestClock.adjust("59 seconds")
        assert.strictEqual(log.lines.length, 1)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(log.lines.length, 2)
        // It is about one of the two, and says whose that was.
        const { invalidation, request } = log.lines[1]!.annotations as Record<string, unknown>
        assert.strictEqual(request, invalidation === "tag x" ? 1 : undefined)
        down.down = false
        yield* TestClock.adjust("5 seconds")
      }).pipe(Effect.provide(text()), Effect.provide(log.layer))
      assert.strictEqual(log.lines.length, 2)
    }))

  it.effect("of a write behind a fence that could not be taken away is delivered after it", () =>
    Effect.gen(function*() {
      yield* load(yield* store, at("a", "x"))
      yield* TestCache.fail("lift", 1)
      yield* Effect.flip(Cached.mutate(Effect.void, tag("x")))
      assert.deepStrictEqual(yield* waiting, ["tag x"])
      const asked = yield* recording
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(asked, ["100 tag x"])
      assert.deepStrictEqual(yield* waiting, [])
      // So it is if the write has failed: it may have happened.
      yield* TestCache.fail("lift", 1)
      assert.strictEqual(yield* Effect.flip(Cached.mutate(Effect.fail("no"), tag("x"))), "no")
      assert.deepStrictEqual(yield* waiting, ["tag x"])
    }).pipe(Effect.provide(text())))

  it.effect("is not made of a fence that could not be opened: nothing was written", () =>
    Effect.gen(function*() {
      yield* TestCache.fail("fence", 1)
      yield* Effect.flip(Cached.mutate(Effect.void, tag("x")))
      assert.deepStrictEqual(yield* waiting, [])
    }).pipe(Effect.provide(text())))

  it.effect("costs a hit nothing while there is none: the answer is the store's own", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCache.makeStore({ capacity: 10 })
      const made = yield* CacheService.make(memory)
      yield* load(made.store, at("a"))
      assert.isTrue(Exit.isExit(made.store.read(at("a"))))
      assert.strictEqual(made.store.read(at("a")), memory.read(at("a")))
    }))

  it.effect("is known to who asks why", () =>
    Effect.gen(function*() {
      const one = Cached.make("one", {
        key: Key.unit,
        value: Schema.Finite,
        lookup: () => Effect.succeed(1)
      }, Policy.tagged("x"))
      yield* Cached.get(one, undefined)
      assert.strictEqual((yield* Cached.explain(one, undefined)).verdict, "Fresh")
      const down = yield* refusing()
      yield* fails(tag("x"))
      yield* TestClock.adjust(50)
      const why = yield* Cached.explain(one, undefined)
      assert.strictEqual(why.verdict, "Dead")
      assert.include(why.toString(), "not acknowledged by the store 50 ms ago")
      down.down = false
    }).pipe(Effect.provide(text())))

  describe("and loads", () => {
    it.effect("one that began before is not stored, nor shared", () =>
      Effect.gen(function*() {
        const port = yield* store
        const lease = yield* begin(port, at("a", "x"))
        const down = yield* refusing()
        yield* fails(tag("found"))
        assert.strictEqual(
          yield* port.commit(at("a", "x"), lease, draft(at("a", "x"), { found: ["found"] })),
          "invalidated"
        )
        assert.deepStrictEqual(yield* TestCache.entries, [])
        assert.strictEqual((yield* TestCache.sizes).leases, 0)
        down.down = false
      }).pipe(Effect.provide(text())))

    it.effect("one that is just being stored is not shared", () =>
      Effect.gen(function*() {
        const port = yield* store
        const lease = yield* begin(port, at("a", "x"))
        yield* TestCache.disturb("commit", (_, perform) => Effect.tap(perform, Effect.sleep(50)), 1)
        const committing = yield* forked(port.commit(at("a", "x"), lease, draft(at("a", "x"))))
        const down = yield* refusing()
        yield* fails(tag("x"))
        yield* TestClock.adjust(50)
        assert.strictEqual(yield* Fiber.join(committing), "invalidated")
        assert.deepStrictEqual(yield* seen(at("a", "x")), [false, true])
        down.down = false
      }).pipe(Effect.provide(text())))

    it.effect("one that began after it is stored and shared; of two, the later one counts", () =>
      Effect.gen(function*() {
        const port = yield* store
        const down = yield* refusing()
        yield* fails(tag("x"))
        const [a, b] = [yield* begin(port, at("a", "x")), yield* begin(port, at("b", "x"))]
        assert.strictEqual(yield* port.commit(at("a", "x"), a, draft(at("a", "x"))), "stored")
        yield* fails(tag("y"))
        yield* fails(tag("x"))
        assert.strictEqual(yield* port.commit(at("b", "x"), b, draft(at("b", "x"))), "invalidated")
        down.down = false
      }).pipe(Effect.provide(text())))

    it.effect("an entry that it covers is dropped for whoever would load", () =>
      Effect.gen(function*() {
        const port = yield* store
        yield* load(port, at("a", "x"))
        const down = yield* refusing()
        yield* fails(tag("x"))
        const begun = yield* port.begin(at("a", "x"), asks())
        assert.strictEqual(begun._tag, "Leased")
        assert.deepStrictEqual(yield* TestCache.entries, [])
        down.down = false
      }).pipe(Effect.provide(text())))

    /** A value that takes a second to load, and how often it was. */
    const slow = () => {
      const origin = { value: 0, loads: 0 }
      const cached = Cached.make("slow", {
        key: Key.unit,
        value: Schema.Finite,
        lookup: () =>
          Effect.suspend(() => {
            origin.loads++
            return Effect.delay(Effect.succeed(origin.value), "1 second")
          })
      }, Policy.tagged("x"))
      return { origin, get: Cached.get(cached, undefined) }
    }

    it.effect("a hundred callers afterwards make one load of their own, and join none from before", () =>
      Effect.gen(function*() {
        // The answers travel: all hundred ask before the first is answered.
        yield* TestCache.disturb("begin", (_, perform) => Effect.tap(perform, Effect.sleep(10)))
        const { get, origin } = slow()
        const early = yield* forked(get)
        const joined = yield* forked(get)
        yield* TestClock.adjust(100)
        origin.value = 1
        const down = yield* refusing()
        yield* fails(tag("x"))
        const late = yield* Effect.forEach(Array.from({ length: 100 }), () => forked(get))
        // None of them has waited for the load from before.
        yield* TestClock.adjust(1050)
        assert.isTrue(late.every((fiber) => fiber.pollUnsafe() !== undefined))
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* Fiber.join(early), 0)
        assert.deepStrictEqual([...new Set(yield* Effect.forEach(late, Fiber.join))], [1])
        // It was reading before that load began, which is as good to it as one of its own.
        assert.strictEqual(yield* Fiber.join(joined), 0)
        assert.isAtMost(origin.loads, 3)
        down.down = false
      }).pipe(Effect.provide(text())))

    it.effect("reads load, until it is delivered; then they are hits again", () =>
      Effect.gen(function*() {
        const origin = { loads: 0 }
        const cached = Cached.make("count", {
          key: Key.unit,
          value: Schema.Finite,
          lookup: () => Effect.sync(() => ++origin.loads)
        }, Policy.tagged("x"))
        const get = Cached.get(cached, undefined)
        yield* get
        const down = yield* refusing()
        yield* fails(tag("x"))
        assert.deepStrictEqual([yield* get, yield* get], [2, 3])
        assert.isTrue((yield* Cached.getOption(cached, undefined))._tag === "None")
        down.down = false
        yield* TestClock.adjust(100)
        assert.deepStrictEqual([yield* get, yield* get], [4, 4])
      }).pipe(Effect.provide(text())))
  })

  describe("when the layer is released", () => {
    /** A service on a store whose invalidations end as they are told; what was logged when it was released. */
    const releasing = (
      last: Effect.Effect<number, CacheStore.StoreError>,
      ...batches: ReadonlyArray<Invalidation.Invalidation>
    ) =>
      Effect.gen(function*() {
        const log = makeLog()
        const asked: Array<string> = []
        let answer: Effect.Effect<number, CacheStore.StoreError> = refused("invalidate")
        yield* Effect.gen(function*() {
          const memory = yield* MemoryCache.makeStore({ capacity: 10 })
          const invalidate = (batch: Invalidation.Invalidation) =>
            Effect.suspend(() => {
              asked.push(batch.toString())
              return answer
            })
          const made = yield* CacheService.make(CacheStore.guard({ ...memory, invalidate }))
          for (const batch of batches) yield* Effect.provideService(fails(batch), service, made)
          asked.length = 0
          log.lines.length = 0
          answer = last
        }).pipe(Effect.scoped, Effect.provide(log.layer), Effect.provideService(References.MinimumLogLevel, "All"))
        return { asked, lines: log.lines.map(({ annotations, level }) => [level, annotations]) }
      })

    it.effect("all are tried once more, together", () =>
      Effect.gen(function*() {
        const { asked, lines } = yield* releasing(Effect.succeed(7), tag("x"), tag("y"), Invalidation.keys("a"))
        assert.deepStrictEqual(asked, ["key a, tag x, tag y"])
        assert.deepStrictEqual(lines, [["Debug", { invalidation: "key a, tag x, tag y", entries: 7 }]])
      }))

    it.effect("and those that are lost are named", () =>
      Effect.gen(function*() {
        const { asked, lines } = yield* releasing(refused("invalidate"), tag("x"), tag("y"))
        assert.deepStrictEqual(asked, ["tag x, tag y"])
        assert.deepStrictEqual(lines, [["Warn", { invalidation: "tag x, tag y", undelivered: 2 }]])
      }))

    it.effect("a store that does not answer is not waited for", () =>
      Effect.gen(function*() {
        const { lines } = yield* releasing(Effect.never, tag("x"))
        assert.deepStrictEqual(lines, [["Warn", { invalidation: "tag x", undelivered: 1 }]])
      }))

    it.effect("nothing is said if there is nothing", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* releasing(Effect.never), { asked: [], lines: [] })
      }))
  })
})
