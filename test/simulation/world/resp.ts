/**
 * What is said over a connection: RESP2, and RESP3 once a client has asked for
 * it, as `ioredis` 6 does. Texts are binary: one character a byte.
 */
import { Failure, type Reply, Status } from "../redis/reply.ts"

export type Protocol = 2 | 3

/** What an answer is besides its value: RESP3 tells a text for people, or what nobody has asked for, from others. */
export type Kind = "plain" | "verbatim" | "push" | "map"

const listOf = (all: ReadonlyArray<Reply>, protocol: Protocol): string => {
  let text = `${all.length}\r\n`
  for (const one of all) text += encode(one, protocol)
  return text
}

const encodeList = (all: ReadonlyArray<Reply>, protocol: Protocol, kind: Kind): string => {
  if (protocol === 3 && kind === "push") return `>${listOf(all, protocol)}`
  if (protocol === 2 || kind !== "map") return `*${listOf(all, protocol)}`
  let text = `%${all.length / 2}\r\n`
  for (const one of all) text += encode(one, protocol)
  return text
}

export const encode = (reply: Reply, protocol: Protocol, kind: Kind = "plain"): string => {
  if (typeof reply === "string") {
    return protocol === 3 && kind === "verbatim"
      ? `=${reply.length + 4}\r\ntxt:${reply}\r\n`
      : `$${reply.length}\r\n${reply}\r\n`
  }
  if (typeof reply === "number") return `:${reply}\r\n`
  if (reply === null) return protocol === 3 ? "_\r\n" : "$-1\r\n"
  if (reply instanceof Failure) return `-${reply.err}\r\n`
  if (reply instanceof Status) return `+${reply.ok}\r\n`
  return encodeList(reply, protocol, kind)
}

/** Reads commands, which may come in pieces. */
export class CommandReader {
  private text = ""

  /** Those that are complete with what has come now. */
  read(more: string): ReadonlyArray<ReadonlyArray<string>> {
    const text = this.text === "" ? more : this.text + more
    const commands: Array<ReadonlyArray<string>> = []
    let at = 0
    for (;;) {
      const command: Array<string> = []
      const end = readCommand(text, at, command)
      if (end === undefined) break
      commands.push(command)
      at = end
    }
    this.text = text.slice(at)
    return commands
  }
}

/** Where the command ends; undefined if it is not all there. */
const readCommand = (text: string, start: number, command: Array<string>): number | undefined => {
  const headEnd = text.indexOf("\r\n", start)
  if (headEnd < 0) return undefined
  let at = headEnd + 2
  for (let left = sizeAt(text, start, headEnd, "*"); left > 0; left--) {
    const end = text.indexOf("\r\n", at)
    if (end < 0) return undefined
    const begin = end + 2
    at = begin + sizeAt(text, at, end, "$") + 2
    if (at > text.length) return undefined
    command.push(text.slice(begin, at - 2))
  }
  return at
}

const sizeAt = (text: string, start: number, end: number, sign: string): number => {
  const size = Number(text.slice(start + 1, end))
  if (text[start] === sign && size >= 0) return size
  throw new Error(`no command begins with ${JSON.stringify(text.slice(start, start + 40))}`)
}
