/** The servers of a world: where they are, what time they have, and what happens to them. */
import type { Lost } from "../judge.ts"
import type { Fault, Mode } from "../plan.ts"
import { Server } from "../redis/server.ts"
import type { Deployment } from "./client.ts"
import type { Place } from "./connection.ts"
import type { Host, Network } from "./network.ts"
import type { Random } from "./random.ts"
import type { Sim } from "./sim.ts"

type Evicted = Extract<Fault, { readonly fault: "evict" }>["what"]

class Stand implements Place {
  readonly host: Host
  readonly server: Server
  skew = 0
  constructor(sim: Sim, id: string) {
    this.host = { name: id, pausedUntil: 0, dead: false, up: true }
    this.server = new Server({ id, now: () => sim.us + this.skew, random: sim.random.fork() })
  }
}

export class Servers implements Deployment {
  readonly isCluster = false
  readonly places: ReadonlyArray<Stand>
  private readonly sim: Sim
  private readonly network: Network
  private readonly random: Random

  constructor(sim: Sim, network: Network, _mode: Mode) {
    this.sim = sim
    this.network = network
    this.random = sim.random.fork()
    this.places = [new Stand(sim, "redis")]
  }
  entrance = (): Place => this.places[0]!
  at = (_address: string): Place | undefined => undefined
  freeze(_server: number, us: number): void {
    const { host } = this.places[0]!
    host.pausedUntil = Math.max(host.pausedUntil, this.sim.us + us)
  }
  fill(_server: number, us: number): void {
    const { server } = this.places[0]!
    server.full = true
    this.sim.after(us, () => {
      server.full = false
    }, undefined)
  }
  pauseWrites(_server: number, _us: number): void {}
  restart(_server: number, us: number, data: "empty" | "kept"): void {
    const { host, server } = this.places[0]!
    host.up = false
    for (const link of this.network.all) link.cut()
    this.sim.after(us, () => {
      server.restart(data)
      host.up = true
    }, undefined)
  }
  evict(what: Evicted, many: number): void {
    const prefix = { entry: "c:e:", lease: "c:l:", marker: "c:m:", journal: "c:j:", fences: "c:f:", any: "c:" }[what]
    const { server } = this.places[0]!
    for (let i = 0; i < many; i++) {
      const keys = [...server.keyspace.keys()].filter((k) => k.startsWith(prefix))
      if (keys.length === 0) return
      const key = this.random.pick(keys)
      server.evict((k) => k === key)
    }
  }
  setClock(_server: number, us: number): void {
    this.places[0]!.skew += us
  }
  failOver(_us: number): Lost | undefined {
    return undefined
  }
  moveSlots(_n: number): void {}
}
