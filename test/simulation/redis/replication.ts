/**
 * A primary and its replicas. What was written arrives at a replica later, in
 * order, and of one script all or nothing. A failover loses what was on its way,
 * and says what that was, so that exactly what it did may be found undone.
 */
import type { Replica, Server, Source, Write } from "./server.ts"

export interface LinkOptions {
  /** Runs something later, as long as it takes to the replica. The order is kept whatever it takes. */
  readonly deliver: (run: () => void) => void
}

/** What was written at once, and what it does where it arrives. */
interface Shipment {
  readonly writes: ReadonlyArray<Write>
  readonly arrive: () => void
}

/** What connects a replica with its primary. */
export class Link implements Replica, Source {
  readonly primary: Server
  readonly server: Server
  readonly options: LinkOptions
  /** Nothing, until it has what its primary had when the two were connected. */
  acknowledged = -1
  private readonly onTheWay: Array<Shipment> = []
  private stop: () => void = () => {}

  constructor(primary: Server, replica: Server, options: LinkOptions) {
    this.primary = primary
    this.server = replica
    this.options = options
    const entries = primary.keyspace.copy()
    const { offset } = primary
    replica.follow(this)
    primary.replicas.add(this)
    this.ship([], () => {
      replica.load(entries, offset)
      this.acknowledge(offset)
    })
    this.stop = primary.onWrites((writes) =>
      this.ship(writes, () => {
        for (const write of writes) replica.apply(write)
        this.acknowledge(writes.at(-1)!.index)
      })
    )
  }

  private ship(writes: ReadonlyArray<Write>, arrive: () => void): void {
    this.onTheWay.push({ writes, arrive })
    this.options.deliver(() => this.onTheWay.shift()?.arrive())
  }

  private acknowledge(index: number): void {
    this.acknowledged = index
    this.primary.acknowledged()
  }

  /** Ends it: what is on its way does not arrive, and is given. */
  cut(): ReadonlyArray<Write> {
    this.stop()
    this.primary.replicas.delete(this)
    if (this.server.source === this) this.server.source = undefined
    return this.onTheWay.splice(0).flatMap(({ writes }) => writes)
  }

  readonly leave = (): void => {
    this.cut()
  }
}

/** Makes a server the replica of another: it gets all that is there, and then each write. */
export const link = (primary: Server, replica: Server, options: LinkOptions): Link =>
  new Link(primary, replica, options)

export interface Failover {
  /** What the old primary has written and the new one has not. It grows as long as the old one takes writes. */
  readonly lost: ReadonlyArray<Write>
  /** Makes the old primary a replica of the new one. */
  readonly demote: () => void
}

/**
 * Makes the replica the primary. The other replicas follow it. The old primary does not know until it is demoted: it may
 * go on, cut off from the others, and all that it writes is lost.
 */
export const failOver = (old: Link): Failover => {
  const { options, primary, server: promoted } = old
  const others = [...primary.replicas].filter((one) => one !== old)
  const lost: Array<Write> = [...old.cut()]
  const stop = primary.onWrites((writes) => lost.push(...writes))
  promoted.lead()
  for (const { leave, server } of others) {
    leave()
    link(promoted, server, options)
  }
  return {
    lost,
    demote: () => {
      stop()
      link(promoted, primary, options)
    }
  }
}
