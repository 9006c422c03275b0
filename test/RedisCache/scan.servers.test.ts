/** The stored keys of entries, page by page, on one node and in a cluster whose nodes change meanwhile. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Cached from "../../src/Cached.ts"
import type * as CacheStore from "../../src/CacheStore.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import { startCluster, startServer } from "../support/redis.ts"
import { both, lookAt, patient, places, type Process, promise, start, until } from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"

const films = Cached.make("film", {
  key: Key.struct({ genre: Key.string("genre"), id: Key.int("id") }),
  value: Schema.Finite,
  lookup: ({ id }) => Effect.succeed(id)
}, Policy.tagged(({ genre }) => [genre]))

const count = 300

/** Stores films of three genres; gives their keys, sorted. */
const fill = ({ run }: Process) =>
  Effect.map(
    Effect.forEach(
      Array.from({ length: count }, (_, id) => ({ genre: `genre${id % 3}`, id })),
      (key) => Effect.as(run(Cached.get(films, key)), `film:${key.genre}:${key.id}`),
      { concurrency: 50 }
    ),
    (keys) => keys.sort()
  )

/** Asks for page after page; gives the keys of each. */
const pages = (
  { service }: Process,
  scan: CacheStore.Scan,
  between: Effect.Effect<void> = Effect.void
): Effect.Effect<ReadonlyArray<ReadonlyArray<string>>, CacheStore.StoreError> =>
  Effect.gen(function*() {
    const all: Array<ReadonlyArray<string>> = []
    for (let cursor = scan.cursor, more = true; more;) {
      const page = yield* service.store.scan({ ...scan, ...(cursor === undefined ? {} : { cursor }) })
      all.push(page.keys)
      cursor = page.cursor
      more = cursor !== undefined
      if (more) yield* between
    }
    return all
  })

const distinct = (all: ReadonlyArray<ReadonlyArray<string>>) => [...new Set(all.flat())].sort()

for (const way of both) {
  describe(way.name, () => {
    it.live("all keys are given, a few at a time, and no others", () =>
      Effect.gen(function*() {
        const [prefix, other] = [freshPrefix(), freshPrefix()]
        const process = yield* start(way.layer({ prefix }))
        yield* fill(yield* start(way.layer({ prefix: other })))
        const keys = yield* fill(process)
        for (const limit of [7, 100, 1_000_000]) {
          assert.deepStrictEqual(distinct(yield* pages(process, { limit })), keys)
        }
        const { pattern } = [...Cached.pattern(films, { genre: "genre1" }).patterns.values()][0]!
        const found = distinct(yield* pages(process, { limit: 50, pattern }))
        assert.deepStrictEqual(found, keys.filter((key) => key.startsWith("film:genre1:")))
        assert.lengthOf(found, count / 3)
      }))

    it.live("keys that come and go meanwhile do not hide those that stay", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const client = yield* way.look
        const process = yield* start(way.layer({ prefix }))
        const keys = yield* fill(process)
        let n = 0
        const at = places(prefix)
        const between = Effect.suspend(() => {
          n++
          return promise(async () => {
            // So many that the server makes its table larger, and smaller again.
            for (let i = 0; i < 20; i++) await client.set(at.entry(`other:${n}:${i}`), "", "PX", 60_000)
            if (n > 5) { for (let i = 0; i < 20; i++) await client.del(at.entry(`other:${n - 5}:${i}`)) }
          })
        })
        const found = new Set(distinct(yield* pages(process, { limit: 20 }, between)))
        assert.deepStrictEqual(keys.filter((key) => !found.has(key)), [])
      }))

    it.live("a cursor that no scan has given is refused as malformed", () =>
      Effect.gen(function*() {
        // Each counts as a failure of the store, and some in a row would open its circuit.
        const process = yield* start(way.layer({ prefix: freshPrefix(), failures: 1000 }))
        for (
          const cursor of [
            "",
            "0",
            "17",
            "-1",
            "film:7",
            "0-all",
            `0-all-${"g".repeat(40)}`,
            `18446744073709551616-all-${"0".repeat(40)}`,
            `0-a b-${"0".repeat(40)}`,
            `0-all-${"0".repeat(40)}\n`
          ]
        ) {
          const error = yield* Effect.flip(process.service.store.scan({ limit: 10, cursor }))
          assert.deepStrictEqual([error.reason._tag, error.mayHaveHappened], ["Malformed", false], cursor)
        }
        const error = yield* Effect.flip(
          process.service.store.scan({ limit: 10, cursor: `5-elsewhere-${"0".repeat(40)}` })
        )
        assert.strictEqual(error.reason._tag, "Unavailable")
      }))
  })
}

describe("servers that change", () => {
  it.live("a page is one SCAN; a cursor of a server's earlier run fails", () =>
    Effect.gen(function*() {
      const node = yield* Effect.acquireRelease(promise(() => startServer()), (one) => promise(() => one.stop()))
      const client = yield* lookAt(node.url)
      const process = yield* start(RedisCache.layer({ url: node.url, ...patient }))
      yield* fill(process)
      yield* promise(() => client.config("RESETSTAT"))
      const { cursor } = yield* process.service.store.scan({ limit: 10 })
      const info = yield* promise(() => client.info("commandstats"))
      assert.match(info, /cmdstat_scan:calls=1,/)
      assert.isString(cursor)
      yield* promise(() => node.restart())
      yield* until("it is used again", () =>
        Effect.runPromise(Effect.exit(process.service.store.scan({ limit: 10 }))).then((exit) =>
          exit._tag === "Success"
        ))
      const error = yield* Effect.flip(process.service.store.scan({ limit: 10, cursor: cursor! }))
      assert.strictEqual(error.reason._tag, "Unavailable")
      assert.deepStrictEqual(distinct(yield* pages(process, { limit: 10 })), [])
    }))

  it.live("a slot that is moved fails the scan, and the invalidation of a pattern, and hides no key", () =>
    Effect.gen(function*() {
      const servers = yield* Effect.acquireRelease(
        promise(() => startCluster({ replicasEach: 0 })),
        (one) => promise(() => one.stop())
      )
      const nodes = servers.nodes.map(({ host, port }) => ({ host, port }))
      const prefix = freshPrefix()
      const process = yield* start(RedisCache.layer({ cluster: { nodes }, ...patient, prefix, failures: 1000 }))
      const keys = yield* fill(process)
      const { store } = process.service
      const first = yield* store.scan({ limit: 10 })
      assert.isString(first.cursor)
      const next = { limit: 10, cursor: first.cursor! }
      // Before anything moves, the cursor is good.
      yield* store.scan(next)

      const name = places(prefix).entry(keys[0]!)
      const from = yield* promise(() => servers.primaryOf(name))
      const to = servers.nodes.find((node) => node !== from)!
      const slot = Number(yield* promise(() => from.send("CLUSTER", "KEYSLOT", name)))
      const [fromId, toId] = yield* promise(() =>
        Promise.all([from, to].map((node) => node.send("CLUSTER", "MYID")))
      ) as Effect.Effect<Array<string>>
      const setSlot = (node: typeof from, ...args: ReadonlyArray<string>) =>
        promise(() => node.send("CLUSTER", "SETSLOT", slot, ...args))
      yield* setSlot(to, "IMPORTING", fromId!)
      yield* setSlot(from, "MIGRATING", toId!)
      const failing = [
        store.scan(next),
        store.scan({ limit: 10 }),
        process.run(Cached.apply(Cached.pattern(films, { genre: "none" })))
      ]
      for (const one of failing) {
        const error: { readonly reason: CacheStore.Reason } = yield* Effect.flip(one as Effect.Effect<unknown, never>)
        assert.strictEqual(error.reason._tag, "Unavailable")
      }
      for (;;) {
        const some = yield* promise(() => from.send("CLUSTER", "GETKEYSINSLOT", slot, 100)) as Effect.Effect<
          Array<string>
        >
        if (some.length === 0) break
        yield* promise(() => from.send("MIGRATE", to.host, to.port, "", 0, 5000, "KEYS", ...some))
      }
      for (const node of [to, from]) yield* setSlot(node, "NODE", toId!)
      yield* until("the nodes agree", async () => {
        const all = await Promise.all(servers.nodes.map((node) => node.send("CLUSTER", "SLOTS")))
        return new Set(
          all.map((slots) =>
            JSON.stringify(
              (slots as Array<[number, number, [string, number]]>).map(([a, b, [, port]]) => [a, b, port]).sort()
            )
          )
        ).size === 1
      })
      const error = yield* Effect.flip(store.scan(next))
      assert.strictEqual(error.reason._tag, "Unavailable")
      assert.deepStrictEqual(distinct(yield* pages(process, { limit: 10 })), keys)
    }))
})
