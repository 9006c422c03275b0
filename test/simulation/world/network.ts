/**
 * Connections between processes and servers. What is sent by one arrives in
 * order, later, or not at all: a connection may stall, and be cut at any time,
 * so that nobody knows what of the last that was sent has happened.
 */
import type { Random } from "./random.ts"
import type { Owner, Sim } from "./sim.ts"

/** Where a server is. While it is frozen (`pausedUntil`) what comes in waits. */
export interface Host extends Owner {
  /** Whether it takes connections. */
  up: boolean
}

export interface Ends {
  readonly client: Owner
  readonly host: Host
  /** Called at the client when it notices that the connection is gone. */
  readonly lost: () => void
  /** Called at the server when the connection is gone. */
  readonly closed: () => void
}

/** How bad the network is. Times are in microseconds. */
export interface Weather {
  readonly delay: number
  /** More, now and then. */
  readonly slow: number
  /** How often a message is so slow. */
  readonly slowness: number
}

/** How often a message that was published is lost, comes twice, or comes late. */
export interface Messages {
  readonly lost: number
  readonly doubled: number
  readonly late: number
}

export const fairWeather: Weather = { delay: 250, slow: 5000, slowness: 0.01 }

export class Link {
  isCut = false
  private readonly network: Network
  private readonly ends: Ends
  /** When what was sent last arrives. */
  private there = 0
  private back = 0

  constructor(network: Network, ends: Ends) {
    this.network = network
    this.ends = ends
  }

  get host(): Host {
    return this.ends.host
  }

  get client(): Owner {
    return this.ends.client
  }

  toServer(arrive: () => void): void {
    const { network: { sim }, ends: { host } } = this
    this.there = Math.max(this.there, this.network.arrivalOn(this))
    sim.at(this.there, () => this.isCut || arrive(), host)
  }

  toClient(arrive: () => void): void {
    const { network: { sim }, ends: { client } } = this
    this.back = Math.max(this.back, this.network.arrivalOn(this))
    sim.at(this.back, () => this.isCut || arrive(), client)
  }

  /** Nothing that is under way arrives. The client notices soon. */
  cut(): void {
    if (this.isCut) return
    this.isCut = true
    const { client, closed, host, lost } = this.ends
    const { network: { random, sim } } = this
    this.network.forget(this)
    sim.after(random.int(1000), closed, host)
    sim.after(random.int(2000), lost, client)
  }

  /** The client closes it, and cares no more. */
  leave(): void {
    if (this.isCut) return
    this.isCut = true
    const { network: { random, sim } } = this
    this.network.forget(this)
    sim.after(random.int(1000), this.ends.closed, this.ends.host)
  }
}

export class Network {
  readonly sim: Sim
  readonly random: Random
  weather: Weather
  messages: Messages = { lost: 0, doubled: 0, late: 0 }
  private readonly links = new Set<Link>()
  /** Until when nothing arrives between two. */
  private readonly stalled = new Map<Owner, Map<Owner, number>>()

  constructor(sim: Sim, random: Random, weather: Weather = fairWeather) {
    this.sim = sim
    this.random = random
    this.weather = weather
  }

  /** Connects, or calls `refused` at the client, in a while. */
  connect(ends: Ends, connected: (link: Link) => void, refused: () => void): void {
    const { host, client } = ends
    this.sim.after(this.delay(), () => {
      if (!host.up) return void this.sim.after(this.delay(), refused, client)
      const link = new Link(this, ends)
      this.links.add(link)
      link.toClient(() => connected(link))
    }, host)
  }

  /** Connections as they are now, in the order in which they were made. */
  get all(): ReadonlyArray<Link> {
    return [...this.links]
  }

  forget(link: Link): void {
    this.links.delete(link)
  }

  /** What a server says without being asked: it may be lost, come twice, or late. */
  push(link: Link, arrive: () => void): void {
    const { doubled, late, lost } = this.messages
    const { random, sim } = this
    if (lost > 0 && random.chance(lost)) return
    if (doubled > 0 && random.chance(doubled)) link.toClient(arrive)
    if (late > 0 && random.chance(late)) {
      sim.after(random.int(200_000), () => link.isCut || link.toClient(arrive), link.host)
    } else link.toClient(arrive)
  }

  /** Nothing arrives between the two for so long; then all of it does. */
  stall(client: Owner, host: Host, us: number): void {
    let hosts = this.stalled.get(client)
    if (hosts === undefined) this.stalled.set(client, hosts = new Map())
    hosts.set(host, this.sim.us + us)
  }

  arrivalOn({ client, host }: Link): number {
    const until = this.stalled.size === 0 ? 0 : this.stalled.get(client)?.get(host) ?? 0
    return Math.max(this.sim.us + this.delay(), until)
  }

  private delay(): number {
    const { random, weather } = this
    const usual = 50 + random.int(weather.delay)
    return random.chance(weather.slowness) ? usual + random.int(weather.slow) : usual
  }
}
