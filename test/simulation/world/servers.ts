/** The servers of a world: where they are, what time they have, and what happens to them. */
import type { Lost } from "../judge.ts"
import type { Fault, Mode } from "../plan.ts"
import { Cluster, slotOf } from "../redis/cluster.ts"
import { failOver, type Link, link } from "../redis/replication.ts"
import { Server, type Write } from "../redis/server.ts"
import type { Deployment } from "./client.ts"
import type { Place } from "./connection.ts"
import type { Host, Network } from "./network.ts"
import type { Random } from "./random.ts"
import type { Sim } from "./sim.ts"

type Evicted = Extract<Fault, { readonly fault: "evict" }>["what"]

/** A server, and the machine that it runs on. */
class Stand implements Place {
  readonly host: Host
  readonly server: Server
  /** By how much its wall clock is wrong, in microseconds. */
  skew = 0
  /** When what is on its way to it arrives, at the earliest. */
  private arrival = 0
  private readonly sim: Sim

  constructor(sim: Sim, name: string, port: number) {
    this.sim = sim
    this.host = { name, pausedUntil: 0, dead: false, up: true }
    this.server = new Server({
      id: name,
      address: { host: "127.0.0.1", port },
      now: () => sim.us + this.skew,
      random: sim.random.fork(),
      after: (us, run) => void sim.after(us, run, this.host)
    })
  }

  /** Lets it hear of something in so many microseconds, in the order in which that was said. */
  deliver(us: number, run: () => void): void {
    this.arrival = Math.max(this.arrival, this.sim.us + us)
    this.sim.at(this.arrival, run, this.host)
  }
}

const parts: Record<Evicted, string> = {
  entry: ":e:",
  lease: ":l:",
  marker: ":m:",
  keyMarker: ":k:",
  journal: ":j:",
  fences: ":f:",
  any: ":"
}

/** What a write changes. An entry that was stored, and how long something is kept, say nothing of an invalidation. */
const keysIn = ({ args, name }: Write, prefix: string): ReadonlyArray<string> => {
  if (name === "pexpire" || (name === "set" && args[0]!.startsWith(`${prefix}:e:`))) return []
  return name === "del" ? args : args.slice(0, 1)
}

export class Servers implements Deployment {
  readonly isCluster: boolean
  readonly places: ReadonlyArray<Stand>
  private primary: Stand
  private link: Link | undefined
  private readonly lag: number
  private readonly cluster: Cluster | undefined
  private readonly moving = new Set<number>()
  /** When the primary had written up to which write. */
  private written: Array<readonly [index: number, us: number]> = []
  private readonly sim: Sim
  private readonly network: Network
  private readonly random: Random
  private readonly prefix: string
  private readonly tell: (where: string, what: string) => void

  constructor(sim: Sim, network: Network, mode: Mode, prefix: string, tell: (where: string, what: string) => void) {
    this.sim = sim
    this.network = network
    this.prefix = prefix
    this.tell = tell
    this.random = sim.random.fork()
    this.isCluster = mode === "cluster" || mode === "ioredis cluster"
    const count = this.isCluster ? 3 : mode === "replicas" ? 2 : 1
    this.places = Array.from({ length: count }, (_, i) => new Stand(sim, `redis${i + 1}`, 7001 + i))
    this.primary = this.places[0]!
    this.lag = this.random.pick([100, 5000, 50_000])
    if (mode === "replicas") this.follow()
    if (this.isCluster) {
      this.cluster = new Cluster(this.places.map(({ server }) => server), {
        random: this.random.fork(),
        deliver: (to, run) => this.standOf(to).deliver(this.random.int(2000), run)
      })
    }
  }

  /** Of a cluster any node will do; a name leads to the primary. */
  readonly entrance = (): Place => this.isCluster ? this.random.pick(this.places) : this.primary

  readonly at = (address: string): Place | undefined =>
    this.places.find(({ server }) => `${server.address.host}:${server.address.port}` === address)

  private standOf(server: Server): Stand {
    return this.places.find((place) => place.server === server)!
  }

  private place(i: number): Stand {
    return this.places[i % this.places.length]!
  }

  // --------------------------------------------------------------------------
  // what happens to one
  // --------------------------------------------------------------------------

  freeze(i: number, us: number): void {
    const { host } = this.place(i)
    this.tell(host.name, `is frozen for ${us / 1000} ms`)
    host.pausedUntil = Math.max(host.pausedUntil, this.sim.us + us)
  }

  fill(i: number, us: number): void {
    const { host, server } = this.place(i)
    this.tell(host.name, `is full for ${us / 1000} ms`)
    server.full = true
    this.sim.after(us, () => {
      server.full = false
    }, undefined)
  }

  pauseWrites(i: number, us: number): void {
    const { host, server } = this.place(i)
    this.tell(host.name, `lets writes wait for ${us / 1000} ms`)
    server.pausedWrites = true
    this.sim.after(us, () => {
      server.pausedWrites = false
    }, undefined)
  }

  restart(i: number, us: number, data: "empty" | "kept"): void {
    const { host, server } = this.place(i)
    if (!host.up) return
    this.tell(host.name, `is restarted, ${data === "empty" ? "and has lost all" : "with its data"}`)
    host.up = false
    this.cut(host)
    this.sim.after(us, () => {
      server.restart(data)
      host.up = true
    }, undefined)
  }

  private cut(host: Host): void {
    for (const one of this.network.all) if (one.host === host) one.cut()
  }

  evict(what: Evicted, many: number): void {
    const begins = `${this.prefix}${parts[what]}`
    for (let i = 0; i < many; i++) {
      const { host, server } = this.isCluster ? this.random.pick(this.places) : this.primary
      const keys = [...server.keyspace.keys()].filter((key) => key.startsWith(begins))
      if (keys.length === 0) return
      const chosen = this.random.pick(keys)
      this.tell(host.name, `evicts ${chosen}`)
      server.evict((key) => key === chosen)
    }
  }

  setClock(i: number, us: number): void {
    const place = this.place(i)
    this.tell(place.host.name, `its clock is set by ${us / 1000} ms`)
    place.skew += us
  }

  // --------------------------------------------------------------------------
  // failover
  // --------------------------------------------------------------------------

  private follow(): void {
    const replica = this.places.find((place) => place !== this.primary)!
    this.link = link(this.primary.server, replica.server, {
      deliver: (run) => replica.deliver(this.random.int(this.lag), run)
    })
    this.note()
  }

  private note(): void {
    const { primary: { server } } = this
    this.written = []
    server.onWrites((writes) => this.written.push([writes.at(-1)!.index, this.sim.us]))
  }

  /** The replica takes over; gives what is lost of what the primary had acknowledged. */
  failOver(): Lost | undefined {
    const { link: old, primary } = this
    // One that has not got its copy yet is not made a primary.
    if (old === undefined || old.acknowledged < 0) return undefined
    const { demote, lost } = failOver(old)
    this.tell("the servers", `the replica takes over, and ${lost.length} writes are lost`)
    this.primary = this.places.find((place) => place !== primary)!
    this.cut(primary.host)
    const first = lost[0]?.index ?? Infinity
    const from = this.written.find(([index]) => index >= first)?.[1] ?? this.sim.us
    const keys = new Set(lost.flatMap((write) => keysIn(write, this.prefix)))
    demote()
    this.link = [...this.primary.server.replicas][0] as Link
    this.note()
    return keys.size === 0 ? undefined : { from, to: this.sim.us, keys }
  }

  // --------------------------------------------------------------------------
  // slots
  // --------------------------------------------------------------------------

  moveSlots(count: number): void {
    const { cluster } = this
    if (cluster === undefined) return
    for (let i = 0; i < count; i++) {
      const from = this.random.pick(this.places)
      const keys = [...from.server.keyspace.keys()]
      if (keys.length === 0) continue
      const slot = slotOf(this.random.pick(keys))
      const to = this.random.pick(this.places.filter((place) => place !== from))
      if (this.moving.has(slot) || cluster.ownerOf(slot) !== from.server) continue
      this.moving.add(slot)
      this.tell("the servers", `slot ${slot} moves from ${from.host.name} to ${to.host.name}`)
      cluster.beginMove(slot, to.server)
      this.moveKeys(cluster, slot)
    }
  }

  private moveKeys(cluster: Cluster, slot: number): void {
    this.sim.after(this.random.int(3000), () => {
      if (cluster.moveKey(slot) !== undefined) return this.moveKeys(cluster, slot)
      cluster.endMove(slot)
      this.moving.delete(slot)
    }, undefined)
  }
}
