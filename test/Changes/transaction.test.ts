/**
 * What a transaction publishes and invalidates is delivered after its commit, or never. The transaction here is a table in
 * memory with commit and rollback; `SqlOutbox.test.ts` does it on Postgres.
 */
import { assert, describe } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Change from "../../src/Change.ts"
import * as Changes from "../../src/Changes.ts"
import * as Entity from "../../src/Entity.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { alien, begin, errorOf, Film, onEach, onText, settle } from "../support/cached.ts"

const Films = Entity.make("film", { schema: Film, id: "id", partitions: ["genre"] })

class CommitFailed extends Schema.TaggedError<CommitFailed>()("CommitFailed", {}) {}

/** A table of titles that only a commit shows to others, and a cached read of it that counts its loads. */
class Table {
  loads = 0
  commits = 0
  /** What the commit does beside committing. */
  afterCommit: Effect.Effect<void, CommitFailed> = Effect.void
  private rows = new Map([[7, "Alien"], [8, "Heat"]])
  /** One transaction at a time, and its savepoints. */
  private readonly open: Array<Map<number, string>> = []

  committed(id: number): string {
    return this.rows.get(id)!
  }

  read(id: number): string {
    return (this.open.at(-1) ?? this.rows).get(id) ?? "?"
  }

  write(id: number, title: string): Effect.Effect<void> {
    return Effect.sync(() => void this.open.at(-1)!.set(id, title))
  }

  readonly transaction = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | CommitFailed, R> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen({ self: this }, function*() {
        this.open.push(new Map(this.open.at(-1) ?? this.rows))
        const exit = yield* Effect.exit(restore(effect))
        const rows = this.open.pop()!
        if (Exit.isFailure(exit)) return yield* exit
        if (this.open.length > 0) this.open[this.open.length - 1] = rows
        else {
          this.rows = rows
          this.commits++
          yield* this.afterCommit
        }
        return yield* exit
      })
    )

  readonly title = Cached.make("title", {
    key: Key.int("id"),
    value: Schema.String,
    lookup: (id) => Effect.sync(() => (this.loads++, this.read(id)))
  }, Policy.conditional(Films, { fields: ["title"] }))
}

const makeTable = () => new Table()

const renamed = (id: number, from: string, to: string) =>
  Films.updated({ ...alien, id, title: from }, { ...alien, id, title: to })

class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {}

describe("a transaction", () => {
  onEach(
    "delivers what it published after its commit, and not before",
    Effect.gen(function*() {
      const table = makeTable()
      yield* Cached.get(table.title, 7)
      const gate = yield* Deferred.make<void>()
      const writer = yield* begin(
        Effect.gen(function*() {
          yield* table.write(7, "Aliens")
          assert.isTrue((yield* Changes.publish(renamed(7, "Alien", "Aliens"))).deferred)
          yield* Deferred.await(gate)
        }).pipe(Changes.withTransaction(table.transaction))
      )
      // Told now, a reader would load the old row and keep it.
      assert.strictEqual(yield* Cached.get(table.title, 7), "Alien")
      assert.strictEqual(table.loads, 1)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(writer)
      assert.strictEqual(yield* Cached.get(table.title, 7), "Aliens")
    })
  )

  onEach(
    "that is rolled back delivers nothing",
    Effect.gen(function*() {
      const table = makeTable()
      yield* Cached.get(table.title, 7)
      const failed = Effect.gen(function*() {
        yield* table.write(7, "Aliens")
        yield* Changes.publish(renamed(7, "Alien", "Aliens"))
        yield* Cached.invalidate(table.title, 7)
        return yield* new Refused()
      }).pipe(Changes.withTransaction(table.transaction))
      assert.instanceOf(yield* errorOf(failed), Refused)
      yield* Cached.get(table.title, 7)
      assert.strictEqual(table.loads, 1)
    })
  )

  onEach(
    "collects whatever invalidates: keys, tags, patterns, writes through",
    Effect.gen(function*() {
      const table = makeTable()
      const write = Effect.gen(function*() {
        yield* Cached.invalidate(table.title, 7)
        yield* Cached.apply(Invalidation.combine(Invalidation.tags("a"), Cached.pattern(table.title, {})))
        yield* Cached.set(table.title, 8, Effect.as(table.write(8, "Heat 2"), "Heat 2"))
        yield* Cached.refresh(table.title, 9).pipe(Effect.ignore)
      }).pipe(Changes.collect, table.transaction)
      const [, { changes, invalidation }] = yield* write
      assert.deepStrictEqual(changes, [])
      assert.strictEqual(invalidation.toString(), "key title:7, key title:8, key title:9, keys title:*, tag a")
    })
  )

  onEach(
    "gives the result of a write through, and empties the key when it is committed",
    Effect.gen(function*() {
      const table = makeTable()
      yield* Cached.get(table.title, 8)
      yield* Cached.set(table.title, 8, Effect.as(table.write(8, "Heat 2"), "Heat 2")).pipe(
        Changes.withTransaction(table.transaction)
      )
      assert.strictEqual(yield* Cached.get(table.title, 8), "Heat 2")
      assert.strictEqual(table.loads, 2)
    })
  )

  onEach(
    "reads past the cache: it sees its own writes, and no other reader does",
    Effect.gen(function*() {
      const table = makeTable()
      yield* Cached.get(table.title, 7)
      const rolledBack = Effect.gen(function*() {
        yield* table.write(7, "Aliens")
        assert.strictEqual(yield* Cached.get(table.title, 7), "Aliens")
        assert.strictEqual(table.loads, 2)
        assert.deepStrictEqual(yield* Cached.getMany(table.title, [7, 8]), ["Aliens", "Heat"])
        assert.strictEqual(table.loads, 4)
        return yield* new Refused()
      })
      yield* Effect.flip(Changes.withTransaction(table.transaction)(rolledBack))
      assert.strictEqual(yield* Cached.get(table.title, 7), "Alien")
      assert.strictEqual(yield* Cached.get(table.title, 8), "Heat")
    })
  )

  onEach(
    "neither joins a load of others nor is joined",
    Effect.gen(function*() {
      const table = makeTable()
      const gate = yield* Deferred.make<void>()
      const slow = Cached.make("slow", {
        key: Key.int("id"),
        value: Schema.String,
        lookup: (id) => Effect.suspend(() => Effect.as(Deferred.await(gate), `${table.read(id)} ${++table.loads}`))
      }, Policy.forever)
      // Both wait at the gate, and were there one load for both, both would have its answer.
      const outside = yield* begin(Cached.get(slow, 7))
      const inside = yield* begin(Changes.withTransaction(table.transaction)(Cached.get(slow, 7)))
      const another = yield* begin(Cached.get(slow, 7))
      yield* Deferred.succeed(gate, undefined)
      const answers = yield* Effect.forEach([outside, inside, another], Fiber.join)
      assert.deepStrictEqual(answers, ["Alien 1", "Alien 2", "Alien 1"])
    })
  )

  onEach(
    "delivers what a savepoint collected with the whole, and drops that of one that is rolled back",
    Effect.gen(function*() {
      const table = makeTable()
      const notified: Array<string> = []
      const transaction = Changes.withTransaction(table.transaction)
      const listener = Changes.subscriber(
        "log",
        (changes) => Effect.sync(() => void notified.push(...changes.map(Change.format)))
      )
      const write = Effect.gen(function*() {
        yield* transaction(Changes.publish(renamed(7, "Alien", "Aliens")))
        assert.deepStrictEqual(notified, [])
        yield* Effect.ignore(transaction(Effect.andThen(Changes.publish(Films.deleted(alien)), new Refused())))
        yield* Changes.publish(renamed(8, "Heat", "Heat 2"))
      })
      yield* Effect.provide(transaction(write), Changes.layer(listener))
      assert.deepStrictEqual(notified, ["film:7 updated (title)", "film:8 updated (title)"])
    })
  )

  onEach(
    "of another database inside delivers at its own commit, and again with the outer one",
    Effect.gen(function*() {
      const [here, there] = [makeTable(), makeTable()]
      yield* Cached.get(there.title, 7)
      const inner = Effect.andThen(there.write(7, "Aliens"), Changes.publish(renamed(7, "Alien", "Aliens"))).pipe(
        Changes.withTransaction(there.transaction)
      )
      // The outer one is rolled back; the inner one is not.
      yield* Effect.flip(Changes.withTransaction(here.transaction)(Effect.andThen(inner, new Refused())))
      assert.strictEqual(there.committed(7), "Aliens")
      assert.strictEqual(yield* Cached.get(there.title, 7), "Aliens")
      // With the outer one committed it is delivered twice: what was loaded in between may show both databases.
      const notified: Array<string> = []
      const log = Changes.subscriber("log", () => Effect.sync(() => void notified.push(there.committed(7))))
      yield* Effect.provide(Changes.withTransaction(here.transaction)(inner), Changes.layer(log))
      assert.deepStrictEqual(notified, ["Aliens", "Aliens"])
    })
  )

  onEach(
    "delivers although its commit failed, since it may have happened",
    Effect.gen(function*() {
      const table = makeTable()
      yield* Cached.get(table.title, 7)
      table.afterCommit = new CommitFailed() // the connection was lost after the commit
      const write = Effect.andThen(table.write(7, "Aliens"), Changes.publish(renamed(7, "Alien", "Aliens")))
      assert.instanceOf(yield* errorOf(Changes.withTransaction(table.transaction)(write)), CommitFailed)
      assert.strictEqual(yield* Cached.get(table.title, 7), "Aliens")
    })
  )

  onEach(
    "delivers although it was interrupted while it was committed",
    Effect.gen(function*() {
      const table = makeTable()
      yield* Cached.get(table.title, 7)
      const committing = yield* Deferred.make<void>()
      table.afterCommit = Deferred.await(committing)
      const writer = yield* begin(
        Effect.andThen(table.write(7, "Aliens"), Changes.publish(renamed(7, "Alien", "Aliens"))).pipe(
          Changes.withTransaction(table.transaction)
        )
      )
      const interruption = yield* begin(Fiber.interrupt(writer))
      yield* Deferred.succeed(committing, undefined)
      yield* Fiber.join(interruption)
      assert.strictEqual(table.commits, 1)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(writer)))
      assert.strictEqual(yield* Cached.get(table.title, 7), "Aliens")
    })
  )

  onEach(
    "that is interrupted before its commit delivers nothing",
    Effect.gen(function*() {
      const table = makeTable()
      yield* Cached.get(table.title, 7)
      const writer = yield* begin(
        Effect.andThen(Changes.publish(renamed(7, "Alien", "Aliens")), Effect.never).pipe(
          Changes.withTransaction(table.transaction)
        )
      )
      yield* Fiber.interrupt(writer)
      yield* Cached.get(table.title, 7)
      assert.deepStrictEqual([table.commits, table.loads], [0, 1])
    })
  )

  onEach(
    "that is tried again delivers what was committed",
    Effect.gen(function*() {
      const table = makeTable()
      yield* Cached.get(table.title, 7)
      let attempts = 0
      const flaky = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.retry(
          table.transaction(
            Effect.flatMap(effect, (a) => ++attempts < 3 ? Effect.fail(new CommitFailed()) : Effect.succeed(a))
          ),
          { times: 2 }
        )
      yield* Effect.andThen(table.write(7, "Aliens"), Changes.publish(renamed(7, "Alien", "Aliens"))).pipe(
        Changes.withTransaction(flaky)
      )
      assert.deepStrictEqual([attempts, yield* Cached.get(table.title, 7)], [3, "Aliens"])
    })
  )

  onEach(
    "keeps the fence of a mutation up until its commit",
    Effect.gen(function*() {
      const table = makeTable()
      const gate = yield* Deferred.make<void>()
      const writer = yield* begin(
        Effect.gen(function*() {
          yield* table.write(7, "Aliens").pipe(Cached.mutate(Cached.invalidation(table.title, [7])))
          yield* Deferred.await(gate)
        }).pipe(Changes.withTransaction(table.transaction))
      )
      // Loaded after the write and before the commit: it may be served, and must not stay.
      assert.strictEqual(yield* Effect.sync(() => table.committed(7)), "Alien")
      const loaded = yield* Cached.get(table.title, 8)
      assert.strictEqual(loaded, "Heat")
      yield* Cached.explain(table.title, 7)
      const { store } = yield* CacheService.CacheService
      const { fenced } = yield* store.inspect({ key: Cached.keyOf(table.title, 7), known: [] })
      assert.isTrue(fenced)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(writer)
      const after = yield* store.inspect({ key: Cached.keyOf(table.title, 7), known: [] })
      assert.isFalse(after.fenced)
      assert.strictEqual(yield* Cached.get(table.title, 7), "Aliens")
    })
  )

  onEach(
    "delivers what a fence was over, although the fence has run out before the commit",
    Effect.gen(function*() {
      const table = makeTable()
      const gate = yield* Deferred.make<void>()
      const writer = yield* begin(
        Effect.gen(function*() {
          yield* table.write(7, "Aliens").pipe(
            Cached.mutate(Cached.invalidation(table.title, [7]), { fence: "1 second" })
          )
          yield* Deferred.await(gate)
        }).pipe(Changes.withTransaction(table.transaction))
      )
      yield* TestClock.adjust("2 seconds")
      // Other connections see what is committed.
      const { store } = yield* CacheService.CacheService
      const old = Cached.make("title", {
        key: Key.int("id"),
        value: Schema.String,
        lookup: (id) => Effect.sync(() => table.committed(id))
      }, Policy.conditional(Films, { fields: ["title"] }))
      assert.strictEqual(yield* Cached.get(old, 7), "Alien")
      assert.isDefined((yield* store.inspect({ key: Cached.keyOf(old, 7), known: [] })).entry)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(writer)
      assert.strictEqual(yield* Cached.get(table.title, 7), "Aliens")
    })
  )

  onEach(
    "says that it has invalidated when it has",
    Effect.gen(function*() {
      const table = makeTable()
      const events: Array<string> = []
      const { events: all } = yield* CacheService.CacheService
      yield* Effect.forkScoped(Stream.runForEach(all, (event) => Effect.sync(() => void events.push(event._tag))))
      yield* settle
      const write = Effect.tap(
        Cached.apply(Invalidation.tags("a")),
        () => Effect.map(settle, () => void events.push("commit"))
      )
      yield* Changes.withTransaction(table.transaction)(write)
      yield* settle
      assert.deepStrictEqual(events, ["commit", "Invalidated"])
    })
  )

  onEach(
    "takes the fences away when it is rolled back",
    Effect.gen(function*() {
      const table = makeTable()
      const write = Effect.andThen(
        Effect.void.pipe(Cached.mutate(Cached.invalidation(table.title, [7]))),
        new Refused()
      )
      yield* Effect.flip(Changes.withTransaction(table.transaction)(write))
      const { store } = yield* CacheService.CacheService
      assert.isFalse((yield* store.inspect({ key: Cached.keyOf(table.title, 7), known: [] })).fenced)
    })
  )

  onEach(
    "that has ended collects no more: what lags behind is delivered at once",
    Effect.gen(function*() {
      const table = makeTable()
      yield* Cached.get(table.title, 7)
      const gate = yield* Deferred.make<void>()
      const laggard = yield* Effect.forkDetach(
        Effect.andThen(Deferred.await(gate), Changes.publish(renamed(7, "Alien", "Aliens")))
      ).pipe(Changes.withTransaction(table.transaction))
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(laggard)
      yield* Cached.get(table.title, 7)
      assert.strictEqual(table.loads, 2)
    })
  )

  onEach(
    "collects what is published while it commits, or it would be lost",
    Effect.gen(function*() {
      const table = makeTable()
      const [committing, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      // A table that others see as it was until the commit has ended.
      let title = "Alien"
      const read = Cached.make("read", {
        key: Key.int("id"),
        value: Schema.String,
        lookup: () => Effect.sync(() => title)
      }, Policy.conditional(Films, { fields: ["title"] }))
      table.afterCommit = Effect.map(Deferred.await(committing), () => void (title = "Aliens"))
      yield* Cached.get(read, 7)
      const laggard = Effect.andThen(Deferred.await(go), Changes.publish(renamed(7, "Alien", "Aliens")))
      const writer = yield* begin(Changes.withTransaction(table.transaction)(Effect.forkDetach(laggard)))
      yield* Deferred.succeed(go, undefined)
      yield* settle
      yield* Cached.get(read, 7)
      yield* Deferred.succeed(committing, undefined)
      yield* Fiber.join(yield* Fiber.join(writer))
      assert.strictEqual(yield* Cached.get(read, 7), "Aliens")
    })
  )

  onEach(
    "collects what is published by who lags behind a savepoint",
    Effect.gen(function*() {
      const table = makeTable()
      const transaction = Changes.withTransaction(table.transaction)
      const notified: Array<string> = []
      const log = Changes.subscriber("log", () => Effect.sync(() => void notified.push(`commits: ${table.commits}`)))
      const go = yield* Deferred.make<void>()
      const write = Effect.gen(function*() {
        const laggard = yield* transaction(
          Effect.forkDetach(Effect.andThen(Deferred.await(go), Changes.publish(renamed(7, "Alien", "Aliens"))))
        )
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(laggard)
      })
      yield* Effect.provide(transaction(write), Changes.layer(log))
      assert.deepStrictEqual(notified, ["commits: 1"])
    })
  )

  onEach(
    "delivers what a part of it collected that has outlived it",
    Effect.gen(function*() {
      const table = makeTable()
      yield* Cached.get(table.title, 7)
      // Savepoints of their own databases need not end in order.
      const transaction = Changes.withTransaction(<A, E, R>(effect: Effect.Effect<A, E, R>) => effect)
      const go = yield* Deferred.make<void>()
      const part = transaction(Effect.andThen(Changes.publish(renamed(7, "Alien", "Aliens")), Deferred.await(go)))
      const laggard = yield* transaction(Effect.tap(Effect.forkDetach(part), settle))
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(laggard)
      yield* Cached.get(table.title, 7)
      assert.strictEqual(table.loads, 2)
    })
  )

  for (const when of ["before", "after"] as const) {
    onEach(
      `that has ended empties the keys of writes that were begun ${when} its end`,
      Effect.gen(function*() {
        let title = "Alien"
        const read = Cached.make("read", {
          key: Key.int("id"),
          value: Schema.String,
          lookup: () => Effect.sync(() => title)
        }, Policy.forever)
        const transaction = Changes.withTransaction(makeTable().transaction)
        const writes = [
          (write: Effect.Effect<string>) => Cached.set(read, 7, write),
          (write: Effect.Effect<string>) => Effect.andThen(write, Cached.refresh(read, 7)),
          (write: Effect.Effect<string>) => Cached.mutate(write, Cached.invalidation(read, [7]))
        ]
        for (const [i, written] of writes.entries()) {
          const go = yield* Deferred.make<void>()
          const write = Effect.sync(() => title = `Alien ${i}`)
          const laggard = when === "before"
            ? written(Effect.andThen(Deferred.await(go), write))
            : Effect.andThen(Deferred.await(go), written(write))
          const fiber = yield* transaction(Effect.tap(Effect.forkDetach(laggard), settle))
          yield* Cached.get(read, 7)
          yield* Deferred.succeed(go, undefined)
          yield* Fiber.join(fiber)
          assert.strictEqual(yield* Cached.get(read, 7), title)
          const { store } = yield* CacheService.CacheService
          assert.isFalse((yield* store.inspect({ key: Cached.keyOf(read, 7), known: [] })).fenced)
        }
      })
    )
  }

  onText(
    "leaves no fence of which it is not known whether it stands",
    Effect.gen(function*() {
      const table = makeTable()
      yield* TestCache.disturb("fence", (_operation, perform) =>
        Effect.andThen(
          perform,
          Effect.fail(
            new CacheStore.StoreError({ operation: "fence", reason: { _tag: "Timeout" }, mayHaveHappened: true })
          )
        ))
      const write = Cached.mutate(table.write(7, "Aliens"), Cached.invalidation(table.title, [7]))
      yield* Effect.flip(Changes.withTransaction(table.transaction)(write))
      yield* settle
      const { store } = yield* CacheService.CacheService
      assert.isFalse((yield* store.inspect({ key: Cached.keyOf(table.title, 7), known: [] })).fenced)
    })
  )

  onEach(
    "collects what is published again in it",
    Effect.gen(function*() {
      const table = makeTable()
      const notified: Array<string> = []
      const log = Changes.subscriber("log", () => Effect.sync(() => void notified.push(`commits: ${table.commits}`)))
      const write = Effect.gen(function*() {
        const [, { changes }] = yield* Changes.collect(Changes.publish(renamed(7, "Alien", "Aliens")))
        assert.isTrue((yield* Changes.publish(changes)).deferred)
      })
      const transaction = Changes.withTransaction(table.transaction)
      yield* Effect.provide(Effect.ignore(transaction(Effect.andThen(write, new Refused()))), Changes.layer(log))
      assert.deepStrictEqual(notified, [])
      yield* Effect.provide(transaction(write), Changes.layer(log))
      assert.deepStrictEqual(notified, ["commits: 1"])
    })
  )

  onEach(
    "delivers more changes than a function takes arguments",
    Effect.gen(function*() {
      const table = makeTable()
      let notified = 0
      const log = Changes.subscriber("log", (changes) => Effect.sync(() => void (notified = changes.length)))
      const change = renamed(7, "Alien", "Aliens")
      const write = Changes.publishing(Effect.void, () => Array.from({ length: 200_000 }, () => change))
      yield* Effect.provide(Changes.withTransaction(table.transaction)(write), Changes.layer(log))
      assert.strictEqual(notified, 200_000)
      yield* Effect.provide(write, Changes.layer(log))
    })
  )

  onEach(
    "collects many invalidations without copying all at each",
    Effect.gen(function*() {
      const table = makeTable()
      const write = Effect.forEach(Array.from({ length: 20_000 }), (_, id) => Cached.invalidate(table.title, id), {
        discard: true
      })
      const [, { invalidation }] = yield* Changes.collect(write)
      assert.strictEqual(invalidation.keys.size, 20_000)
    }).pipe(Effect.timeout("20 seconds"), TestClock.withLive)
  )

  onText(
    "that is committed and cannot deliver says so, and delivers as soon as it can",
    Effect.gen(function*() {
      const table = makeTable()
      yield* Cached.get(table.title, 7)
      yield* TestCache.fail("invalidate", 1)
      const write = Effect.andThen(table.write(7, "Aliens"), Changes.publish(renamed(7, "Alien", "Aliens")))
      const error = yield* errorOf(Changes.withTransaction(table.transaction, { onUndelivered: "fail" })(write))
      assert.instanceOf(error, CacheService.InvalidationError)
      assert.strictEqual(table.committed(7), "Aliens")
      assert.strictEqual(yield* Cached.get(table.title, 7), "Aliens")
    })
  )

  onText(
    "that neither commits nor can deliver says that it has not committed",
    Effect.gen(function*() {
      const table = makeTable()
      table.afterCommit = new CommitFailed()
      yield* TestCache.fail("invalidate", 1)
      const write = Changes.publish(renamed(7, "Alien", "Aliens"))
      assert.instanceOf(yield* errorOf(Changes.withTransaction(table.transaction)(write)), CommitFailed)
    })
  )

  onEach(
    "without anything to deliver touches no store",
    Effect.gen(function*() {
      const table = makeTable()
      const events: Array<string> = []
      const log = Changes.subscriber("log", () => Effect.sync(() => void events.push("notified")))
      yield* Effect.provide(Changes.withTransaction(table.transaction)(Effect.void), Changes.layer(log))
      assert.deepStrictEqual(events, [])
    })
  )
})

describe("what is collected", () => {
  onEach(
    "leaves no fence behind",
    Effect.gen(function*() {
      const { title } = makeTable()
      const { store } = yield* CacheService.CacheService
      const isFenced = Effect.map(store.inspect({ key: Cached.keyOf(title, 7), known: [] }), ({ fenced }) => fenced)
      const [during] = yield* Changes.collect(
        Effect.tap(Cached.mutate(isFenced, Cached.invalidation(title, [7])), settle)
      )
      assert.deepStrictEqual([during, yield* isFenced], [true, false])
      yield* Effect.exit(
        Changes.collect(Effect.andThen(Cached.mutate(Effect.void, Cached.invalidation(title, [7])), new Refused()))
      )
      assert.isFalse(yield* isFenced)
    })
  )

  onEach(
    "inside of a transaction is not delivered with it",
    Effect.gen(function*() {
      const { title } = makeTable()
      const write = Effect.andThen(
        Cached.mutate(Effect.void, Cached.invalidation(title, [7])),
        Changes.publish(Films.created(alien))
      )
      const [[, inner], outer] = yield* Changes.collect(Changes.collect(write))
      assert.deepStrictEqual([inner.changes.length, Invalidation.isEmpty(inner.invalidation)], [1, false])
      assert.deepStrictEqual([outer.changes.length, Invalidation.isEmpty(outer.invalidation)], [0, true])
    })
  )
})

describe("subscribers", () => {
  const recording = (name: string, into: Array<string>) =>
    Changes.subscriber(name, (changes) => Effect.sync(() => void into.push(`${name}: ${changes.map(Change.format)}`)))

  onEach(
    "are notified one after the other, after the cache was invalidated",
    Effect.gen(function*() {
      const table = makeTable()
      yield* Cached.get(table.title, 7)
      const notified: Array<string> = []
      const reader = Changes.subscriber(
        "reader",
        () => Effect.map(Effect.orDie(Cached.get(table.title, 7)), () => void notified.push(`loads ${table.loads}`))
      )
      yield* Changes.publish(renamed(7, "Alien", "Aliens")).pipe(
        Effect.provide(Changes.layer(reader, recording("log", notified)))
      )
      assert.deepStrictEqual(notified, ["loads 2", "log: film:7 updated (title)"])
    })
  )

  onEach(
    "that die disturb neither the others nor the writer",
    Effect.gen(function*() {
      const notified: Array<string> = []
      const dying = Changes.subscriber("dying", () => Effect.die(new Error("oh")))
      const throwing = Changes.subscriber("throwing", (): Effect.Effect<void> => {
        throw new Error("oh")
      })
      yield* Changes.publish(Films.created(alien)).pipe(
        Effect.provide(Changes.layer(dying, throwing, recording("log", notified)))
      )
      assert.strictEqual(notified.length, 1)
    })
  )

  onEach(
    "add to those that are there",
    Effect.gen(function*() {
      const notified: Array<string> = []
      const both = Changes.layer(recording("b", notified)).pipe(
        Layer.provideMerge(Changes.layer(recording("a", notified)))
      )
      yield* Effect.provide(Changes.publish(Films.created(alien)), both)
      assert.deepStrictEqual(notified.map((line) => line[0]), ["a", "b"])
    })
  )

  onEach(
    "can be disconnected by name, all but one or all together",
    Effect.gen(function*() {
      const table = makeTable()
      const notified: Array<string> = []
      const write = Changes.publish(renamed(7, "Alien", "Aliens")).pipe(Effect.asVoid)
      const loadsAfter = <E>(publish: Effect.Effect<void, E, CacheService.CacheService>) =>
        Effect.gen(function*() {
          yield* Cached.get(table.title, 7)
          const before = table.loads
          notified.length = 0
          yield* Effect.provide(publish, Changes.layer(recording("a", notified), recording("b", notified)))
          yield* settle
          yield* Cached.get(table.title, 7)
          return [table.loads - before, notified.map((line) => line[0]).join("")]
        })
      assert.deepStrictEqual(yield* loadsAfter(write), [1, "ab"])
      assert.deepStrictEqual(yield* loadsAfter(Changes.disconnected("a")(write)), [1, "b"])
      assert.deepStrictEqual(yield* loadsAfter(Changes.disconnected("cache")(write)), [0, "ab"])
      assert.deepStrictEqual(yield* loadsAfter(Changes.disconnected("cache")(Changes.disconnected("b")(write))), [
        0,
        "a"
      ])
      assert.deepStrictEqual(yield* loadsAfter(Changes.disconnected()(write)), [0, ""])
      assert.deepStrictEqual(yield* loadsAfter(Effect.provide(write, Changes.layerDisconnected("b"))), [1, "a"])
    })
  )

  onEach(
    "are not notified of an update in which nothing differs",
    Effect.gen(function*() {
      const notified: Array<string> = []
      const nothing = Changes.publish(Films.updated(alien, { ...alien }))
      yield* Effect.provide(nothing, Changes.layer(recording("log", notified)))
      const [, { changes }] = yield* Changes.collect(nothing)
      assert.deepStrictEqual([notified, changes], [[], []])
    })
  )

  onText(
    "are notified also if the store did not acknowledge",
    Effect.gen(function*() {
      const notified: Array<string> = []
      yield* TestCache.fail("invalidate")
      const error = yield* errorOf(
        Effect.provide(Changes.publish(Films.created(alien)), Changes.layer(recording("log", notified)))
      )
      assert.instanceOf(error, CacheService.InvalidationError)
      assert.strictEqual(notified.length, 1)
    })
  )

  onText(
    "are notified also if whoever publishes is interrupted while the store does not answer",
    Effect.gen(function*() {
      const notified: Array<string> = []
      const gate = yield* Deferred.make<void>()
      yield* TestCache.disturb("invalidate", (_operation, perform) => Effect.andThen(Deferred.await(gate), perform))
      const publish = Effect.provide(Changes.publish(Films.created(alien)), Changes.layer(recording("log", notified)))
      const writer = yield* begin(publish)
      yield* begin(Fiber.interrupt(writer))
      const ended = writer.pollUnsafe() !== undefined
      yield* Deferred.succeed(gate, undefined)
      assert.isTrue(ended, "it waits for the store")
      assert.strictEqual(notified.length, 1)
    })
  )
})

describe("publishing", () => {
  onEach(
    "what a write changed gives what the write gave",
    Effect.gen(function*() {
      const table = makeTable()
      yield* Cached.get(table.title, 7)
      const result = yield* Changes.publishing(Effect.succeed("done"), () => [renamed(7, "Alien", "Aliens")])
      assert.strictEqual(result, "done")
      yield* Cached.get(table.title, 7)
      assert.strictEqual(table.loads, 2)
    })
  )

  onEach(
    "cannot be interrupted between the write and the publication",
    Effect.gen(function*() {
      const table = makeTable()
      yield* Cached.get(table.title, 7)
      const written = yield* Deferred.make<void>()
      const writer = yield* begin(
        Effect.uninterruptible(Deferred.await(written)).pipe(Changes.publishing(() => renamed(7, "Alien", "Aliens")))
      )
      const interruption = yield* begin(Fiber.interrupt(writer))
      yield* Deferred.succeed(written, undefined)
      yield* Fiber.join(interruption)
      yield* Cached.get(table.title, 7)
      assert.strictEqual(table.loads, 2)
    })
  )

  onEach(
    "can be interrupted inside of a transaction, which rolls back",
    Effect.gen(function*() {
      const table = makeTable()
      const gate = yield* Deferred.make<void>()
      const write = Deferred.await(gate).pipe(Changes.publishing(() => renamed(7, "Alien", "Aliens")))
      const writer = yield* begin(Changes.withTransaction(table.transaction)(write))
      yield* begin(Fiber.interrupt(writer))
      const ended = writer.pollUnsafe() !== undefined
      yield* Deferred.succeed(gate, undefined)
      assert.isTrue(ended, "it waits for the write")
      assert.strictEqual(table.commits, 0)
    })
  )
})
