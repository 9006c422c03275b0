/** A small world for tests of what worlds are made of: processes on `ioredis`, and what a test asks of them. */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { CacheService } from "../../../src/CacheService.ts"
import { Cached, Key, Policy } from "../../../src/index.ts"
import { Cluster } from "../redis/cluster.ts"
import { Server } from "../redis/server.ts"
import type { Deployment } from "./client.ts"
import type { Place } from "./connection.ts"
import { replaceGlobals } from "./globals.ts"
import { layerOf, type Own, socketsOf } from "./ioredis.ts"
import { Network } from "./network.ts"
import { contextOf, Process } from "./process.ts"
import type { Random } from "./random.ts"
import { Sim } from "./sim.ts"

/** A process that has a cache. */
export interface Running {
  readonly process: Process
  readonly context: Context.Context<CacheService>
  readonly scope: Scope.Closeable
}

/** How something ended that a process was asked for; undefined until then. */
export type Asked<A, E> = () => Exit.Exit<A, E> | undefined

export class Scene {
  readonly sim: Sim
  readonly network: Network
  readonly places: ReadonlyArray<Place>
  /** Where the name of the server leads to. */
  entrance = 0
  /** How often the origin was read, and what it has. */
  loads = 0
  value = 1
  /** Milliseconds that a load takes. */
  loadTakes = 20
  readonly deployment: Deployment
  /** What the servers are, unless they are one primary and what takes its place. */
  readonly cluster: Cluster | undefined
  readonly numbers = Cached.make("number", {
    key: Key.int("id"),
    value: Schema.Int,
    lookup: (id) =>
      Effect.suspend(() => {
        this.loads++
        const value = this.value * 1000 + id
        return Effect.as(Effect.sleep(this.loadTakes), value)
      })
  }, Policy.forever)

  constructor(sim: Sim, isCluster: boolean) {
    this.sim = sim
    this.network = new Network(sim, sim.random.fork())
    const address = (i: number) => ({ host: `10.0.0.${i + 1}`, port: 6379 })
    this.places = Array.from({ length: isCluster ? 3 : 2 }, (_, i) => {
      const host = { name: `server ${i}`, pausedUntil: 0, dead: false, up: true }
      const after = (us: number, run: () => void): void => void sim.after(us, run, host)
      const [id, random] = [String(i), sim.random.fork()]
      return { host, server: new Server({ id, address: address(i), now: () => sim.us, random, after }) }
    })
    this.deployment = {
      isCluster,
      entrance: () => this.places[this.entrance]!,
      at: (name) => this.places.find((_, i) => name === `${address(i).host}:${address(i).port}`)
    }
    if (isCluster) this.cluster = this.clusterOf(sim.random.fork())
  }

  private clusterOf(random: Random): Cluster {
    const hostOf = (server: Server) => this.places.find((place) => place.server === server)!.host
    return new Cluster(this.places.map(({ server }) => server), {
      random,
      deliver: (to, run) => void this.sim.after(random.int(5000), run, hostOf(to))
    })
  }

  /** Begins a task of a process; gives what tells how it ended, if it has. */
  private fork<A, E, R>(process: Process, context: Context.Context<R>, effect: Effect.Effect<A, E, R>): Asked<A, E> {
    let exit: Exit.Exit<A, E> | undefined
    this.sim.soon(() => {
      Effect.runForkWith(context)(effect).addObserver((done) => {
        exit = done
      })
    }, process)
    return () => exit
  }

  /** Lets everything happen until all are done. */
  runAll<A, E>(exits: ReadonlyArray<Asked<A, E>>): ReadonlyArray<A> {
    this.sim.run(() => exits.every((exit) => exit() !== undefined))
    return exits.map((exit) => {
      const done = exit()
      if (done === undefined) throw new Error("nothing is left to happen, and it is not done")
      if (Exit.isFailure(done)) throw Cause.squash(done.cause)
      return done.value
    })
  }

  /** A process that was started, and has built its cache. */
  start(name: string, own: Own = {}): Running {
    const process = new Process(this.sim, name, 0, 0)
    const base = contextOf(this.sim, process)
    const scope = Scope.makeUnsafe()
    const build = Layer.buildWithScope(layerOf(this.deployment, own), scope)
    const [services] = this.runAll([this.fork(process, base, build)])
    return { process, context: Context.merge(base, services!), scope }
  }

  ask<A, E>({ context, process }: Running, effect: Effect.Effect<A, E, CacheService>): Asked<A, E> {
    return this.fork(process, context, effect)
  }

  read(one: Running, id: number): number {
    return this.runAll([this.ask(one, Cached.get(this.numbers, id))])[0]!
  }

  /** Milliseconds of the world that something takes. */
  timed<A>(run: () => A): readonly [value: A, millis: number] {
    const { us } = this.sim
    const value = run()
    return [value, (this.sim.us - us) / 1000]
  }

  pass(millis: number): void {
    let over = false
    this.sim.after(millis * 1000, () => {
      over = true
    })
    this.sim.run(() => over)
  }
}

/** A world of its own, from a macrotask; what it gives, and the hash of what has happened. */
export const inScene = <A>(seed: number, play: (scene: Scene) => A, isCluster = false): Promise<readonly [A, string]> =>
  new Promise((resolve, reject) => {
    setImmediate(() => {
      const sim = new Sim(seed)
      const scene = new Scene(sim, isCluster)
      const restore = replaceGlobals(sim, sim.random.fork(), socketsOf(scene.network, scene.deployment))
      try {
        resolve([play(scene), sim.hash])
      } catch (error) {
        reject(error)
      } finally {
        restore()
      }
    })
  })
