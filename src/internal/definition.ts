/**
 * What a definition is inside: its plan, its codec, and how a stored entry
 * becomes something that can be judged and served.
 */
import * as Cause from "effect/Cause"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import type { Address, CacheStore, Entry, Version } from "../CacheStore.ts"
import type { Dependency } from "../Dependency.ts"
import type * as Key from "../Key.ts"
import { type Codec, makeCodec } from "./codec.ts"
import type { Counters } from "./counters.ts"
import { encodeName } from "./keys.ts"
import { mostDependencies } from "./limits.ts"
import { placeOf } from "./place.ts"
import * as Plan from "./plan.ts"
import type * as Node from "./policy/node.ts"
import * as Tree from "./policy/tree.ts"
import { textOf } from "./schemaText.ts"

/** One kind of result: the value, or a typed failure that is cached. */
export interface Kind {
  readonly schema: Schema.Top
  readonly policy: Node.Tree
  readonly plan: Plan.Plan
  readonly codec: Codec
}

/** The versions that are current, by slot: those of values, and those of failures that are cached. */
export interface Versions {
  readonly value: Readonly<Record<string, Version>>
  readonly failure: Readonly<Record<string, Version>>
}

export interface Definition {
  readonly name: string
  /** As it is written in the places of entries. */
  readonly version: string | undefined
  readonly key: Key.Key<never>
  readonly written: WrittenKeys
  readonly value: Kind
  readonly failures: Kind | undefined
  /** Dependencies that no key is needed for; undefined when some function must be asked. */
  readonly knownToAll: ReadonlyArray<Dependency> | undefined
  /** Whether any version must be read anew at each judgement. */
  readonly hasVersions: boolean
}

export const makeKind = (policy: Tree.Opaque, schema: Schema.Top): Kind => {
  const tree = Tree.of(policy)
  return { schema, policy: tree, plan: tree.plan, codec: makeCodec(schema) }
}

const sameSchema = (one: Kind | undefined, other: Kind | undefined): boolean =>
  one === undefined || other === undefined
    ? one === other
    : one.schema === other.schema || textOf(one.schema) === textOf(other.schema)

/**
 * Whether the entries of one are entries of the other: a definition that is built
 * again (for each request, or by a module that was loaded again) is the same.
 * Policies and lookups may differ.
 */
export const isSame = (one: Definition, other: Definition): boolean =>
  Equal.equals(one.key.fields, other.key.fields) && sameSchema(one.value, other.value) &&
  sameSchema(one.failures, other.failures)

const noNames: ReadonlyArray<Dependency> = []

// So many keys of a definition are remembered as they are written, if they are not longer than that.
const maxWritten = 4096
const maxWrittenLength = 128

/**
 * The stored keys of inputs. Those of strings and numbers are remembered: writing
 * one takes a good part of a hit, and a string that is looked up again has been
 * hashed already. When there are too many, all are forgotten.
 */
export class WrittenKeys {
  private readonly prefix: string
  private readonly parts: (input: never) => ReadonlyArray<string>
  private readonly lasting: boolean
  private readonly keys = new Map<unknown, string>()

  constructor(name: string, key: Key.Key<never>) {
    this.prefix = encodeName(name)
    this.parts = key.parts
    this.lasting = key.lasting
  }

  get(input: unknown): string {
    const known = this.keys.get(input)
    if (known !== undefined) return known
    const key = [this.prefix, ...this.parts(input as never)].join(":")
    if (!this.lasting) return key
    if (typeof input === "number" || (typeof input === "string" && key.length <= maxWrittenLength)) {
      if (this.keys.size >= maxWritten) this.keys.clear()
      this.keys.set(input, key)
    }
    return key
  }
}

/**
 * Where one key's entry lives. The dependencies known from the key are computed once, when they are asked for. If they are
 * more than an entry may have, no store is told of them: nothing is stored for the key, and of its loads nothing is known.
 */
export class KeyAddress implements Address {
  readonly definition: Definition
  readonly input: unknown
  readonly key: string
  readonly version: string | undefined
  private names: ReadonlyArray<Dependency> | undefined
  private count = 0

  constructor(definition: Definition, input: unknown) {
    this.definition = definition
    this.input = input
    this.key = definition.written.get(input)
    this.version = definition.version
    this.names = definition.knownToAll
  }

  /** Where its entry lies: the key, and the version after it. */
  get place(): string {
    return placeOf(this)
  }

  get known(): ReadonlyArray<Dependency> {
    if (this.names === undefined) {
      const names = knownOf(this.definition, this.input)
      this.count = names.length
      this.names = names.length > mostDependencies ? noNames : names
    }
    return this.names
  }

  /** How many dependencies the key tells, if those are more than an entry may have. */
  get tooMany(): number | undefined {
    void this.known
    return this.count > mostDependencies ? this.count : undefined
  }
}

// A load may end in a value or in a failure that is cached: what either depends on is captured before it.
const knownOf = (definition: Definition, input: unknown): ReadonlyArray<Dependency> => {
  const names = Plan.knownDependencies(definition.value.plan, input)
  if (definition.failures === undefined) return names
  const more = Plan.knownDependencies(definition.failures.plan, input)
  return more.length === 0 ? names : [...new Set([...names, ...more])]
}

export const knownToAll = (value: Kind, failures: Kind | undefined): ReadonlyArray<Dependency> | undefined => {
  const plans = failures === undefined ? [value.plan] : [value.plan, failures.plan]
  if (plans.some((plan) => plan.fromKey.length > 0)) return undefined
  const names = new Set(plans.flatMap((plan) => plan.known))
  return names.size === 0 ? noNames : [...names]
}

/** An entry that was decoded: what to serve, and the plan that has met its stamp. */
export class View {
  readonly definition: Definition
  readonly exit: Exit.Exit<unknown, unknown>
  readonly armed: Plan.Armed
  readonly counters: Counters

  constructor(definition: Definition, exit: Exit.Exit<unknown, unknown>, armed: Plan.Armed, counters: Counters) {
    this.definition = definition
    this.exit = exit
    this.armed = armed
    this.counters = counters
  }
}

export const kindOf = (definition: Definition, failure: boolean): Kind | undefined =>
  failure ? definition.failures : definition.value

/** Whether a load has failed with nothing but a typed failure that is cached: an answer, not an error. */
export const isCachedFailure = (definition: Definition, cause: Cause.Cause<unknown>): boolean => {
  const [reason, ...others] = cause.reasons
  return definition.failures !== undefined && reason !== undefined && others.length === 0 &&
    Cause.isFailReason(reason) && definition.failures.codec.is(reason.error)
}

/**
 * Makes sense of an entry, once. Undefined when it does not decode, was written
 * for another schema, or a user's function throws on it: what a store returns
 * is never trusted.
 */
export const open = (
  address: KeyAddress,
  entry: Pick<Entry, "payload" | "stamp" | "memo">,
  store: CacheStore,
  counters: Counters
): View | undefined => {
  const { definition } = address
  if (entry.memo instanceof View) {
    if (entry.memo.definition === definition) return entry.memo
    // Services that share a store do not know each other's definitions, and values that are kept as they are have no shape.
    if (store.payload === "value" && !isSame(entry.memo.definition, definition)) return undefined
  }
  const kind = kindOf(definition, entry.stamp.failure)
  if (kind === undefined) return undefined
  let content = entry.payload
  if (store.payload === "text") {
    if (entry.stamp.shape !== kind.codec.shape()) return undefined
    const decoded = store.trusted === true ? kind.codec.decodeTrusted(content) : kind.codec.decode(content)
    if (Exit.isFailure(decoded)) {
      kind.codec.doubt()
      return undefined
    }
    content = decoded.value
  }
  try {
    const view = new View(
      definition,
      entry.stamp.failure ? Exit.fail(content) : Exit.succeed(content),
      Plan.arm(kind.plan, address.input, content, entry.stamp),
      counters
    )
    return entry.memo = view
  } catch {
    return undefined
  }
}

/** Whether an entry could be served if it had not been written under another schema: by another release, for one. */
export const hasOtherShape = (
  { definition }: KeyAddress,
  { changed, expiresAt, softened, stamp }: Entry,
  store: CacheStore,
  now: number
): boolean => {
  const kind = kindOf(definition, stamp.failure)
  const isWhole = changed === undefined && !softened && now < expiresAt
  return isWhole && store.payload === "text" && kind !== undefined && stamp.shape !== kind.codec.shape()
}

/** Dependencies of which a hard change leaves nothing to serve. */
export const fatalOf = (armed: Plan.Armed, dependencies: ReadonlyArray<Dependency>): ReadonlySet<Dependency> =>
  new Set(dependencies.filter((name) => armed.alternatives.every((a) => a.severities.get(name) === "Dead")))
