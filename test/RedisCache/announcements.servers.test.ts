/** What a store announces: invalidations with their positions, and gaps wherever some may have been lost. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Cached from "../../src/Cached.ts"
import type * as CacheStore from "../../src/CacheStore.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import { asks, at, begin } from "../support/port.ts"
import { startCluster, startServer } from "../support/redis.ts"
import {
  both,
  lookAt,
  nodesOf,
  oneNode,
  patient,
  type Process,
  promise,
  start,
  until,
  type Way
} from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"

type Invalidated = Extract<CacheStore.Announcement, { readonly _tag: "Invalidated" }>

/** Everything that a process hears from now on. */
const listenTo = (
  { service }: Process
): Effect.Effect<ReadonlyArray<CacheStore.Announcement>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const heard: Array<CacheStore.Announcement> = []
    yield* Effect.forkScoped(
      Stream.runForEach(service.store.announcements, (one) => Effect.sync(() => heard.push(one))),
      { startImmediately: true }
    )
    return heard
  })

const textOf = (one: CacheStore.Announcement): string => one._tag === "Gap" ? "gap" : String(one.invalidation)

const heardOf = (heard: ReadonlyArray<CacheStore.Announcement>, text: string): ReadonlyArray<Invalidated> =>
  heard.filter((one): one is Invalidated => one._tag === "Invalidated" && textOf(one) === text)

const apply = ({ run }: Process, batch: Invalidation.Invalidation) => run(Cached.apply(batch))

const tag = (name: string) => Invalidation.tags(name)

const pair = (way: Way) =>
  Effect.gen(function*() {
    const layer = way.layer({ prefix: freshPrefix() })
    return [yield* start(layer), yield* start(layer)] as const
  })

for (const way of both) {
  describe(way.name, () => {
    it.live("an invalidation of each kind is heard by the others, and by the process that makes it", () =>
      Effect.gen(function*() {
        const [one, two] = yield* pair(way)
        const [here, there] = [yield* listenTo(one), yield* listenTo(two)]
        const batches = [
          tag("a"),
          Invalidation.soft(tag("b")),
          Invalidation.keys("k:1"),
          Invalidation.soft(Invalidation.keys("k:2")),
          Invalidation.combine(Invalidation.keys("k:3"), tag("c")),
          Invalidation.pattern({ name: "k", parts: [undefined] }),
          Invalidation.everything
        ]
        for (const batch of batches) yield* apply(one, batch)
        const all = batches.map(String)
        assert.deepStrictEqual(here.map(textOf), all)
        yield* until("the other has heard all", () => there.length >= all.length)
        // The nodes of a cluster pass on what is published, each in its own time.
        assert.sameMembers(there.map(textOf), all)
        if (way === oneNode) assert.deepStrictEqual(there.map(textOf), all)
      }))

    it.live("a position is another after each invalidation, for whoever hears it", () =>
      Effect.gen(function*() {
        const [one, two] = yield* pair(way)
        const [here, there] = [yield* listenTo(one), yield* listenTo(two)]
        const before = (yield* begin(one.service.store, at("p:1", "a"))).position
        const batches = [
          tag("a"),
          tag("a"),
          Invalidation.keys("k:1"),
          Invalidation.keys("k:1"),
          Invalidation.pattern({ name: "k", parts: [undefined] }),
          Invalidation.everything,
          Invalidation.combine(Invalidation.keys("k:1"), tag("a"))
        ]
        for (const batch of batches) yield* apply(one, batch)
        yield* until("the other has heard all", () => there.length >= batches.length)
        const after = (yield* begin(two.service.store, at("p:2", "a"))).position
        for (const heard of [here, there]) {
          const positions = heard.map((one) => (one as Invalidated).position)
          assert.lengthOf(new Set([before, ...positions]), batches.length + 1, positions.join("; "))
          assert.isTrue(positions.every((position) => position !== ""))
        }
        // One that the journal notes is the same to all who hear of it.
        const noted = (heard: ReadonlyArray<CacheStore.Announcement>) =>
          heard.flatMap((one) =>
            one._tag === "Invalidated" && one.invalidation.dependencies.size > 0 ? [one.position] : []
          )
        assert.lengthOf(noted(here), 3)
        assert.sameMembers([...noted(there)], [...noted(here)])
        assert.notStrictEqual(after, before)
      }))

    it.live("a connection that is lost is a gap, before anything later is heard", () =>
      Effect.gen(function*() {
        const [one, two] = yield* pair(way)
        const client = yield* way.look
        const heard = yield* listenTo(two)
        yield* apply(one, tag("before"))
        yield* until("it hears", () => heardOf(heard, "tag before").length > 0)
        assert.deepStrictEqual(heard.map(textOf), ["tag before"])
        for (const round of [1, 2]) {
          const gaps = () => heard.filter(({ _tag }) => _tag === "Gap").length
          yield* promise(() =>
            Promise.all(nodesOf(client).map((node) => node.call("CLIENT", "KILL", "TYPE", "pubsub")))
          )
          yield* until("it listens again", () => gaps() === round)
          yield* apply(one, tag(`after ${round}`))
          yield* until("it hears", () => heardOf(heard, `tag after ${round}`).length > 0)
        }
        assert.deepStrictEqual(heard.map(textOf), ["tag before", "gap", "tag after 1", "gap", "tag after 2"])
      }))

    it.live("what cannot be read is a gap, and ends nothing", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const one = yield* start(way.layer({ prefix }))
        const client = yield* way.look
        const heard = yield* listenTo(one)
        const origin = "0123456789abcdef01234567"
        const garbage = [
          "",
          " ",
          "\n",
          "x",
          "x {}",
          "x {}\n",
          "x null\n@1 2",
          `${origin} {"k":[[1]]}\n@1 2`,
          `${origin} {"k":[],"d":[],"p":[],"e":"?"}\n@1 2`,
          // As an earlier release writes it: without a position.
          `${origin} ${Schema.encodeSync(Invalidation.FromString)(tag("old"))}`,
          `${origin} ${Schema.encodeSync(Invalidation.FromString)(tag("old"))}\n`,
          "\u0000\ufffd\n\n",
          "x".repeat(100_000)
        ]
        for (const [i, message] of garbage.entries()) {
          yield* promise(() => client.publish(`${prefix}:invalidated`, message))
          yield* until(`it is heard: ${JSON.stringify(message.slice(0, 40))}`, () => heard.length === i + 1)
        }
        assert.deepStrictEqual(new Set(heard.map(textOf)), new Set(["gap"]))
        yield* promise(() =>
          client.publish(
            `${prefix}:invalidated`,
            `${origin} ${Schema.encodeSync(Invalidation.FromString)(tag("good"))}\n@1 2 b a`
          )
        )
        yield* until("what is good is heard", () => heard.length === garbage.length + 1)
        const last = heard.at(-1) as Invalidated
        assert.deepStrictEqual([textOf(last), last.position], ["tag good", "@1 2 a b"])
      }))
  })
}

it.live("what is invalidated while a process cannot listen is lost to it, and it hears of a gap first", () =>
  Effect.gen(function*() {
    const node = yield* Effect.acquireRelease(promise(() => startServer()), (one) => promise(() => one.stop()))
    const client = yield* lookAt(node.url)
    const rights = (...more: ReadonlyArray<string>) =>
      promise(() => client.call("ACL", "SETUSER", "listener", "on", ">x", "~*", "&*", "+@all", ...more))
    yield* rights()
    const one = yield* start(RedisCache.layer({ url: node.url, ...patient }))
    const two = yield* start(RedisCache.layer({ url: `redis://listener:x@${node.host}:${node.port}`, ...patient }))
    const heard = yield* listenTo(two)
    yield* rights("-subscribe")
    yield* promise(() => client.call("CLIENT", "KILL", "USER", "listener", "TYPE", "pubsub"))
    yield* apply(one, tag("meanwhile"))
    assert.deepStrictEqual(heard.map(textOf), [])
    yield* rights()
    yield* until("it listens again", () => heard.length > 0)
    yield* apply(one, tag("later"))
    yield* until("it hears", () => heard.length > 1)
    assert.deepStrictEqual(heard.map(textOf), ["gap", "tag later"])
  }))

it.live("a server that comes up after the start is a gap: listeners were there before the connection", () =>
  Effect.gen(function*() {
    const node = yield* Effect.acquireRelease(promise(() => startServer()), (one) => promise(() => one.stop()))
    yield* promise(() => node.kill())
    const one = yield* start(RedisCache.layer({ url: node.url, timeLimit: "200 millis", failures: 1000 }))
    const heard = yield* listenTo(one)
    yield* promise(() => node.restart())
    yield* until("it listens", () => heard.length > 0)
    assert.deepStrictEqual(heard.map(textOf), ["gap"])
  }))

it.live("when the node that a process listens at is gone, it listens at another, after a gap", () =>
  Effect.gen(function*() {
    const servers = yield* Effect.acquireRelease(
      promise(() => startCluster({ replicasEach: 0 })),
      (one) => promise(() => one.stop())
    )
    const nodes = servers.nodes.map(({ host, port }) => ({ host, port }))
    const prefix = freshPrefix()
    const channel = `${prefix}:invalidated`
    const one = yield* start(RedisCache.layer({ cluster: { nodes }, ...patient, prefix }))
    const heard = yield* listenTo(one)
    const listenersAt = (node: (typeof servers.nodes)[number]) =>
      node.send("PUBSUB", "NUMSUB", channel).then((answer) => Number((answer as ReadonlyArray<unknown>)[1]))
    const counts = yield* promise(() => Promise.all(servers.nodes.map(listenersAt)))
    assert.deepStrictEqual([...counts].sort(), [0, 0, 1])
    const gone = servers.nodes[counts.indexOf(1)]!
    const others = servers.nodes.filter((node) => node !== gone)
    yield* promise(() => gone.kill())
    yield* until(
      "it listens at another",
      () => Promise.all(others.map(listenersAt)).then((all) => all.includes(1))
    )
    yield* until("a gap is heard", () => heard.length > 0)
    for (const node of others) {
      yield* promise(() =>
        node.send(
          "PUBLISH",
          channel,
          `other ${Schema.encodeSync(Invalidation.FromString)(tag(String(node.port)))}\n@1 2`
        )
      )
    }
    yield* until("what is published at either is heard", () => heard.length > 2)
    assert.deepStrictEqual(
      heard.map(textOf).sort(),
      ["gap", ...others.map(({ port }) => `tag ${port}`)].sort()
    )
    assert.strictEqual(textOf(heard[0]!), "gap")
  }))

it.live("on one node who begins after an invalidation of a dependency is at its position", () =>
  Effect.gen(function*() {
    const [one, two] = yield* pair(oneNode)
    const there = yield* listenTo(two)
    yield* apply(one, tag("a"))
    yield* until("it is heard", () => there.length > 0)
    const [{ position }] = there as ReadonlyArray<Invalidated> as [Invalidated]
    const lease = yield* begin(two.service.store, at("p:1", "a"))
    assert.strictEqual(lease.position, position)
    const busy = yield* one.service.store.begin(at("p:1", "a"), asks())
    assert.strictEqual(busy._tag === "Busy" && busy.position, position)
    yield* apply(two, tag("b"))
    assert.notStrictEqual((yield* begin(two.service.store, at("p:2", "a"))).position, position)
  }))
