/** Asks a simulated server what a real one was asked, and says where they differ. */
import { Failure, type Reply, Status } from "../redis/reply.ts"
import { type Call, type Placed, places, sortedPosition, type Stored } from "./calls.ts"
import { byName, pairsOf, type Timing, type Words } from "./real.ts"
import type { Lying, Seen, Step, Tape } from "./tape.ts"

/** A simulated server, as it is compared. */
export interface Simulated {
  readonly layOut: (us: number, placed: ReadonlyArray<Placed>) => void
  readonly run: (us: number, full: boolean, call: Call) => Seen
}

export interface Difference {
  readonly seed: number
  /** From 0 on. */
  readonly step: number
  readonly call: Call
  readonly full: boolean
  /** One line for each thing that differs. */
  readonly what: ReadonlyArray<string>
}

// -----------------------------------------------------------------------------
// what is the same
// -----------------------------------------------------------------------------

/** Where a script failed is told after the error; what Lua says of it names variables, which no engine need know. */
const failureOf = (err: string, words: Words): string => {
  if (words === "others") return "an error"
  const text = err.replace(/ script: [0-9a-f]{40}, on @user_script:\d+\.$/, "")
  return text.startsWith("ERR user_script:") ? "an error of Lua" : text
}

/** An answer, as far as it is compared. */
export const told = (reply: Reply, words: Words): unknown =>
  reply instanceof Failure
    ? { err: failureOf(reply.err, words) }
    : reply instanceof Status
    ? { ok: reply.ok }
    : Array.isArray(reply)
    ? reply.map((one: Reply) => told(one, words))
    : reply

type Change = (value: unknown, words: Words) => unknown

const fences: Change = (value) => byName(pairsOf(value as ReadonlyArray<string>))
const position: Change = (value) => sortedPosition(value as string)
// The command, and what the server says of it.
const refusals: Change = (value, words) =>
  words === "the same" ? value : (value as ReadonlyArray<string>).map((one) => one.replace(/:.*/s, ""))

/** What in an answer has no order, or is in the server's words. */
const unordered: Readonly<Record<string, readonly [at: number, change: Change]>> = {
  begin: [6, fences],
  position: [3, fences],
  fences: [1, fences],
  invalidate: [3, position],
  fence: [3, position],
  note: [1, position],
  open: [1, position],
  probe: [1, refusals]
}

const replyOf = ({ script }: Call, reply: Reply, words: Words): string => {
  const [at, change] = unordered[script] ?? [-1]
  const all = told(reply, words)
  if (change === undefined || !Array.isArray(all) || all.length <= at) return JSON.stringify(all)
  return JSON.stringify(all.map((one: unknown, i) => i === at ? change(one, words) : one))
}

const messageOf = ([channel, text]: readonly [string, string]): string => {
  const line = text.indexOf("\n")
  return JSON.stringify([channel, line < 0 ? text : `${text.slice(0, line)}\n${sortedPosition(text.slice(line + 1))}`])
}

/** A score is compared as a number: how it is written is not the same on all servers. */
const valueOf = (stored: Stored | undefined): unknown =>
  stored?.type === "zset"
    ? { type: stored.type, value: stored.value.map(([member, score]) => [member, String(scoreOf(score))]) }
    : stored?.type === "hash"
    ? { type: stored.type, value: byName(stored.value) }
    : stored

const scoreOf = (text: string): number => text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text)

const sameLife = (real: number, mine: number, late: number): boolean =>
  late === 0 || real < 0 || mine < 0 ? real === mine : real <= mine && real >= mine - late - 2

const differsAt = (key: string, real: Lying, mine: Lying, late: number): ReadonlyArray<string> => {
  const [theirs, ours] = [JSON.stringify(valueOf(real.stored)), JSON.stringify(valueOf(mine.stored))]
  return [
    ...theirs === ours ? [] : [`at ${key} lies ${theirs}, and simulated ${ours}`],
    ...sameLife(real.ttl, mine.ttl, late) ? [] : [`${key} lives for ${real.ttl}, and simulated for ${mine.ttl}`]
  ]
}

const differencesOf = ({ call, late, seen }: Step, mine: Seen, words: Words): ReadonlyArray<string> => {
  const replies = [seen, mine].map(({ reply }) => replyOf(call, reply, words))
  const messages = [seen, mine].map((one) => one.messages.map(messageOf).join(" "))
  return [
    ...replies[0] === replies[1] ? [] : [`the answer is ${replies[0]}, and simulated ${replies[1]}`],
    ...seen.keyspace.flatMap((real, i) => differsAt(places[i]!, real, mine.keyspace[i]!, late)),
    ...messages[0] === messages[1] ? [] : [`published is ${messages[0]}, and simulated ${messages[1]}`]
  ]
}

/** Longer, a key could have expired on the real server. */
const latest = 25_000

/** The first difference: from there on the two have parted. */
export const differenceIn = (tape: Tape, simulated: Simulated, words: Words): Difference | undefined => {
  simulated.layOut(tape.us, tape.placed)
  for (const [i, step] of tape.steps.entries()) {
    const { call, full, late, us } = step
    if (late > latest) throw new Error("the machine stood still: the server's own clock went on too far")
    const what = differencesOf(step, simulated.run(us, full, call), words)
    if (what.length > 0) return { seed: tape.seed, step: i, call, full, what }
  }
  return undefined
}

export const print = ({ call, full, seed, step, what }: Difference, timing: Timing): string =>
  [
    `seed ${seed}, step ${step}: ${call.script} differs${full ? " on a full server" : ""}`,
    `  KEYS ${JSON.stringify(call.keys)}`,
    `  ARGV ${JSON.stringify(call.args)}`,
    ...what.map((line) => `  ${line}`),
    `  again: npm run compare -- --seed ${seed} --states 1${timing === "told to the scripts" ? " --told scripts" : ""}`
  ].join("\n")
