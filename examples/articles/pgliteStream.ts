/**
 * A Postgres in this process, spoken to as if it were at the other end of a socket: so that one client talks to PGlite and
 * to a server alike. Give `sessions(pglite)` to the client as its `stream`.
 *
 * PGlite is one session. So one stream has it at a time, and the next one waits until the last has gone; a stream that
 * goes leaves nothing behind, neither an open transaction nor a prepared statement. It cannot be cancelled either: a query
 * has this process to itself until it ends. A request to cancel is heard and comes to nothing, as it may on any server.
 */
import type { PGlite } from "@electric-sql/pglite"
import { Duplex } from "node:stream"

// The first message of a connection has no type: its length, and then what it is for.
const cancelRequest = 80877102
const sslRequest = 80877103

const [query, sync, terminate] = ["Q", "S", "X"].map((letter) => letter.charCodeAt(0))

/** The whole messages at the start of some bytes: how far they go, and whether the last of them wants an answer. */
interface Batch {
  readonly end: number
  readonly last: number
}

/** The messages up to the last one that wants an answer; undefined if it is not there yet. */
const batchOf = (bytes: Buffer): Batch | undefined => {
  let batch: Batch | undefined
  for (let at = 0; at + 5 <= bytes.length;) {
    const [type, end] = [bytes[at]!, at + 1 + bytes.readInt32BE(at + 1)]
    if (end > bytes.length) break
    // The end of the connection is a batch of its own.
    if (type === terminate) return batch ?? { end, last: type }
    if (type === query || type === sync) batch = { end, last: type }
    at = end
  }
  return batch
}

/** Makes streams to one PGlite. They may be open at once, and take turns. */
export const sessions = (pglite: PGlite): () => Duplex => {
  let turns: Promise<void> = Promise.resolve()

  /** Waits for a turn, and tells how to end it. */
  const turn = (): Promise<() => void> =>
    new Promise((begin) => {
      turns = turns.then(() => new Promise((end) => begin(end)))
    })

  /** What is under way ends first: PGlite does one thing at a time. */
  const forget = async (): Promise<void> => {
    if (pglite.closed) return
    await pglite.exec("rollback")
    await pglite.exec("discard all")
  }

  return () => {
    let received: Buffer = Buffer.alloc(0)
    let started = false
    let endTurn: (() => void) | undefined

    const take = (length: number): Buffer => {
      const taken = received.subarray(0, length)
      received = received.subarray(length)
      return taken
    }

    const leave = (): void => {
      if (endTurn !== undefined) forget().then(endTurn, endTurn)
      endTurn = undefined
    }

    const send = async (messages: Uint8Array): Promise<void> => {
      const answer = await pglite.execProtocolRaw(new Uint8Array(messages))
      if (!stream.destroyed && answer.length > 0) stream.push(Buffer.from(answer))
    }

    /** The first message, if it is there. */
    const start = async (): Promise<void> => {
      if (received.length < 8 || received.length < received.readInt32BE(0)) return
      const message = take(received.readInt32BE(0))
      const purpose = message.readInt32BE(4)
      if (purpose === cancelRequest) {
        stream.destroy()
        return
      }
      if (purpose === sslRequest) {
        stream.push("N")
        return start()
      }
      started = true
      endTurn = await turn()
      if (stream.destroyed) leave()
      else await send(message)
    }

    const answer = async (): Promise<void> => {
      if (!started) await start()
      if (!started) return
      for (let batch = batchOf(received); batch !== undefined && !stream.destroyed; batch = batchOf(received)) {
        const messages = take(batch.end)
        if (batch.last === terminate) {
          leave()
          stream.push(null)
          return
        }
        await send(messages)
      }
    }

    const stream = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        received = Buffer.concat([received, chunk])
        answer().then(() => done(), done)
      },
      final: (done) => {
        stream.push(null)
        done()
      },
      destroy: (error, done) => {
        leave()
        done(error)
      }
    })
    return stream
  }
}
