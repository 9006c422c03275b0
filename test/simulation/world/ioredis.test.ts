import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { createHook } from "node:async_hooks"
import { assert, describe, test, vi } from "vitest"
import { Cached } from "../../../src/index.ts"
import { slotOf } from "../redis/cluster.ts"
import type { Own } from "./ioredis.ts"
import { inScene, type Running, type Scene } from "./scene.ts"

const ways: ReadonlyArray<readonly [string, Own]> = [
  ["a client of the layer's own", {}],
  ["one that speaks RESP2", { protocol: 2 }],
  ["one that is lent", { lent: true }]
]

const invalidate = (scene: Scene, one: Running, id: number): void => {
  scene.value++
  scene.runAll([scene.ask(one, Cached.invalidate(scene.numbers, id))])
}

const startBoth = (scene: Scene, own: Own): readonly [Running, Running] => {
  const both = [scene.start("a", own), scene.start("b", own)] as const
  // A layer that was lent a client does not wait for it, and looks for the nodes of a cluster once a second.
  if (own.lent === true) scene.pass(1500)
  return both
}

/** Two processes, and what they do most. */
const story = (own: Own) => (scene: Scene): void => {
  const [a, b] = startBoth(scene, own)
  const all = [a, b].flatMap((one) => [1, 2, 3].map((id) => scene.ask(one, Cached.get(scene.numbers, id))))
  assert.deepStrictEqual(scene.runAll(all), [1001, 1002, 1003, 1001, 1002, 1003])
  assert.strictEqual(scene.loads, 3)
  assert.deepStrictEqual([scene.read(a, 1), scene.read(b, 1)], [1001, 1001])
  assert.strictEqual(scene.loads, 3)
  invalidate(scene, a, 1)
  assert.deepStrictEqual([scene.read(b, 1), scene.read(a, 1)], [2001, 2001])
  assert.strictEqual(scene.loads, 4)
}

describe.each(ways)("on a server, by %s", (_, own) => {
  test("one load of a key for all, hits, and what one process invalidates is gone for the other", async () => {
    await inScene(1, story(own))
  })

  test("who waits for another's load is woken by a message", async () => {
    await inScene(2, (scene) => {
      const [a, b] = startBoth(scene, own)
      scene.loadTakes = 300
      const first = scene.ask(a, Cached.get(scene.numbers, 1))
      scene.pass(50)
      const [value, millis] = scene.timed(() => scene.read(b, 1))
      assert.deepStrictEqual([value, first() !== undefined, scene.loads], [1001, true, 1])
      // It would have looked again after a second.
      assert.isAbove(millis, 200)
      assert.isBelow(millis, 300)
    })
  })

  test("a connection that was cut is made again", async () => {
    await inScene(3, (scene) => {
      const a = scene.start("a", own)
      scene.read(a, 1)
      const before = scene.network.all
      for (const link of before) link.cut()
      scene.pass(2000)
      assert.strictEqual(scene.network.all.length, before.length)
      assert.isEmpty(scene.network.all.filter((link) => before.includes(link)))
      assert.strictEqual(scene.read(a, 1), 1001)
      assert.strictEqual(scene.loads, 1)
    })
  })

  test("while a server is frozen a read loads within its limit; nobody can connect to one that is away", async () => {
    await inScene(4, (scene) => {
      const a = scene.start("a", own)
      scene.read(a, 1)
      const { host } = scene.places[0]!
      host.pausedUntil = scene.sim.us + 60_000_000
      const [value, millis] = scene.timed(() => scene.read(a, 1))
      assert.deepStrictEqual([value, scene.loads], [1001, 2])
      assert.isAtLeast(millis, 250)
      assert.isBelow(millis, 350)
      host.up = false
      for (const link of scene.network.all) link.cut()
      scene.pass(70_000)
      assert.isEmpty(scene.network.all)
      assert.isBelow(scene.timed(() => scene.read(a, 1))[1], 25)
      host.up = true
      scene.pass(5000)
      const { loads } = scene
      assert.deepStrictEqual([scene.read(a, 1), scene.loads], [1001, loads])
    })
  })

  test("a server that starts again is told its scripts again", async () => {
    await inScene(9, (scene) => {
      const a = scene.start("a", own)
      scene.read(a, 1)
      const { server } = scene.places[0]!
      server.restart("empty")
      scene.pass(3000)
      assert.deepStrictEqual([server.connected, server.scripts.size], [scene.network.all.length, 0])
      assert.deepStrictEqual([scene.read(a, 1), scene.read(a, 1), scene.loads], [1001, 1001, 2])
      assert.isAbove(server.scripts.size, 0)
    })
  })

  test("after a failover a process comes to the new primary, though its connections stand", async () => {
    await inScene(5, (scene) => {
      const a = scene.start("a", own)
      scene.read(a, 1)
      const [old, next] = scene.places
      old!.server.role = "slave"
      scene.entrance = 1
      scene.pass(10_000)
      assert.isEmpty(scene.network.all.filter(({ host }) => host !== next!.host))
      // It holds nothing.
      assert.deepStrictEqual([scene.read(a, 1), scene.loads], [1001, 2])
      invalidate(scene, a, 1)
      assert.strictEqual(scene.read(a, 1), 2001)
    })
  })

  test("a layer that is closed leaves no connection, neither here nor at the server", async () => {
    await inScene(8, (scene) => {
      const a = scene.start("a", own)
      scene.read(a, 1)
      const { server } = scene.places[0]!
      assert.isAtLeast(server.connected, 3)
      scene.runAll([scene.ask(a, Scope.close(a.scope, Exit.void))])
      scene.pass(1000)
      assert.deepStrictEqual([scene.network.all.length, server.connected], [0, 0])
    })
  })

  test("nothing happens to a process that is dead, and one that is paused goes on later", async () => {
    await inScene(6, (scene) => {
      const [a, b] = startBoth(scene, own)
      b.process.dead = true
      const never = scene.ask(b, Cached.get(scene.numbers, 2))
      scene.read(a, 1)
      const { us } = scene.sim
      a.process.pausedUntil = us + 3_000_000
      const later = scene.ask(a, Cached.get(scene.numbers, 1))
      scene.pass(2999)
      assert.isUndefined(later())
      scene.pass(100)
      assert.isDefined(later())
      assert.isUndefined(never())
      assert.strictEqual(scene.loads, 1)
    })
  })

  test("messages that are lost, doubled or late do no harm", async () => {
    await inScene(7, (scene) => {
      const [a, b] = startBoth(scene, own)
      for (
        const messages of [{ lost: 1, doubled: 0, late: 0 }, { lost: 0, doubled: 1, late: 0 }, {
          lost: 0,
          doubled: 1,
          late: 1
        }]
      ) {
        scene.network.messages = messages
        scene.loadTakes = 300
        const { loads } = scene
        scene.ask(a, Cached.get(scene.numbers, 1))
        scene.pass(50)
        const [value, millis] = scene.timed(() => scene.read(b, 1))
        assert.deepStrictEqual([value % 1000, scene.loads], [1, loads + 1])
        if (messages.lost === 1) assert.isAbove(millis, 900)
        else assert.isBelow(millis, 600)
        invalidate(scene, a, 1)
      }
    })
  })
})

describe.each(ways)("on a cluster, by %s", (_, own) => {
  test("one load of a key for all, hits, and what one process invalidates is gone for the other", async () => {
    await inScene(11, story(own), true)
  })

  test("slots that move are followed, while they move and afterwards", async () => {
    await inScene(12, (scene) => {
      const [a, b] = startBoth(scene, own)
      const cluster = scene.cluster!
      const keys = () => scene.places.flatMap(({ server }) => [...server.keyspace.keys()])
      const readBoth = () => [scene.read(a, 1), scene.read(b, 1), scene.loads]
      assert.deepStrictEqual(readBoth(), [1001, 1001, 1])
      for (const to of [0, 1, 2]) {
        const { server } = scene.places[to]!
        const slots = [...new Set(keys().map(slotOf))].filter((slot) => cluster.ownerOf(slot) !== server)
        assert.isNotEmpty(slots)
        for (const slot of slots) cluster.beginMove(slot, server)
        assert.deepStrictEqual(readBoth(), [1001, 1001, 1])
        for (const slot of slots) while (cluster.moveKey(slot) !== undefined);
        assert.deepStrictEqual(readBoth(), [1001, 1001, 1])
        for (const slot of slots) cluster.endMove(slot)
        assert.deepStrictEqual(readBoth(), [1001, 1001, 1])
      }
      invalidate(scene, a, 1)
      assert.deepStrictEqual(readBoth(), [2001, 2001, 2])
    }, true)
  })

  test("what lies at a node that is away is loaded, and found again once it is back", async () => {
    await inScene(13, (scene) => {
      const [a] = startBoth(scene, own)
      const ids = [1, 2, 3, 4, 5, 6, 7, 8]
      const readAll = () => ids.map((id) => scene.read(a, id) - 1000)
      readAll()
      const { host } = scene.places[1]!
      host.up = false
      for (const link of scene.network.all) if (link.host === host) link.cut()
      scene.pass(2000)
      assert.deepStrictEqual(readAll(), ids)
      const { loads } = scene
      assert.isAbove(loads, ids.length)
      assert.isBelow(loads, 2 * ids.length)
      host.up = true
      scene.pass(5000)
      assert.deepStrictEqual([readAll(), scene.loads], [ids, loads])
    }, true)
  })
})

test.each([false, true])("a seed tells everything (cluster: %s)", async (isCluster) => {
  const play = (scene: Scene): void => {
    story({})(scene)
    for (const link of scene.network.all) link.cut()
    scene.pass(3000)
  }
  const hashes = []
  for (const seed of [8, 8, 9]) hashes.push((await inScene(seed, play, isCluster))[1])
  assert.strictEqual(hashes[0], hashes[1])
  assert.notStrictEqual(hashes[0], hashes[2])
})

test.each([false, true])("nothing real is asked for (cluster: %s)", async (isCluster) => {
  const made = new Set<string>()
  // All that Node would do later, or elsewhere: timers, ticks, sockets, files, threads.
  const ofLanguage = ["PROMISE", "Microtask", "effect/Fiber"]
  const hook = createHook({ init: (_, type) => ofLanguage.includes(type) || made.add(type) })
  const clocks = [
    vi.spyOn(performance, "now"),
    vi.spyOn(process, "hrtime"),
    vi.spyOn(Date, "now"),
    vi.spyOn(process.hrtime, "bigint")
  ]
  try {
    await inScene(10, (scene) => {
      hook.enable()
      try {
        story({})(scene)
        for (const link of scene.network.all) link.cut()
        scene.pass(3000)
      } finally {
        hook.disable()
      }
      assert.deepStrictEqual(clocks.map((clock) => clock.mock.calls.length), [0, 0, 0, 0])
    }, isCluster)
    assert.deepStrictEqual([...made], [])
  } finally {
    for (const clock of clocks) clock.mockRestore()
  }
})

test("a node that has left a cluster is not asked for the time", async () => {
  await inScene(14, (scene) => {
    // It begins at a name that is none of the nodes', as that of a managed cluster, which leaves once they are known.
    const a = scene.start("a", { lent: true })
    scene.pass(100)
    assert.deepStrictEqual([scene.read(a, 1), scene.read(a, 1), scene.loads], [1001, 1001, 1])
  }, true)
})
