/**
 * A TCP proxy before a Redis that cuts connections at a chosen request, stands
 * still, swallows what comes, leads to another server, or words errors as another
 * version does. Requests pass through it whole: one of which only a part has
 * come is not forwarded yet.
 */
import { once } from "node:events"
import * as net from "node:net"

export interface Target {
  readonly host: string
  readonly port: number
}

/** A request, as the client sent it: the command and its arguments. */
export type Request = ReadonlyArray<string>

/** What is known of a connection: names of commands, in small letters. */
export interface Seen {
  readonly asked: ReadonlySet<string>
}

export interface Proxy extends Target {
  readonly url: string
  /** All requests that were forwarded, in order, whichever connection they came by. */
  readonly requests: ReadonlyArray<Request>
  /** How many connections there are now. */
  readonly connections: () => number
  /**
   * Cuts the connection that brings the `k`-th request from now (1 is the next), before that is forwarded: the server
   * never sees it. Resolves with the request once it has happened. `counts` says which requests are counted: all.
   */
  readonly cutBefore: (k: number, counts?: (request: Request) => boolean) => Promise<Request>
  /**
   * As `cutBefore`, but the request is forwarded and the connection is cut when its answer comes: the server has done
   * it, and the client is not told. Answers to earlier requests still reach the client.
   */
  readonly cutAfter: (k: number, counts?: (request: Request) => boolean) => Promise<Request>
  /** Cuts a connection when `bytes` from now were forwarded to the server, most likely amid a request. */
  readonly cutAfterBytes: (bytes: number) => Promise<void>
  /** Takes back whatever cut is still to come; its promise stays pending. */
  readonly disarm: () => void
  /** How many connections were let in, from the start. */
  readonly made: () => number
  /** Cuts connections: all, unless `which` says. New ones are let in. */
  readonly drop: (which?: (connection: Seen) => boolean) => void
  /** Cuts all connections and refuses new ones, until `resume`. */
  readonly refuse: () => Promise<void>
  /** Connections that are there now stay open, and nothing passes through them any more; new ones work. */
  readonly swallow: (which?: (connection: Seen) => boolean) => void
  /** Where new connections lead to; those that are there stay. */
  readonly lead: (target: Target) => void
  /** Forwards nothing in either direction, and lets connections in all the same, until `resume`. */
  readonly stall: () => void
  readonly resume: () => Promise<void>
  readonly stop: () => Promise<void>
}

const crlf = (buffer: Buffer, from: number): number => buffer.indexOf("\r\n", from, "latin1")

/** Reads one request at `from`; undefined if a part of it is still to come. */
const readRequest = (buffer: Buffer, from: number): { readonly request: Request; readonly end: number } | undefined => {
  const lineEnd = crlf(buffer, from)
  if (lineEnd < 0) return undefined
  const line = buffer.toString("latin1", from, lineEnd)
  // Written by hand, as into a terminal.
  if (!line.startsWith("*")) return { request: line.split(" "), end: lineEnd + 2 }
  const request: Array<string> = []
  let at = lineEnd + 2
  for (let left = Number(line.slice(1)); left > 0; left--) {
    const sizeEnd = crlf(buffer, at)
    if (sizeEnd < 0) return undefined
    const start = sizeEnd + 2
    const end = start + Number(buffer.toString("latin1", at + 1, sizeEnd))
    if (buffer.length < end + 2) return undefined
    request.push(buffer.toString("utf8", start, end))
    at = end + 2
  }
  return { request, end: at }
}

/** Where the reply at `from` ends, in RESP2 or RESP3; undefined if a part of it is still to come. */
const replyEnd = (buffer: Buffer, from: number): number | undefined => {
  const lineEnd = crlf(buffer, from)
  if (lineEnd < 0) return undefined
  const type = String.fromCharCode(buffer[from]!)
  const next = lineEnd + 2
  const size = (): number => Number(buffer.toString("latin1", from + 1, lineEnd))
  const items = (count: number): number | undefined => {
    let at: number | undefined = next
    for (let left = count; left > 0 && at !== undefined; left--) at = replyEnd(buffer, at)
    return at
  }
  switch (type) {
    case "$":
    case "=":
    case "!": {
      const end = next + size() + 2
      return size() < 0 ? next : end <= buffer.length ? end : undefined
    }
    case "*":
    case "~":
    case ">":
      return items(size())
    case "%":
      return items(2 * size())
    // An attribute stands before the reply that it belongs to.
    case "|":
      return items(2 * size() + 1)
    default:
      return next
  }
}

interface Connection extends Seen {
  readonly asked: Set<string>
  readonly client: net.Socket
  readonly server: net.Socket
  /** What came and was not forwarded yet. */
  fromClient: Buffer
  fromServer: Buffer
  sent: number
  answered: number
  /** A subscriber is sent more than it asked for, so its answers are not counted. */
  subscribed: boolean
  /** Nothing passes any more. */
  dead: boolean
  /** The request whose answer is not to reach the client. */
  cutAt: number | undefined
  cut: () => void
}

type Armed =
  | {
    readonly _tag: "Request"
    readonly before: boolean
    readonly counts: (request: Request) => boolean
    left: number
    readonly done: (request: Request) => void
  }
  | { readonly _tag: "Bytes"; left: number; readonly done: () => void }

const subscribes = /^[ps]?subscribe$/i
const nothing = Buffer.alloc(0)

/**
 * Starts a proxy before `target`, on a free port of 127.0.0.1. `reword` changes what an error reply says, given without
 * its `-`.
 */
export const startProxy = async (
  target: Target,
  reword?: (error: string) => string
): Promise<Proxy> => {
  let leadsTo = target
  const connections = new Set<Connection>()
  const requests: Array<Request> = []
  let armed: Armed | undefined
  let stalled = false
  let made = 0

  const destroy = (connection: Connection): void => {
    connections.delete(connection)
    connection.client.resetAndDestroy()
    connection.server.destroy()
  }

  const mayForward = (connection: Connection): boolean => !stalled && !connection.dead && connections.has(connection)

  /** Forwards what may go to the server, request by request; nothing follows the one that is cut. */
  const forwardRequests = (connection: Connection): void => {
    while (mayForward(connection) && connection.cutAt === undefined) {
      const buffer = connection.fromClient
      const read = readRequest(buffer, 0)
      if (read === undefined) return
      const { end, request } = read
      if (armed?._tag === "Bytes" && armed.left <= end) {
        const { done, left } = armed
        armed = undefined
        // Ended rather than reset, which could take back what was just sent.
        connections.delete(connection)
        connection.server.end(buffer.subarray(0, left))
        connection.client.resetAndDestroy()
        return done()
      }
      if (armed?._tag === "Bytes") armed.left -= end
      if (armed?._tag === "Request" && armed.counts(request) && --armed.left === 0) {
        const { before, done } = armed
        armed = undefined
        if (before) {
          destroy(connection)
          return done(request)
        }
        connection.cutAt = connection.sent + 1
        connection.cut = () => {
          destroy(connection)
          done(request)
        }
      }
      connection.fromClient = buffer.subarray(end)
      connection.sent++
      connection.asked.add(request[0]!.toLowerCase())
      if (subscribes.test(request[0]!)) connection.subscribed = true
      requests.push(request)
      connection.server.write(buffer.subarray(0, end))
    }
  }

  const worded = (reply: Buffer): Buffer =>
    reword === undefined || reply[0] !== 0x2d
      ? reply
      : Buffer.from(`-${reword(reply.toString("utf8", 1, reply.length - 2))}\r\n`)

  /** Forwards answers up to the one that is not to be seen. */
  const forwardReplies = (connection: Connection): void => {
    const buffer = connection.fromServer
    const replies: Array<Buffer> = []
    let end = 0
    let isCut = false
    while (end < buffer.length) {
      const isPush = buffer[end] === 0x3e
      const isLast = connection.subscribed || connection.answered + 1 === connection.cutAt
      if (connection.cutAt !== undefined && isLast && (connection.subscribed || !isPush)) {
        isCut = true
        break
      }
      const next = replyEnd(buffer, end)
      if (next === undefined) break
      if (!isPush) connection.answered++
      replies.push(worded(buffer.subarray(end, next)))
      end = next
    }
    if (end > 0) connection.client.write(Buffer.concat(replies))
    connection.fromServer = buffer.subarray(end)
    if (isCut) connection.cut()
  }

  const forward = (connection: Connection): void => {
    if (mayForward(connection)) forwardReplies(connection)
    forwardRequests(connection)
  }

  const listener = net.createServer((client) => {
    const server = net.connect(leadsTo)
    const connection: Connection = {
      client,
      server,
      fromClient: nothing,
      fromServer: nothing,
      asked: new Set(),
      sent: 0,
      answered: 0,
      subscribed: false,
      dead: false,
      cutAt: undefined,
      cut: () => undefined
    }
    connections.add(connection)
    made++
    client.setNoDelay()
    server.setNoDelay()
    client.on("data", (chunk) => {
      connection.fromClient = Buffer.concat([connection.fromClient, chunk])
      forward(connection)
    })
    server.on("data", (chunk) => {
      connection.fromServer = Buffer.concat([connection.fromServer, chunk])
      forward(connection)
    })
    const end = (): void => {
      if (!connections.delete(connection)) return
      // What one side had sent before it left still reaches the other.
      client.end()
      server.end()
    }
    // A side that fails also closes.
    for (const socket of [client, server]) socket.on("error", () => undefined).on("close", end).on("end", end)
  })

  const listen = async (port: number): Promise<void> => {
    listener.listen(port, "127.0.0.1")
    await once(listener, "listening")
  }
  await listen(0)
  const { port } = listener.address() as net.AddressInfo

  const drop: Proxy["drop"] = (which = () => true) => {
    for (const connection of [...connections]) if (which(connection)) destroy(connection)
  }
  const refuse = async (): Promise<void> => {
    drop()
    if (!listener.listening) return
    const closed = once(listener, "close")
    listener.close()
    // One that was let in at the last moment would keep the listener open.
    drop()
    await closed
  }
  const arm = (before: boolean) => (k: number, counts: (request: Request) => boolean = () => true): Promise<Request> =>
    new Promise((done) => {
      armed = { _tag: "Request", before, counts, left: k, done }
    })

  return {
    host: "127.0.0.1",
    port,
    url: `redis://127.0.0.1:${port}`,
    requests,
    connections: () => connections.size,
    made: () => made,
    cutBefore: arm(true),
    cutAfter: arm(false),
    cutAfterBytes: (bytes) =>
      new Promise((done) => {
        armed = { _tag: "Bytes", left: bytes, done }
      }),
    disarm: () => {
      armed = undefined
    },
    drop,
    refuse,
    swallow: (which = () => true) => {
      for (const connection of connections) if (which(connection)) connection.dead = true
    },
    lead: (to) => {
      leadsTo = to
    },
    stall: () => {
      stalled = true
    },
    resume: async () => {
      stalled = false
      if (!listener.listening) await listen(port)
      for (const connection of [...connections]) forward(connection)
    },
    stop: refuse
  }
}

/** Proxies before every node of a cluster, and the `natMap` that leads an ioredis `Cluster` through them. */
export const startProxies = async (targets: ReadonlyArray<Target>): Promise<{
  readonly proxies: ReadonlyArray<Proxy>
  readonly natMap: Record<string, { host: string; port: number }>
  readonly stop: () => Promise<void>
}> => {
  const proxies = await Promise.all(targets.map((target) => startProxy(target)))
  const natMap = Object.fromEntries(
    proxies.map(({ host, port }, i) => [`${targets[i]!.host}:${targets[i]!.port}`, { host, port }])
  )
  const stop = async (): Promise<void> => {
    await Promise.all(proxies.map((proxy) => proxy.stop()))
  }
  return { proxies, natMap, stop }
}

/** The errors of scripts as Redis 6.2 words them. */
export const as6 = (error: string): string => {
  const [, words, sha, line] = /^(.*) script: ([0-9a-f]{40}), on @user_script:(\d+)\.$/.exec(error) ?? []
  if (words !== undefined) {
    // What Lua itself says has no place of a command.
    const [, code, rest] = /^([A-Z]+) (.*)$/.exec(words)!
    const said = code === "ERR" ? rest : `@user_script: ${line}: -${words}`
    return `ERR Error running script (call to f_${sha}): @user_script:${line}: ${said} `
  }
  // A script gives back what a command said to it.
  return error.startsWith("OOM") ? `@user_script: 40: -${error}  ` : error
}
