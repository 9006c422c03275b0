/**
 * How values become text and are read again.
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { type Ambiguity, ambiguityOf, isPlain } from "./ambiguous.ts"
import { fingerprint } from "./fingerprint.ts"
import { mostText } from "./limits.ts"
import { differenceBetween } from "./readsBack.ts"

/** What is to be stored; or why nothing is: the schema refuses the value, or would give back another. */
export type Written =
  | { readonly _tag: "Text"; readonly text: string }
  | { readonly _tag: "Refused"; readonly because: string }

/** A value's or error's way to text and back, with a fingerprint of its schema. */
export interface Codec {
  readonly is: (value: unknown) => boolean
  readonly encode: (value: unknown) => Exit.Exit<string, unknown>
  /** Encodes, and compares the value with what its text reads as: the first ones, or `always`. */
  readonly write: (value: unknown, always: boolean) => Written
  readonly decode: (text: unknown) => Exit.Exit<unknown, unknown>
  /** Decodes what this program wrote itself: transforms, and checks nothing. */
  readonly decodeTrusted: (text: unknown) => Exit.Exit<unknown, unknown>
  readonly shape: () => string
  /** What the schema writes alike. Nothing for a schema that cannot be written at all: that shows at each value. */
  readonly ambiguity: () => Ambiguity
  /** A text did not decode: the next values are compared again. */
  readonly doubt: () => void
}

// So many values of a definition have to read as what they were before they are believed to. Where a union of the
// schema may change a value, each is compared: it is not the first one that is `undefined`.
const enough = 64

const lazily = <A>(make: () => A): () => A => {
  let made: { readonly value: A } | undefined
  return () => (made ??= { value: make() }).value
}

// A codec that throws has failed, like one that says so.
const attempt =
  <A>(run: () => (input: unknown) => Exit.Exit<A, unknown>) => (input: unknown): Exit.Exit<A, unknown> => {
    try {
      return run()(input)
    } catch (defect) {
      return Exit.die(defect)
    }
  }

const unambiguous: Ambiguity = { pairs: [], possible: false }

// A schema's own words name the place and what it wants, not what it was given. A user's error may say anything.
const issueOf = (cause: Cause.Cause<unknown>): string => {
  const [reason] = cause.reasons
  const error: unknown = reason !== undefined && Cause.isFailReason(reason) ? reason.error : undefined
  return Schema.isSchemaError(error)
    ? error.message.split("\n").map((line) => line.trim()).join(" ")
    : "the schema threw"
}

/** Compiled when it is first needed: a store that keeps values as they are never does. */
export const makeCodec = (schema: Schema.Top): Codec => {
  const json = lazily(() =>
    Schema.fromJsonString(Schema.toCodecJson(schema)) as unknown as Schema.Codec<unknown, string>
  )
  const is = lazily(() => Schema.is(schema))
  const ambiguity = lazily(() => {
    try {
      return ambiguityOf(schema)
    } catch {
      return unambiguous
    }
  })
  const encode = attempt(lazily(() => Schema.encodeUnknownExit(json())))
  const decode = attempt(lazily(() => Schema.decodeUnknownExit(json())))
  let left = enough
  const write = (value: unknown, always: boolean): Written => {
    const text = encode(value)
    if (Exit.isFailure(text)) return { _tag: "Refused", because: issueOf(text.cause) }
    const { length } = text.value
    if (length > mostText) {
      return { _tag: "Refused", because: `its text has ${length} characters, and ${mostText} is the most` }
    }
    const written: Written = { _tag: "Text", text: text.value }
    if (left === 0 && !always && !ambiguity().possible) return written
    const read = decode(text.value)
    const because = Exit.isFailure(read)
      ? `its text cannot be read again: ${issueOf(read.cause)}`
      : differenceBetween(value, read.value)
    if (because !== undefined) return { _tag: "Refused", because }
    left = Math.max(0, left - 1)
    return written
  }
  return {
    is: (value) => is()(value),
    encode,
    write,
    decode,
    // Where JSON holds the value as it is, there is nothing to do but to parse it.
    decodeTrusted: attempt(lazily(() =>
      isPlain(Schema.toCodecJson(schema).ast)
        ? (text) => Exit.succeed(JSON.parse(text as string))
        : Schema.decodeUnknownExit(json(), { disableChecks: true })
    )),
    // Entries written by another version of the schema are misses, not decode failures.
    shape: lazily(() => fingerprint(schema)),
    ambiguity,
    doubt: () => {
      left = enough
    }
  }
}
