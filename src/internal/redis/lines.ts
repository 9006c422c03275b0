/**
 * The connections to one server, and what is known of it at their ends.
 *
 * Reads have a connection of their own, so that a script which the server keeps
 * waiting holds up no hit. But two connections can lead to two servers: after a
 * failover one may still be at the old primary. So each is asked, when it is
 * made, which run of which server it has met, and reads go by their own
 * connection only while it has met the same run as that of writes. Otherwise
 * they go by the connection of writes, which is then the only one.
 *
 * Once a **beat** each connection is asked for the server's role. That is how a
 * primary that became a replica is noticed, from which nothing is read any more;
 * and a connection over which nothing comes any more, though it stands.
 */
import { factsIn, runIn } from "./info.ts"
import type { Raw } from "./raw.ts"

/** What a server says of itself. It may not be permitted to ask. */
export type Server =
  | { readonly _tag: "Asking" | "Untold" | "Replica" }
  | { readonly _tag: "Primary"; readonly run: string }

const asking: Server = { _tag: "Asking" }
const untold: Server = { _tag: "Untold" }
const replica: Server = { _tag: "Replica" }

const roleIn = (info: unknown): string | undefined => factsIn(info)["role"]

const isReplica = (info: unknown): boolean => roleIn(info) === "slave"

const isPrimary = (info: unknown): boolean => roleIn(info) === "master"

// -----------------------------------------------------------------------------
// silence
// -----------------------------------------------------------------------------

/**
 * Notices when nothing comes over a connection that owes an answer. Beats are
 * counted, not time: a process that was busy itself has not waited.
 */
export class Pulse {
  /** How many beats in a row nothing has come. */
  silent = 0
  private owed = false
  private bytes = 0
  /** Grows with each connection, so that an answer of an earlier one does not count. */
  private epoch = 0
  private readonly raw: Raw
  private readonly ask: () => Promise<unknown>

  constructor(raw: Raw, ask: () => Promise<unknown>) {
    this.raw = raw
    this.ask = ask
  }

  /** Called when the connection is another, or none. */
  restart(): void {
    this.epoch++
    this.owed = false
    this.silent = 0
  }

  beat(): void {
    const { status, stream } = this.raw
    // While it is being made it owes the answers to a handshake.
    if (status !== "ready" && status !== "connect") return this.restart()
    const bytes = stream?.bytesRead ?? 0
    this.silent = this.owed && bytes === this.bytes ? this.silent + 1 : 0
    this.bytes = bytes
    if (this.owed) return
    this.owed = true
    if (status === "connect") return
    const { epoch } = this
    const answered = () => {
      if (epoch === this.epoch) this.owed = false
    }
    this.ask().then(answered, answered)
  }
}

/** Ends the connection at once, without a farewell to which nobody may answer. */
export const cut = ({ stream }: Raw): void => {
  stream?.destroy()
}

// -----------------------------------------------------------------------------
// one connection
// -----------------------------------------------------------------------------

// So many connections were made by this process: which of two is the older one.
let made = 0

/** Called when something else is known of its server; `left` is the run that was the primary, and is a replica now. */
type Changed = (line: Line, left: string | undefined) => void

// Beats. As long, at the most, a name may already lead to the new primary, and nobody has looked.
const longestPause = 8

export class Line {
  server: Server = asking
  /** When its connection was made, among all. */
  madeAs = 0
  readonly raw: Raw
  readonly pulse: Pulse
  /** A connection of a client that was lent is not cut again and again. */
  readonly own: boolean
  private readonly changed: Changed
  private readonly connected: () => void
  private told: Promise<void>
  private tell: () => void = () => {}
  private epoch = 0
  /** Beats until it may be cut, and how many after the next time. */
  private pause = 0
  private nextPause = 1

  constructor(raw: Raw, own: boolean, changed: Changed, connected: () => void) {
    this.raw = raw
    this.own = own
    this.changed = changed
    this.connected = connected
    this.pulse = new Pulse(raw, () => raw.call("INFO", "replication").then((info) => this.hearRole(info)))
    this.told = this.untilTold()
    raw.on("ready", this.ready)
    raw.on("close", this.close)
    if (raw.status === "ready") this.ready()
  }

  leave(): void {
    this.raw.off("ready", this.ready)
    this.raw.off("close", this.close)
    this.tell()
  }

  /** Whether an answer is of a server that is no replica: what it is may be told only after the answer. */
  async isOfPrimary(): Promise<boolean> {
    if (this.server === asking && this.raw.status === "ready") await this.told
    return this.server !== replica
  }

  get run(): string | undefined {
    return this.server._tag === "Primary" ? this.server.run : undefined
  }

  /** Whether to cut it now: seldom, if it did not help. */
  mayBeCut(): boolean {
    if (this.pause > 0) {
      this.pause--
      return false
    }
    this.pause = this.nextPause
    this.nextPause = Math.min(2 * this.nextPause, longestPause)
    return true
  }

  isWell(): void {
    this.pause = 0
    this.nextPause = Math.max(1, this.nextPause - 1)
  }

  private untilTold(): Promise<void> {
    return new Promise((resolve) => {
      this.tell = resolve
    })
  }

  private readonly close = (): void => {
    this.epoch++
    this.pulse.restart()
    this.tell()
    this.told = this.untilTold()
    this.become(asking)
  }

  private readonly ready = (): void => {
    const epoch = ++this.epoch
    this.madeAs = ++made
    this.connected()
    this.pulse.restart()
    Promise.all([this.raw.call("INFO", "server"), this.raw.call("INFO", "replication")]).then(
      ([server, replication]) => {
        const run = runIn(server)
        if (epoch !== this.epoch) return
        this.become(isReplica(replication) ? replica : run === undefined ? untold : { _tag: "Primary", run })
      },
      () => {
        if (epoch === this.epoch && this.raw.status === "ready") this.become(untold)
      }
    )
  }

  private hearRole(info: unknown): void {
    if (isReplica(info)) this.demote()
    // A replica that was made the primary: what lies there is another's, so it is met anew.
    else if (this.server === replica && isPrimary(info)) this.ready()
  }

  /** Its server is a replica now. */
  demote(): void {
    if (this.server._tag === "Primary") this.become(replica)
  }

  private become(server: Server): void {
    const [before, { run }] = [this.server, this]
    this.server = server
    if (server !== asking) this.tell()
    if (server !== before) this.changed(this, server === replica ? run : undefined)
  }
}

// -----------------------------------------------------------------------------
// all connections to one server
// -----------------------------------------------------------------------------

/** What becomes of a connection. */
export interface Events {
  /** Its server was the primary, and is a replica now. */
  readonly demoted: (line: Line) => void
  /** The primary may be another one. */
  readonly moved: () => void
  /** There is a new connection. */
  readonly connected: () => void
}

export class Lines {
  readonly writes: Array<Line> = []
  reads: Line | undefined
  /** By which connection to read now; undefined if by none. */
  reader: Line | undefined
  private run: string | undefined
  private readonly on: Events

  constructor(on: Events) {
    this.on = on
  }

  addWrites(raw: Raw, own: boolean): Line {
    const line = new Line(raw, own, this.changed, this.on.connected)
    this.writes.push(line)
    this.reader = this.choose()
    return line
  }

  addReads(raw: Raw): Line {
    const line = this.reads = new Line(raw, true, this.changed, this.on.connected)
    this.reader = this.choose()
    return line
  }

  leave(): void {
    for (const line of this.all) line.leave()
  }

  private get all(): ReadonlyArray<Line> {
    return this.reads === undefined ? this.writes : [...this.writes, this.reads]
  }

  /** The runs that connections of writes have met. */
  private get runs(): ReadonlyArray<string> {
    return [...new Set(this.writes.flatMap(({ run }) => run ?? []))]
  }

  /** The run that they have met, unless it is not one. */
  get primary(): string | undefined {
    const [run, ...others] = this.runs
    return others.length === 0 ? run : undefined
  }

  private readonly changed: Changed = (line, left) => {
    // What one has been told holds for all that lead there.
    if (left !== undefined) { for (const other of this.all) if (other.run === left) other.demote() }
    const { primary } = this
    this.reader = this.choose()
    if (left !== undefined) this.on.demoted(line)
    if (left !== undefined || (primary !== undefined && this.run !== undefined && primary !== this.run)) this.on.moved()
    if (primary !== undefined) this.run = primary
  }

  private choose(): Line | undefined {
    const { reads, writes } = this
    const [main] = writes
    if (main === undefined || writes.some(({ server }) => server === replica)) return undefined
    if (this.runs.length > 1) return undefined
    return main.run !== undefined && reads?.run === main.run ? reads : main
  }

  /** One beat. Gives the connections over which nothing comes: whether others would do better has to be tried. */
  beat(patience: number): ReadonlyArray<Line> {
    const { all } = this
    const silent: Array<Line> = []
    const stale = this.stale()
    for (const line of all) {
      line.pulse.beat()
      if (line.pulse.silent >= patience) {
        if (line.mayBeCut()) silent.push(line)
      } else if (line === stale || (line.own && line.server === replica)) {
        if (line.mayBeCut()) cut(line.raw)
      } else line.isWell()
    }
    return silent
  }

  /** Of connections that have met different primaries the older one. */
  private stale(): Line | undefined {
    const met = this.all.filter(({ run }) => run !== undefined)
    if (new Set(met.map(({ run }) => run)).size < 2) return undefined
    return met.filter(({ own }) => own).sort((a, b) => a.madeAs - b.madeAs)[0]
  }
}
