/**
 * The slots of a cluster: which node has which, and a key that lies in a given
 * one. Only what goes to every node needs to know.
 */

export const slotCount = 16_384

const encoder = new TextEncoder()

/** CRC-16/XMODEM, by which Redis Cluster assigns keys to slots; https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ */
const crc16 = (text: string): number => {
  let crc = 0
  for (const byte of encoder.encode(text)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021
    crc &= 0xffff
  }
  return crc
}

/** The slot of a key: what stands in its first braces decides, if there is anything. */
export const slotOf = (key: string): number => {
  const from = key.indexOf("{")
  const to = from < 0 ? -1 : key.indexOf("}", from)
  return crc16(to > from + 1 ? key.slice(from + 1, to) : key) % slotCount
}

/** First and last slot of a range. */
export type Range = readonly [number, number]

/** What a node says that it has itself. While `moving`, keys go from it or to it one by one. */
export interface Claim {
  readonly id: string
  readonly ranges: ReadonlyArray<Range>
  readonly moving: boolean
}

/** What a server has that is not a cluster. */
export const everySlot: Claim = { id: "all", ranges: [[0, slotCount - 1]], moving: false }

/** Reads one node's answer to `CLUSTER NODES`; undefined if it is none. */
export const claimOf = (nodes: unknown): Claim | undefined => {
  if (typeof nodes !== "string") return undefined
  const lines = nodes.split("\n").map((line) => line.trim().split(" "))
  const own = lines.find(([, , flags = ""]) => flags.split(",").includes("myself"))
  const id = own?.[0]
  if (own === undefined || id === undefined) return undefined
  const ranges: Array<Range> = []
  let moving = false
  for (const slots of own.slice(8)) {
    // A slot that is on its way stands in brackets, with the node that it goes to or comes from.
    if (slots.startsWith("[")) {
      moving = true
      continue
    }
    const [first = NaN, last = first] = slots.split("-").map(Number)
    if (!Number.isInteger(first) || !Number.isInteger(last)) return undefined
    ranges.push([first, last])
  }
  return { id, ranges, moving }
}

/** Whether every slot is claimed by a node. */
export const coverAll = (claims: ReadonlyArray<Claim>): boolean => {
  let next = 0
  for (const [first, last] of claims.flatMap(({ ranges }) => ranges).sort(([a], [b]) => a - b)) {
    if (first > next) return false
    next = Math.max(next, last + 1)
  }
  return next >= slotCount
}

/** A part of a key that, in braces, leads to a slot of these ranges; undefined if there are none. */
export const tagIn = (ranges: ReadonlyArray<Range>): string | undefined => {
  if (ranges.length === 0) return undefined
  for (let n = 0;; n++) {
    const slot = crc16(String(n)) % slotCount
    if (ranges.some(([first, last]) => first <= slot && slot <= last)) return String(n)
  }
}
