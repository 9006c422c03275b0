/** A connection of the plain client, which is made again whenever it is lost. */
import type { Failure, Reply } from "../redis/reply.ts"
import type { Server, Session } from "../redis/server.ts"
import type { Host, Link, Network } from "./network.ts"
import type { Process } from "./process.ts"

/** A server, and where it is. */
export interface Place {
  readonly host: Host
  readonly server: Server
}

/** What came of a command: an answer, or none, which leaves open whether it has happened, or it was never sent. */
export type Outcome =
  | { readonly _tag: "Answered"; readonly reply: Reply }
  | { readonly _tag: "Lost" }
  | { readonly _tag: "Unsent" }

export type Done = (outcome: Outcome) => void

const lost: Outcome = { _tag: "Lost" }
const unsent: Outcome = { _tag: "Unsent" }

// -----------------------------------------------------------------------------
// text
// -----------------------------------------------------------------------------

// Whatever is one byte in UTF-8 is the same in the binary strings of the server.
// oxlint-disable-next-line no-control-regex
const ascii = /^[\x00-\x7f]*$/

/** A text as bytes, one character each. */
export const encode = (value: string | number): string => {
  const text = typeof value === "string" ? value : String(value)
  return ascii.test(text) ? text : Buffer.from(text, "utf8").toString("latin1")
}

const decodeText = (bytes: string): string => ascii.test(bytes) ? bytes : Buffer.from(bytes, "latin1").toString("utf8")

/** An answer as a client of the package gives it. */
export const decode = (reply: Reply): unknown => {
  if (typeof reply === "string") return decodeText(reply)
  if (Array.isArray(reply)) return reply.map(decode)
  return typeof reply === "object" && reply !== null && "ok" in reply ? reply.ok : reply
}

export const isFailure = (reply: Reply): reply is Failure =>
  typeof reply === "object" && reply !== null && "err" in reply

// -----------------------------------------------------------------------------
// connections
// -----------------------------------------------------------------------------

// Milliseconds before a lost connection is made again: at first, and at the most.
const pauses = [50, 2000] as const

export interface Events {
  readonly ready?: () => void
  readonly lost?: () => void
  readonly pushed?: (message: ReadonlyArray<unknown>) => void
}

export class Connection {
  /** How often it was made. */
  made = 0
  private link: Link | undefined
  private session: Session | undefined
  private closed = false
  private failures = 0
  private readonly pending = new Set<Done>()
  private readonly network: Network
  private readonly process: Process
  /** Where the name leads to now. */
  private readonly find: () => Place
  private readonly events: Events

  constructor(network: Network, process: Process, find: () => Place, events: Events = {}) {
    this.network = network
    this.process = process
    this.find = find
    this.events = events
    this.open()
  }

  get isReady(): boolean {
    return this.link !== undefined
  }

  private open(): void {
    const place = this.find()
    let session: Session | undefined
    this.network.connect(
      {
        client: this.process,
        host: place.host,
        lost: () => this.lose(),
        closed: () => session?.close()
      },
      (link) => {
        if (this.closed) return link.leave()
        // It was on its way while another took over. As the library does with `ioredis`, a replica is left.
        if (place.server.role === "slave") {
          link.leave()
          return this.again()
        }
        session = place.server.open({
          push: (message) =>
            this.network.push(link, () => this.events.pushed?.(decode(message) as ReadonlyArray<unknown>))
        })
        this.session = session
        this.link = link
        this.made++
        this.failures = 0
        this.events.ready?.()
      },
      () => this.again()
    )
  }

  private again(): void {
    if (this.closed) return
    const [first, most] = pauses
    const pause = Math.min(first * 2 ** Math.min(this.failures++, 10), most)
    this.network.sim.after(pause * 1000, () => this.closed || this.open(), this.process)
  }

  private lose(): void {
    this.link = undefined
    for (const done of this.pending) done(lost)
    this.pending.clear()
    this.events.lost?.()
    this.again()
  }

  /** Sends commands that belong together; `done` is told of the last one. */
  send(commands: ReadonlyArray<ReadonlyArray<string>>, done: (replies: ReadonlyArray<Outcome>) => void): void {
    const { link, session } = this
    if (link === undefined || session === undefined) return done(commands.map(() => unsent))
    const outcomes: Array<Outcome> = []
    const one: Done = (outcome) => {
      outcomes.push(outcome)
      if (outcome._tag === "Lost") { while (outcomes.length < commands.length) outcomes.push(lost) }
      if (outcomes.length < commands.length) return
      this.pending.delete(one)
      done(outcomes)
    }
    this.pending.add(one)
    link.toServer(() => {
      for (const command of commands) {
        session.receive(
          command,
          (reply) => link.toClient(() => this.pending.has(one) && one({ _tag: "Answered", reply }))
        )
      }
    })
  }

  close(): void {
    this.closed = true
    this.link?.leave()
    this.link = undefined
    for (const done of this.pending) done(lost)
    this.pending.clear()
  }
}
