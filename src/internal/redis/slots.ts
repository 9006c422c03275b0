/**
 * The slots of a cluster: which node has which, and a key that lies in a given
 * one. Only what goes to every node needs to know.
 */

export const slotCount = 16_384

/** CRC-16/XMODEM, by which Redis Cluster assigns keys to slots; https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ */
const crc16 = (text: string): number => {
  let crc = 0
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021
    crc &= 0xffff
  }
  return crc
}

/** First and last slot of a range. */
export type Range = readonly [number, number]

/** What a node says that it has itself. */
export interface Claim {
  readonly id: string
  readonly ranges: ReadonlyArray<Range>
}

/** Reads the answers to `CLUSTER MYID` and `CLUSTER SLOTS` of one node; undefined if they are none. */
export const claimOf = (id: unknown, slots: unknown): Claim | undefined => {
  if (typeof id !== "string" || !Array.isArray(slots)) return undefined
  const ranges: Array<Range> = []
  for (const one of slots as ReadonlyArray<unknown>) {
    if (!Array.isArray(one)) return undefined
    const [first, last, primary] = one as ReadonlyArray<unknown>
    if (typeof first !== "number" || typeof last !== "number" || !Array.isArray(primary)) return undefined
    if (primary[2] === id) ranges.push([first, last])
  }
  return { id, ranges }
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
