/** A connection that speaks RESP2 in binary strings. Commands are pipelined, and answers come in their order. */
import { once } from "node:events"
import * as net from "node:net"
import { Failure, type Reply, Status } from "../redis/reply.ts"

const incomplete = Symbol("incomplete")

/** Answers from bytes that come in pieces. */
class Parser {
  private text = ""
  private at = 0

  push(more: string): void {
    this.text = this.text.slice(this.at) + more
    this.at = 0
  }

  /** The next answer, if it is all there. */
  next(): Reply | typeof incomplete {
    const before = this.at
    const reply = this.read()
    if (reply === incomplete) this.at = before
    return reply
  }

  private read(): Reply | typeof incomplete {
    const end = this.text.indexOf("\r\n", this.at)
    if (end < 0) return incomplete
    const kind = this.text[this.at]
    const head = this.text.slice(this.at + 1, end)
    this.at = end + 2
    if (kind === "+") return new Status(head)
    if (kind === "-") return new Failure(head)
    if (kind === ":") return Number(head)
    const length = Number(head)
    if (length < 0) return null
    return kind === "$" ? this.bulk(length) : this.list(length)
  }

  private bulk(length: number): string | typeof incomplete {
    const from = this.at
    if (this.text.length < from + length + 2) return incomplete
    this.at = from + length + 2
    return this.text.slice(from, from + length)
  }

  private list(length: number): ReadonlyArray<Reply> | typeof incomplete {
    const all: Array<Reply> = []
    for (let i = 0; i < length; i++) {
      const one = this.read()
      if (one === incomplete) return incomplete
      all.push(one)
    }
    return all
  }
}

interface Waiting {
  readonly answer: (reply: Reply) => void
  readonly lost: (error: Error) => void
}

export class Connection {
  private readonly socket: net.Socket
  private readonly waiting: Array<Waiting> = []

  private constructor(socket: net.Socket, heard: (channel: string, text: string) => void) {
    this.socket = socket
    const parser = new Parser()
    socket.setNoDelay(true)
    socket.setEncoding("latin1")
    socket.on("data", (more: string) => {
      parser.push(more)
      for (let reply = parser.next(); reply !== incomplete; reply = parser.next()) {
        if (Array.isArray(reply) && reply[0] === "message") heard(String(reply[1]), String(reply[2]))
        else this.waiting.shift()?.answer(reply)
      }
    })
    socket.on("error", () => socket.destroy())
    socket.on("close", () => {
      for (const { lost } of this.waiting.splice(0)) lost(new Error("the connection to the server was lost"))
    })
  }

  /** `heard`: what comes in of channels. */
  static async open(
    { host, port }: { readonly host: string; readonly port: number },
    heard: (channel: string, text: string) => void = () => undefined
  ): Promise<Connection> {
    const socket = net.connect(port, host)
    await once(socket, "connect")
    return new Connection(socket, heard)
  }

  send(...command: ReadonlyArray<string>): Promise<Reply> {
    const parts = command.map((part) => `$${part.length}\r\n${part}\r\n`)
    this.socket.write(`*${command.length}\r\n${parts.join("")}`, "latin1")
    return new Promise((answer, lost) => this.waiting.push({ answer, lost }))
  }

  /** What is sent within it goes out at once. */
  together<A>(send: () => A): A {
    this.socket.cork()
    try {
      return send()
    } finally {
      this.socket.uncork()
    }
  }

  close(): void {
    this.socket.destroy()
  }
}
