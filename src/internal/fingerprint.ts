/**
 * The shape of a schema in a few characters, the same in every process.
 */
import * as Schema from "effect/Schema"

// cyrb53 by bryc (public domain), with all of its 64 bits. Not `Hash`, whose 32 bits two renamed fields can share, and
// whose algorithm may change: what is stored outlives the version of Effect that wrote it.
const hash = (text: string): string => {
  let high = 0xdeadbeef
  let low = 0x41c6ce57
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    high = Math.imul(high ^ code, 2654435761)
    low = Math.imul(low ^ code, 1597334677)
  }
  const mix = (a: number, b: number): number =>
    Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)
  high = mix(high, low)
  low = mix(low, high)
  return [low, high].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("")
}

/** Throws for a schema that cannot be written as JSON. */
export const fingerprint = (schema: Schema.Top): string =>
  hash(JSON.stringify(Schema.toJsonSchemaDocument(Schema.toCodecJson(schema))))
