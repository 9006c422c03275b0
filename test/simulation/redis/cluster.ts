/**
 * A cluster: slots of keys that lie on several primaries, with replicas, and can
 * be moved while they are asked for.
 *
 * Each node has its own view of who has which slot. What changes is told to the
 * others later, so that for a while a client is sent to where a slot was.
 */
import type { Random } from "../world/random.ts"
import type { Command, Keys } from "./commands.ts"
import type { Connection } from "./connection.ts"
import { type Failover, failOver, type Link } from "./replication.ts"
import { Failure, type Reply } from "./reply.ts"
import type { Membership, Server } from "./server.ts"

export const slotCount = 16_384

const table = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = ((crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021) & 0xffff
  return crc
})

/** The slot of a key that is a text of bytes: what stands in its first braces decides, if there is anything. */
export const slotOf = (key: string): number => {
  let from = key.indexOf("{") + 1
  let to = from === 0 ? -1 : key.indexOf("}", from)
  if (to <= from) [from, to] = [0, key.length]
  let crc = 0
  for (let i = from; i < to; i++) crc = ((crc << 8) & 0xffff) ^ table[(crc >> 8) ^ key.charCodeAt(i)]!
  return crc % slotCount
}

const crossSlot = new Failure("CROSSSLOT Keys in request don't hash to the same slot")
const isDown = new Failure("CLUSTERDOWN The cluster is down")
const unserved = new Failure("CLUSTERDOWN Hash slot not served")
const tryAgain = new Failure("TRYAGAIN Multiple keys request during rehashing of slot")
const isDownInScript = new Failure("ERR Script attempted to execute a command while the cluster is down")
const notLocal = new Failure("ERR Script attempted to access a non local key in a cluster node")

/** Where the keys begin among the arguments, and where they end. */
const placesOf = (keys: Keys, args: ReadonlyArray<string>): readonly [from: number, to: number] => {
  switch (keys) {
    case "none":
      return [0, 0]
    case "first":
      return [0, 1]
    case "all":
      return [0, args.length]
    case "numbered": {
      const count = Number(args[1])
      return count <= args.length - 2 ? [2, 2 + count] : [2, 2]
    }
  }
}

class Node implements Membership {
  readonly id: string
  readonly server: Server
  /** Who has each slot, as far as this node knows. */
  readonly owners: Array<Node | undefined>
  /** Where the keys of a slot go to, and where they come from. */
  readonly migrating = new Map<number, Node>()
  readonly importing = new Map<number, Node>()
  /** Whether it takes the cluster for failed. */
  isDown = false
  primary: Node | undefined
  private readonly cluster: Cluster

  constructor(cluster: Cluster, server: Server, id: string) {
    this.cluster = cluster
    this.server = server
    this.id = id
    this.owners = Array.from({ length: slotCount })
    server.cluster = this
  }

  get name(): string {
    const { host, port } = this.server.address
    return `${host}:${port}`
  }

  readonly refusal = (
    command: Command<never>,
    args: ReadonlyArray<string>,
    connection: Connection
  ): Failure | undefined => {
    const [from, to] = placesOf(command.keys, args)
    if (from >= to) return undefined
    const first = args[from]!
    const slot = slotOf(first)
    const owner = this.owners[slot]
    if (owner === undefined) return unserved
    const target = this.migrating.get(slot)
    const isImporting = this.importing.has(slot)
    const { keyspace } = this.server
    let isMany = false
    let missing = 0
    for (let i = from; i < to; i++) {
      const key = args[i]!
      if (key !== first) {
        if (slotOf(key) !== slot) return crossSlot
        isMany = true
      }
      if ((target !== undefined || isImporting) && !keyspace.has(key)) missing++
    }
    if (this.isDown) return isDown
    if (target !== undefined && missing > 0) {
      return missing < to - from ? tryAgain : new Failure(`ASK ${slot} ${target.name}`)
    }
    if (isImporting && connection.asking) return isMany && missing > 0 ? tryAgain : undefined
    if (owner === this || (this.primary === owner && connection.readsReplicas && !command.writes)) return undefined
    return new Failure(`MOVED ${slot} ${owner.name}`)
  }

  readonly refusalInScript: Membership["refusal"] = (command, args, connection) => {
    const refusal = this.refusal(command, args, connection)
    return refusal === undefined ? undefined : refusal === isDown ? isDownInScript : notLocal
  }

  readonly publish = (message: ReadonlyArray<string>): void => this.cluster.publish(this, message)

  readonly tell = (name: string, args: ReadonlyArray<string>): Reply => {
    switch (name) {
      case "myid":
        return this.id
      case "slots":
        return this.slots()
      case "shards":
        return this.shards()
      case "nodes":
        return this.cluster.nodes.map((node) => `${this.describe(node)}\n`).join("")
      case "info":
        return this.info()
      case "keyslot":
        return slotOf(args[0]!)
      default:
        return name === "countkeysinslot"
          ? this.keysIn(Number(args[0])).length
          : this.keysIn(Number(args[0])).slice(0, Number(args[1]))
    }
  }

  keysIn(slot: number): ReadonlyArray<string> {
    return [...this.server.keyspace.keys()].filter((key) => slotOf(key) === slot)
  }

  private ranges(): ReadonlyArray<readonly [first: number, last: number, owner: Node]> {
    const ranges: Array<readonly [number, number, Node]> = []
    let first = 0
    for (let slot = 1; slot <= slotCount; slot++) {
      if (slot < slotCount && this.owners[slot] === this.owners[first]) continue
      const owner = this.owners[first]
      if (owner !== undefined) ranges.push([first, slot - 1, owner])
      first = slot
    }
    return ranges
  }

  private slots(): Reply {
    const place = ({ id, server: { address } }: Node): Reply => [address.host, address.port, id, []]
    return this.ranges().map(([first, last, owner]) => [
      first,
      last,
      place(owner),
      ...this.cluster.replicasOf(owner).map(place)
    ])
  }

  private shards(): Reply {
    const ranges = this.ranges()
    const place = ({ id, primary, server: { address: { host, port }, offset } }: Node): Reply => [
      ...["id", id, "port", port, "ip", host, "endpoint", host],
      ...["role", primary === undefined ? "master" : "replica", "replication-offset", offset, "health", "online"]
    ]
    return this.cluster.primaries.map((primary) => [
      "slots",
      ranges.filter(([, , owner]) => owner === primary).flatMap(([first, last]) => [first, last]),
      "nodes",
      [primary, ...this.cluster.replicasOf(primary)].map(place)
    ])
  }

  private describe(node: Node): string {
    const flags = `${node === this ? "myself," : ""}${node.primary === undefined ? "master" : "slave"}`
    const bus = node.server.address.port + 10_000
    const ranges = this.ranges().filter(([, , owner]) => owner === node)
    const moving = node !== this ? [] : [
      ...[...this.migrating].map(([slot, to]) => `[${slot}->-${to.id}]`),
      ...[...this.importing].map(([slot, from]) => `[${slot}-<-${from.id}]`)
    ]
    return [
      node.id,
      `${node.name}@${bus}`,
      flags,
      node.primary?.id ?? "-",
      ...["0", "0", String(this.cluster.epochOf(node)), "connected"],
      ...ranges.map(([first, last]) => first === last ? String(first) : `${first}-${last}`),
      ...moving
    ].join(" ")
  }

  private info(): string {
    const served = this.owners.filter((owner) => owner !== undefined)
    return [
      `cluster_state:${this.isDown ? "fail" : "ok"}`,
      `cluster_slots_assigned:${served.length}`,
      `cluster_slots_ok:${served.length}`,
      "cluster_slots_pfail:0",
      "cluster_slots_fail:0",
      `cluster_known_nodes:${this.cluster.nodes.length}`,
      `cluster_size:${new Set(served).size}`
    ].map((line) => `${line}\r\n`).join("")
  }
}

export interface ClusterOptions {
  readonly random: Random
  /** Lets a node hear of something, later. */
  readonly deliver: (to: Server, run: () => void) => void
}

export class Cluster {
  readonly nodes: ReadonlyArray<Node>
  private readonly deliver: ClusterOptions["deliver"]
  private readonly epochs = new Map<Node, number>()

  /** The slots are divided among the primaries evenly. Replicas are those that the primaries have. */
  constructor(primaries: ReadonlyArray<Server>, { deliver, random }: ClusterOptions) {
    this.deliver = deliver
    const make = (server: Server): Node =>
      new Node(this, server, Array.from({ length: 40 }, () => random.int(16).toString(16)).join(""))
    const shards = primaries.map((server) => ({
      primary: make(server),
      replicas: [...server.replicas].map((one) => make(one.server))
    }))
    this.nodes = shards.flatMap(({ primary, replicas }) => [primary, ...replicas])
    for (const [i, { primary, replicas }] of shards.entries()) {
      for (const replica of replicas) replica.primary = primary
      this.epochs.set(primary, i + 1)
      const [first, end] = [i, i + 1].map((n) => Math.floor(n * slotCount / shards.length))
      for (const node of this.nodes) node.owners.fill(primary, first, end)
    }
  }

  get primaries(): ReadonlyArray<Node> {
    return this.nodes.filter(({ primary }) => primary === undefined)
  }

  replicasOf(primary: Node): ReadonlyArray<Node> {
    return this.nodes.filter((node) => node.primary === primary)
  }

  /** A replica has that of its primary. */
  epochOf(node: Node): number {
    return this.epochs.get(node.primary ?? node) ?? 0
  }

  private nodeOf(server: Server): Node {
    const node = this.nodes.find((one) => one.server === server)
    if (node === undefined) throw new Error(`${server.id} is no node of this cluster`)
    return node
  }

  private tell(to: Node, run: () => void): void {
    this.deliver(to.server, run)
  }

  publish(from: Node, message: ReadonlyArray<string>): void {
    for (const node of this.nodes) if (node !== from) this.tell(node, () => node.server.hear(message))
  }

  /** Whose slot it is, as its owner knows. */
  ownerOf(slot: number): Server {
    const claims = this.nodes.filter((node) => node.owners[slot] === node)
    // One that was failed over may not know.
    const [owner] = claims.sort((a, b) => this.epochOf(b) - this.epochOf(a))
    if (owner === undefined) throw new Error(`nobody has slot ${slot}`)
    return owner.server
  }

  /** Whether a node takes the cluster for failed: it serves no key then. */
  setDown(server: Server, down: boolean): void {
    this.nodeOf(server).isDown = down
  }

  // ---------------------------------------------------------------------------
  // slots that move
  // ---------------------------------------------------------------------------

  /** From now on keys of the slot that are not there any more are asked for at the other node. */
  beginMove(slot: number, target: Server): void {
    const from = this.nodeOf(this.ownerOf(slot))
    const to = this.nodeOf(target)
    if (from === to) throw new Error(`slot ${slot} is there`)
    to.importing.set(slot, from)
    from.migrating.set(slot, to)
  }

  /** Moves a key of the slot; gives which, unless none is left. */
  moveKey(slot: number): string | undefined {
    const [from, to] = this.moveOf(slot)
    const [key] = from.keysIn(slot)
    const entry = key === undefined ? undefined : from.server.take(key)
    if (key === undefined) return undefined
    if (entry !== undefined) to.server.put(key, entry)
    return key
  }

  /** The slot is the other node's. All keys must have been moved. */
  endMove(slot: number): void {
    const [from, to] = this.moveOf(slot)
    if (from.keysIn(slot).length > 0) throw new Error(`there are keys of slot ${slot} left`)
    to.importing.delete(slot)
    to.owners[slot] = to
    from.migrating.delete(slot)
    from.owners[slot] = to
    this.renew(to)
    // As it is now: the other node may have lost the slot again, and be the newer one by another, when this is heard.
    const epoch = this.epochOf(to)
    for (const node of this.nodes) {
      if (node !== from && node !== to) this.tell(node, () => this.learn(node, to, [slot], epoch))
    }
  }

  private moveOf(slot: number): readonly [from: Node, to: Node] {
    const from = this.nodes.find((node) => node.migrating.has(slot))
    if (from === undefined) throw new Error(`slot ${slot} is not on its way`)
    return [from, from.migrating.get(slot)!]
  }

  private renew(node: Node): void {
    this.epochs.set(node, Math.max(0, ...this.epochs.values()) + 1)
  }

  /** What was told earlier may come later. */
  private learn(node: Node, owner: Node, slots: Iterable<number>, epoch: number): void {
    for (const slot of slots) {
      const known = node.owners[slot]
      if (known === undefined || (this.epochs.get(known) ?? 0) <= epoch) node.owners[slot] = owner
    }
  }

  // ---------------------------------------------------------------------------
  // primaries that fail
  // ---------------------------------------------------------------------------

  /**
   * Makes the replica the primary of the slots. The others are told; so is the old primary, which is demoted then, unless
   * it is gone. Slots that were on their way from the old one, or to it, stay where they were.
   */
  failOver(old: Link, fate: "replica" | "gone"): Failover {
    const before = this.nodeOf(old.primary)
    const promoted = this.nodeOf(old.server)
    const failover = failOver(old)
    for (const node of this.replicasOf(before)) if (node !== promoted) node.primary = promoted
    promoted.primary = undefined
    const slots = [...before.owners.keys()].filter((slot) => before.owners[slot] === before)
    this.renew(promoted)
    const epoch = this.epochOf(promoted)
    this.learn(promoted, promoted, slots, epoch)
    const demote = (): void => {
      if (before.primary !== undefined) return
      this.learn(before, promoted, slots, epoch)
      before.migrating.clear()
      before.importing.clear()
      before.primary = promoted
      failover.demote()
    }
    for (const node of this.nodes) {
      if (node === promoted) continue
      if (node !== before) this.tell(node, () => this.learn(node, promoted, slots, epoch))
      else if (fate === "replica") this.tell(node, demote)
    }
    return { lost: failover.lost, demote }
  }
}
