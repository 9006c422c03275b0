/**
 * What the interpreter knows of a definition beside its plan and codec: how it
 * loads, and the rules of its reads.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pipeable from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import type * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Key from "../../Key.ts"
import type * as Policy from "../../Policy.ts"
import * as Check from "../check.ts"
import * as Internal from "../definition.ts"
import { millis, positiveMillis } from "../duration.ts"
import { encodeVersion, titleOf } from "../keys.ts"
import { mostDependencies } from "../limits.ts"
import { refused } from "../refused.ts"
import type { Limits } from "../service/pauses.ts"
import type { Refresh, Rules, StoreFailure } from "./decide.ts"
import { limited } from "./limited.ts"

export type AnyEffect<A = unknown> = Effect.Effect<A, unknown, never>

/**
 * A load took longer than `hardTimeout` and was interrupted.
 *
 * @category errors
 * @since 0.1.0
 */
export class LoadTimeout extends Schema.TaggedError<LoadTimeout>()("LoadTimeout", {
  name: Schema.String,
  key: Schema.String,
  millis: Schema.Finite
}) {
  override get message(): string {
    return `loading ${this.key} took longer than ${this.millis} ms`
  }
}

/**
 * Lookups that need each other's values, so that none of them could end. It is a
 * mistake in them, and so a defect of the read that would close the circle; the
 * other loads of the circle die of it. `keys` are those that need each other, each
 * the next, and the last the first.
 *
 * @category errors
 * @since 0.1.0
 */
export class LoadCircle extends Schema.TaggedError<LoadCircle>()("LoadCircle", {
  keys: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const [first] = this.keys
    return `cached reads that need each other: ${[...this.keys, first].join(" -> ")}`
  }
}

/**
 * How long the refresh of a key in the background is not tried again after it failed.
 *
 * - `first`: after the first failure (1 second); twice as long after each that follows.
 *   0 for no pause.
 * - `longest`: the longest pause (1 minute).
 *
 * @category models
 * @since 0.1.0
 */
export interface RefreshPause {
  readonly first?: Duration.Input
  readonly longest?: Duration.Input
}

const pauseOf = (where: string, { first = "1 second", longest = "1 minute" }: RefreshPause = {}) => ({
  first: millis(where, "refreshPause.first", first),
  longest: millis(where, "refreshPause.longest", longest)
})

/** The options of a definition, without their types. */
export interface Options {
  readonly version?: string | number
  readonly key: Key.Key<never>
  readonly value: Schema.Top
  readonly lookup: (key: never) => AnyEffect
  readonly lookupMany?: (keys: never) => AnyEffect<ReadonlyArray<Result.Result<unknown, unknown>>>
  readonly failures?: { readonly error: Schema.Top; readonly policy: Policy.Any }
  readonly refresh?: Refresh
  readonly softTimeout?: Duration.Input
  readonly hardTimeout?: Duration.Input
  readonly lease?: Duration.Input
  readonly waitLimit?: Duration.Input
  readonly concurrency?: number
  readonly refreshPause?: RefreshPause
  readonly batchSize?: number
  readonly storeFailure?: StoreFailure
}

// What most databases take as a list of parameters.
const usualBatch = 1000

export const TypeId = "~effect-cache-algebra/Cached"

export class Definition extends Pipeable.Class implements Internal.Definition {
  readonly [TypeId] = {} as never
  readonly name: string
  readonly version: string | undefined
  readonly key: Key.Key<never>
  readonly written: Internal.WrittenKeys
  readonly policy: Policy.Any
  readonly value: Internal.Kind
  readonly failures: Internal.Kind | undefined
  readonly knownToAll: Internal.Definition["knownToAll"]
  readonly hasVersions: boolean
  readonly lookupOne: (key: unknown) => AnyEffect
  readonly lookupMany:
    | ((keys: ReadonlyArray<unknown>) => AnyEffect<ReadonlyArray<Result.Result<unknown, unknown>>>)
    | undefined
  /** The most keys of one call of `lookupMany`. */
  readonly batchSize: number
  readonly rules: Rules
  readonly refreshPause: Limits
  /** Milliseconds. */
  readonly leaseFor: number

  constructor(name: string, options: Options, policy: Policy.Any) {
    super()
    const where = `Cached.make("${name}")`
    this.name = name
    this.version = options.version === undefined ? undefined : encodeVersion(where, options.version)
    this.key = options.key
    this.written = new Internal.WrittenKeys(name, options.key)
    this.policy = policy
    this.value = Internal.makeKind(policy, options.value)
    this.failures = options.failures && Internal.makeKind(options.failures.policy, options.failures.error)
    this.knownToAll = Internal.knownToAll(this.value, this.failures)
    const count = this.knownToAll?.length ?? 0
    if (count > mostDependencies) {
      throw refused(
        where,
        "TooManyDependencies",
        `its policy names ${count} dependencies, and ${mostDependencies} is the most`
      )
    }
    this.hasVersions = this.value.plan.computed.length > 0 || (this.failures?.plan.computed.length ?? 0) > 0
    this.batchSize = Check.integer(where, "batchSize", options.batchSize ?? usualBatch)
    const limit = (name: string, input: Duration.Input) => positiveMillis(where, name, input)
    this.rules = {
      refresh: options.refresh ?? "background",
      softTimeout: options.softTimeout === undefined ? undefined : limit("softTimeout", options.softTimeout),
      waitLimit: limit("waitLimit", options.waitLimit ?? "10 seconds"),
      storeFailure: options.storeFailure ?? "load"
    }
    this.refreshPause = pauseOf(where, options.refreshPause)
    this.leaseFor = limit("lease", options.lease ?? "1 minute")
    const hard = options.hardTimeout === undefined ? undefined : limit("hardTimeout", options.hardTimeout)
    const most = options.concurrency === undefined
      ? undefined
      : Check.integer(where, "concurrency", options.concurrency)
    // Waiting for a slot is not part of the load's time.
    const inTurn = <A>(effect: AnyEffect<A>): AnyEffect<A> => most === undefined ? effect : limited(effect, name, most)
    const { lookup, lookupMany } = options
    /** In a scope of its own: its caller's may be closed while others wait for it. */
    const bounded = <A>(lookup: () => AnyEffect<A>, key: () => string): AnyEffect<A> => {
      const scoped = Effect.scoped(Effect.suspend(lookup))
      return hard === undefined ? scoped : Effect.timeoutOrElse(scoped, {
        duration: hard,
        orElse: () => Effect.fail(new LoadTimeout({ name, key: key(), millis: hard }))
      })
    }
    this.lookupOne = (key) => inTurn(bounded(() => lookup(key as never), () => Key.format(this.written.get(key))))
    this.lookupMany = lookupMany &&
      ((keys) => inTurn(bounded(() => lookupMany(keys as never), () => `${keys.length} keys of "${name}"`)))
  }

  override toString(): string {
    return `${titleOf({ name: this.name, key: this.key.fields, version: this.version })}: ${this.policy}`
  }

  toJSON(): unknown {
    const version = this.version === undefined ? {} : { version: this.version }
    return { _id: "Cached", name: this.name, ...version, key: this.key.fields, policy: this.policy.toString() }
  }
}

export const isDefinition = (u: unknown): u is Definition => Predicate.hasProperty(u, TypeId)
