/**
 * What is known of one client's connection: why it is not there, and whether it
 * is at the database that was asked for.
 *
 * The package tells who sends a command only that there is no connection. Why
 * (a wrong password, a certificate, nobody at the port) it tells by events,
 * which come at another time. And when the server refuses the database, the
 * package goes on in database 0, where another program may keep its values.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Raw } from "./raw.ts"

/** An error of the package without the command's arguments: those may be payloads or secrets. */
export const bare = (error: unknown): Error => {
  const message = error instanceof Error ? error.message : String(error)
  const copy = new Error(message.replace(/,? with args beginning with:.*$/s, ""))
  if (error instanceof Error) copy.name = error.name
  return copy
}

/** What an error says. Where all addresses of a host were tried in vain, the message itself is empty. */
export const reasonOf = (error: unknown): string => {
  const { message } = bare(error)
  if (message !== "") return message
  const { code, errors } = error as { readonly code?: unknown; readonly errors?: unknown }
  return Array.isArray(errors) && errors.length > 0 ? reasonOf(errors[0]) : String(code ?? "no reason was given")
}

/** A command that was kept back. */
export class NotSent extends Error {}

// What the package says of a connection that is not there, which is no reason.
const unreasoned =
  /Connection is closed|enableOfflineQueue|max retries per request|Cluster isn't ready|None of startup nodes|Cluster is ended/

type Place = "away" | "asking" | "there" | "refused"

/** The database that was asked for, whatever the server said to it. */
const databaseOf = ({ condition, isCluster, options }: Raw): number => {
  const wanted = condition?.select ?? (options as { readonly db?: unknown }).db
  return isCluster || typeof wanted !== "number" ? 0 : wanted
}

export class Link {
  /** Why the last connection was not made, or lost. */
  private why: string | undefined
  /** What was heard last of a node of a cluster, or of a Sentinel. */
  private aboutNode: string | undefined
  /** Whether there was an error since the connection was begun, and what the server said first. */
  private heard = { error: false, connected: false, words: "" }
  private place: Place = "away"
  private refusal = ""
  private waiting: Array<() => void> = []
  /** Grows with each connection that is lost. */
  private epoch = 0
  private readonly raw: Raw
  /** A client of ours keeps no commands for later. */
  private readonly own: boolean

  constructor(raw: Raw, own: boolean) {
    this.raw = raw
    this.own = own
  }

  // --------------------------------------------------------------------------
  // why there is no connection
  // --------------------------------------------------------------------------

  /** Called when a connection could not even be begun. */
  fail(why: string): void {
    this.why = why
  }

  get reason(): string {
    if (this.why !== undefined) return this.why
    if (this.aboutNode !== undefined) return `the last that was heard: ${this.aboutNode}`
    switch (this.raw.status) {
      case "wait":
      case "connecting":
        return "it is still being made"
      case "connect":
        return "the server has taken it, and not answered yet"
      default:
        return "it was closed"
    }
  }

  /** The error, with the reason where the package has none. */
  explain(error: unknown): Error {
    const told = bare(error)
    return unreasoned.test(told.message) ? new Error(`no connection: ${this.reason}`) : told
  }

  /** Why nothing can be sent now, if that is known. */
  get trouble(): string | undefined {
    if (this.raw.status !== "ready") return this.reason
    return this.place === "refused" ? this.refusal : undefined
  }

  /**
   * Whether a command would be refused by the package, or kept until there is a connection again. A client that was lent
   * keeps what it is given while it connects for the first time, as it may.
   */
  private get isClosed(): boolean {
    const { isCluster, status } = this.raw
    return status !== "ready" && (status === "end" || this.why !== undefined || (this.own && !isCluster))
  }

  private readonly listeners: ReadonlyArray<readonly [string, (...args: Array<never>) => void]> = [
    ["connecting", () => {
      this.heard = { ...this.heard, error: false, connected: false }
    }],
    ["connect", () => this.connected()],
    ["error", (error: unknown) => this.hear(error)],
    ["sentinelError", (error: unknown) => this.hearOfNode(reasonOf(error))],
    ["node error", (error: unknown, node: unknown) => this.hearOfNode(`${String(node)}: ${reasonOf(error)}`)],
    ["ready", () => {
      this.why = undefined
      this.aboutNode = undefined
      this.heard = { error: false, connected: true, words: "" }
      this.goThere()
    }],
    ["close", () => this.lose()],
    ["end", () => this.lose()]
  ]

  listen(): void {
    for (const [event, listener] of this.listeners) this.raw.on(event, listener)
  }

  unlisten(): void {
    for (const [event, listener] of this.listeners) this.raw.off(event, listener)
  }

  private connected(): void {
    this.heard.connected = true
    // A server that refuses everybody (too many clients, protected mode) says so and closes: the package keeps it to itself.
    this.raw.stream?.once("data", (chunk) => {
      const [line = ""] = new TextDecoder().decode(chunk.subarray(0, 400)).split("\r\n")
      if (line.startsWith("-")) this.heard.words = bare(line.slice(1)).message
    })
  }

  private hearOfNode(words: string): void {
    if (this.aboutNode === undefined || !unreasoned.test(words)) this.aboutNode = words
  }

  private hear(error: unknown): void {
    this.heard.error = true
    this.why = this.whyFailed(reasonOf(error), error)
  }

  private whyFailed(words: string, error: unknown): string {
    const { code, lastNodeError } = error as { readonly code?: unknown; readonly lastNodeError?: unknown }
    if (/sentinels are unreachable/.test(words)) {
      const [, last] = /Last error: (.*)$/s.exec(words) ?? []
      return `All sentinels are unreachable: ${this.aboutNode ?? last ?? "no reason was given"}`
    }
    if (lastNodeError) return `${words} ${this.aboutNode ?? reasonOf(lastNodeError)}`
    if (this.heard.connected && this.place === "away" && (code === "ECONNRESET" || code === "EPIPE")) {
      return `${words} (${this.whyClosed})`
    }
    if (/reply type byte|Unknown RESP type/.test(words)) return `${words} (is it a Redis that answers?)`
    const { tls } = this.raw.options as { readonly tls?: unknown }
    return code === "ETIMEDOUT" && tls ? `${words} (TLS was asked for: does the server speak it?)` : words
  }

  private lose(): void {
    if (!this.heard.error) this.why = this.whyLost()
    this.heard.connected = false
    if (this.place !== "away") this.epoch++
    this.place = "away"
    this.wake()
  }

  private whyLost(): string {
    if (this.raw.isCluster) {
      return `None of startup nodes is available${this.aboutNode === undefined ? "" : ` (${this.aboutNode})`}`
    }
    if (!this.heard.connected || this.place !== "away") return this.why ?? "it was closed"
    return this.whyClosed
  }

  /** Of a connection that was closed before it was ready: what the server said, now or before, or what may be. */
  private get whyClosed(): string {
    const { words } = this.heard
    return words !== ""
      ? words
      : "the server closed it before it was ready: too many clients, or does only one side speak TLS?"
  }

  // --------------------------------------------------------------------------
  // the database
  // --------------------------------------------------------------------------

  /** Asks for the database once more: what the server said to the package is not known here. */
  private goThere(): void {
    const db = databaseOf(this.raw)
    if (db === 0) return this.come("there")
    const { epoch } = this
    this.place = "asking"
    this.raw.select(db).then(
      () => epoch === this.epoch && this.come("there"),
      (error: unknown) => {
        this.refusal = `SELECT ${db} was refused: ${reasonOf(error)}`
        if (epoch === this.epoch) this.come("refused")
      }
    )
  }

  private come(place: Place): void {
    this.place = place
    this.wake()
  }

  private wake(): void {
    for (const wake of this.waiting.splice(0)) wake()
  }

  private async arrive(): Promise<void> {
    const { options, status } = this.raw
    if (status === "ready") {
      if (this.place !== "asking") this.goThere()
    } else if (status === "wait") this.raw.connect().catch(() => undefined)
    else if ((options as { readonly enableOfflineQueue?: unknown }).enableOfflineQueue === false) {
      throw new NotSent(`no connection: ${this.reason}`)
    }
    await new Promise<void>((resolve) => this.waiting.push(resolve))
    if (this.place === "there") return
    throw new NotSent(this.place === "refused" ? this.refusal : `no connection: ${this.reason}`)
  }

  /** Sends once the connection is at its database. The answer of another connection, made meanwhile, is not believed. */
  send<A>(send: () => Promise<A>): Promise<A> {
    if (this.isClosed) return Promise.reject(new NotSent(`no connection: ${this.reason}`))
    return databaseOf(this.raw) === 0 ? send() : this.sendThere(send)
  }

  private async sendThere<A>(send: () => Promise<A>): Promise<A> {
    if (this.place !== "there") await this.arrive()
    const { epoch } = this
    const answer = await send()
    if (epoch === this.epoch) return answer
    throw new Error("Connection is closed.")
  }
}

/** Listens to a client until the scope ends. */
export const watch = (raw: Raw, own: boolean): Effect.Effect<Link, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const link = new Link(raw, own)
      link.listen()
      return link
    }),
    (link) => Effect.sync(() => link.unlisten())
  )
