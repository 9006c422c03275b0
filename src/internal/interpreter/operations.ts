/**
 * What can be done with a definition: reading, refreshing, writing through, and
 * looking. The API and its documentation are in `Cached.ts`.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import type { Entry, Reason, Stamp, StoreError, Token } from "../../CacheStore.ts"
import * as Invalidation from "../../Invalidation.ts"
import type { Verdict } from "../../Verdict.ts"
import { KeyAddress, type Versions, View } from "../definition.ts"
import * as Explain from "../explain.ts"
import * as Plan from "../plan.ts"
import { invalidate } from "../service/invalidating.ts"
import { CacheService, inside, InvalidationError, type Service, storeOf, withResult } from "../service/model.ts"
import { isServable } from "../verdicts.ts"
import type { AnyEffect, Definition } from "./definitions.ts"
import { begin, byForce, fillOne } from "./fill.ts"
import { mayBeShared, prepare, type Stored } from "./finish.ts"
import { inBatches, oneByOne } from "./loader.ts"
import * as Loading from "./loading.ts"
import { type Answer, type AnyFiber, circleOf, type Judged, Read } from "./read.ts"
import { reportUnwritable } from "./report.ts"
import { resolve, resolveOne, type StoreAnswer } from "./resolve.ts"
import { currentVersions } from "./versions.ts"

const serviceOf = (fiber: AnyFiber): Service => inside(Context.getUnsafe(fiber.context, CacheService))

/** Runs what a read is for, with that read. */
const withRead = (definition: Definition, key: unknown, use: (read: Read) => AnyEffect): AnyEffect =>
  Effect.withFiber((fiber) => {
    try {
      return use(new Read(definition, serviceOf(fiber), new KeyAddress(definition, key), fiber))
    } catch (error) {
      return Effect.die(error)
    }
  })

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

// What no time ends need not know the time.
const isSurelyFresh = (armed: Plan.Armed, now: Service["store"]["now"], fiber: AnyFiber): boolean =>
  armed.surelyFreshUntil === Infinity || Plan.isSurelyFresh(armed, now(fiber.getRef(Clock.Clock)))

/** What to serve if an entry is surely fresh, as nearly all are that are found. */
const freshUnsafe = (
  definition: Definition,
  service: Service,
  now: Service["store"]["now"],
  address: KeyAddress,
  entry: Entry | undefined,
  fiber: AnyFiber
): Exit.Exit<unknown, unknown> | undefined => {
  if (entry === undefined) return undefined
  const { changed, memo, softened } = entry
  if (
    memo instanceof View && memo.definition === definition && changed === undefined && !softened &&
    isSurelyFresh(memo.armed, now, fiber)
  ) {
    memo.counters.hits++
    if (service.watched()) service.publish({ _tag: "Hit", name: definition.name, key: address.key })
    return memo.exit
  }
}

/** Off the hot path. The fiber is asked for again: what reads may run in another than the one that began. */
const resolved = (
  definition: Definition,
  service: Service,
  address: KeyAddress,
  first?: StoreAnswer
): AnyEffect =>
  Effect.withFiber((fiber) =>
    exitOf(resolveOne(new Read(definition, service, address, fiber), oneByOne(definition), first))
  )

const exitOf = (answer: AnyEffect<Answer>): AnyEffect => Effect.flatMap(answer, ({ exit }) => exit as AnyEffect)

/** The hot path: a fresh entry, answered with what is stored. */
export const get = (definition: Definition, input: unknown, fiber: AnyFiber): AnyEffect => {
  const service = serviceOf(fiber)
  let address: KeyAddress
  try {
    address = new KeyAddress(definition, input)
  } catch (error) {
    return Effect.die(error)
  }
  if (definition.hasVersions) return resolved(definition, service, address)
  const store = storeOf(service, definition.name)
  const answer = store.read(address)
  if (!Exit.isExit(answer)) {
    return Effect.matchEffect(answer, {
      onSuccess: (entry) =>
        freshUnsafe(definition, service, store.now, address, entry, fiber) as AnyEffect | undefined ??
          resolved(definition, service, address, Result.succeed(entry)),
      onFailure: (error) => resolved(definition, service, address, Result.fail(error))
    })
  }
  if (Exit.isFailure(answer)) return resolved(definition, service, address)
  const entry = answer.value as Entry | undefined
  return freshUnsafe(definition, service, store.now, address, entry, fiber) as AnyEffect | undefined ??
    resolved(definition, service, address, Result.succeed(entry))
}

/** The answers to several keys, in their order; a key that is given twice is asked for once. */
export const getMany = (
  definition: Definition,
  keys: Iterable<unknown>
): AnyEffect<ReadonlyArray<Exit.Exit<unknown, unknown>>> =>
  Effect.withFiber((fiber) => {
    const service = serviceOf(fiber)
    let addresses: ReadonlyArray<KeyAddress>
    try {
      addresses = Array.from(keys, (key) => new KeyAddress(definition, key))
    } catch (error) {
      return Effect.die(error)
    }
    const distinct = [...new Map(addresses.map((address) => [address.key, address])).values()]
    return Effect.map(exitsOf(definition, service, distinct, fiber), (exits) => {
      const byKey = new Map(distinct.map(({ key }, i) => [key, exits[i]!]))
      return addresses.map(({ key }) => byKey.get(key)!)
    })
  })

/** What is surely fresh in a store that answers at once, as most of a page is. */
const hitsUnsafe = (
  definition: Definition,
  service: Service,
  addresses: ReadonlyArray<KeyAddress>,
  fiber: AnyFiber
): Map<KeyAddress, Exit.Exit<unknown, unknown>> => {
  const hits = new Map<KeyAddress, Exit.Exit<unknown, unknown>>()
  const store = storeOf(service, definition.name)
  if (definition.hasVersions || store.payload !== "value") return hits
  for (const address of addresses) {
    const answer = store.read(address)
    if (!Exit.isExit(answer)) break
    if (Exit.isFailure(answer)) continue
    const hit = freshUnsafe(definition, service, store.now, address, answer.value as Entry | undefined, fiber)
    if (hit !== undefined) hits.set(address, hit)
  }
  return hits
}

const exitsOf = (
  definition: Definition,
  service: Service,
  addresses: ReadonlyArray<KeyAddress>,
  fiber: AnyFiber
): AnyEffect<ReadonlyArray<Exit.Exit<unknown, unknown>>> => {
  const exits = hitsUnsafe(definition, service, addresses, fiber)
  const reads = addresses
    .filter((address) => !exits.has(address))
    .map((address) => new Read(definition, service, address, fiber))
  const inOrder = () => addresses.map((address) => exits.get(address)!)
  if (reads.length === 0) return Effect.succeed(inOrder())
  const loader = definition.lookupMany === undefined ? oneByOne(definition) : inBatches(definition)
  return Effect.map(resolve(reads, loader), (answers) => {
    for (const [{ address }, { exit }] of answers) exits.set(address, exit)
    return inOrder()
  })
}

/** Looks at what is stored, and loads nothing. What is found dead is dropped. */
const peek = (read: Read): AnyEffect<Judged | undefined> =>
  Effect.flatMap(
    currentVersions(read),
    (versions) =>
      Effect.matchEffect(read.store.read(read.address), {
        onFailure: (error) => Effect.as(Effect.sync(() => read.storeFailed(error)), undefined),
        onSuccess: (entry) =>
          Effect.suspend(() => {
            const { judged } = read.look(entry, versions)
            return judged?.verdict === "Dead" ? Effect.as(drop(read, judged), undefined) : Effect.succeed(judged)
          })
      })
  )

export const getOption = (definition: Definition, key: unknown): AnyEffect =>
  withRead(
    definition,
    key,
    (read) =>
      Effect.flatMap(peek(read), (judged) =>
        judged !== undefined && isServable(judged.verdict)
          ? Effect.map(read.serve(judged).exit as AnyEffect, Option.some)
          : Effect.succeedNone)
  )

/** What a read has found dead stays dead, also if a version should come back: the next load would have dropped it. */
const drop = (read: Read, judged: Judged): AnyEffect<void> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      begin(read, read.store, { seen: judged.entry.token, drop: true, force: false }, restore),
      (begun): AnyEffect<void> => {
        if (begun._tag === "StoreFailed") read.storeFailed(begun.error)
        return begun._tag === "Leased"
          ? Effect.ignore(read.store.abandon(read.address, begun.lease.token))
          : Effect.void
      }
    )
  )

export const refresh = (definition: Definition, key: unknown): AnyEffect =>
  withRead(definition, key, (read) => {
    const around = Loading.loadedAround(read.reader, read.place)
    if (around?._tag === "Circle") return Effect.die(circleOf(around.keys))
    return Effect.flatMap(currentVersions(read), (versions) =>
      exitOf(Effect.flatMap(
        fillOne({ read, attempt: byForce(read, versions) }, oneByOne(definition).lookup),
        (filled): AnyEffect<Answer> => {
          switch (filled._tag) {
            case "Loaded":
            case "Refused":
              return Effect.succeed(read.conclude(filled.made, undefined, filled.stored))
            case "StoreFailed":
              read.storeFailed(filled.error)
              if (definition.rules.storeFailure === "fail") return Effect.succeed(read.fail(filled.error, undefined))
              read.wentWithout(1)
              return read.loadAlone(undefined)
            default: // a forced lease is granted or fails
              return read.loadAlone(undefined)
          }
        }
      )))
  })

// -----------------------------------------------------------------------------
// entries
// -----------------------------------------------------------------------------

/** What `getEntry` and `peekEntry` give, without its documentation. */
export interface CachedEntry {
  readonly value: unknown
  readonly verdict: Verdict
  readonly storedAt: number
  readonly age: number
  readonly freshUntil: number
  readonly usableUntil: number
  readonly dependencies: ReadonlyArray<string>
  readonly validator: Option.Option<string>
}

/** What an entry is described by, however a read came by it. */
interface Facts {
  readonly armed: Plan.Armed
  readonly stamp: Stamp
  readonly token: Token
  readonly changed: Entry["changed"]
  readonly versions: Versions["value"]
  readonly verdict: Verdict
}

const factsOf = (from: Judged | Stored, now: number): Facts => {
  if ("view" in from) {
    const { entry: { changed, stamp, token }, verdict, versions, view: { armed } } = from
    return { armed, stamp, token, changed, versions: versions.value, verdict }
  }
  // It may be stale from the start, by a tick during its load or by what it was made of; or dead since it was sent.
  const { armed, stamp, token } = from
  const { versions } = stamp
  return {
    armed,
    stamp,
    token,
    changed: undefined,
    versions,
    verdict: Plan.judge(armed, now, surely, undefined, versions)
  }
}

// The draw with which nothing is refreshed early.
const surely = (): number => 1

const entryOf = (read: Read, value: unknown, from: Answer["from"]): CachedEntry => {
  const now = read.now()
  const facts = from && factsOf(from, now)
  if (facts === undefined || facts.verdict === "Dead") {
    return {
      value,
      verdict: "Fresh",
      storedAt: now,
      age: 0,
      freshUntil: now,
      usableUntil: now,
      dependencies: [],
      validator: Option.none()
    }
  }
  const { armed, changed, stamp, token, verdict, versions } = facts
  return {
    value,
    verdict,
    storedAt: stamp.storedAt,
    age: Math.max(0, now - stamp.storedAt),
    freshUntil: verdict === "Fresh" || verdict === "Refresh" ? Plan.freshUntil(armed, now, changed, versions) : now,
    usableUntil: Math.max(now, Plan.usableUntil(armed, now, changed, versions)),
    dependencies: stamp.dependencies,
    validator: Option.some(token)
  }
}

export const getEntry = (definition: Definition, key: unknown): AnyEffect =>
  withRead(
    definition,
    key,
    (read) =>
      Effect.flatMap(
        resolveOne(read, oneByOne(definition)),
        ({ exit, from }) => Effect.map(exit as AnyEffect, (value) => entryOf(read, value, from))
      )
  )

export const peekEntry = (definition: Definition, key: unknown): AnyEffect =>
  withRead(definition, key, (read) =>
    Effect.flatMap(peek(read), (judged) => {
      if (judged === undefined) return Effect.succeedNone
      read.passOn(judged)
      return Effect.map(judged.view.exit as AnyEffect, (value) => Option.some(entryOf(read, value, judged)))
    }))

// -----------------------------------------------------------------------------
// writing
// -----------------------------------------------------------------------------

export const set = (definition: Definition, key: unknown, write: AnyEffect): AnyEffect =>
  withRead(definition, key, (read) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const { address } = read
        const removal = Invalidation.keys(address.key)
        const failed = (mayHaveHappened: boolean, reason: Reason, cause: unknown) =>
          new InvalidationError({ invalidation: removal.toString(), reason, mayHaveHappened, cause })
        const versions = yield* restore(currentVersions(read))
        const begun = yield* begin(read, read.store, { seen: undefined, drop: true, force: true }, restore)
        if (begun._tag !== "Leased") {
          const error = begun._tag === "StoreFailed" ? begun.error : undefined
          if (error !== undefined) read.storeFailed(error)
          return yield* failed(false, error?.reason ?? { _tag: "Malformed" }, error)
        }
        const { exit, stored } = yield* written(read, begun.lease, versions, restore(write))
        // A load that took the lease meanwhile may have read before this write.
        if (!stored) {
          // The invalidation takes the lease of the entry without version. Who waits for another one is to be woken, too.
          const ended = address.version === undefined
            ? Effect.void
            : Effect.ignore(read.store.abandon(address, begun.lease.token))
          const removed = Effect.ensuring(invalidate(removal), ended)
          // Whatever the store did, the write has happened, and the caller must know.
          yield* Exit.isSuccess(exit)
            ? Effect.mapError(removed, ({ cause, reason }) => withResult(failed(true, reason, cause), exit.value))
            : Effect.ignore(removed)
        }
        return yield* exit
      })
    ) as AnyEffect)

/** Writes, and stores what the write gives. */
const written = (
  read: Read,
  lease: Parameters<typeof prepare>[0]["lease"],
  versions: Versions,
  write: AnyEffect
): Effect.Effect<{ readonly exit: Exit.Exit<unknown, unknown>; readonly stored: boolean }> =>
  Effect.gen(function*() {
    const { address, counters, service, store } = read
    const started = read.elapsed()
    const began = read.now()
    const { exit, partsUntil } = yield* Loading.run(write, read.within("write", lease.token))
    if (partsUntil !== undefined) read.loading?.given(partsUntil)
    if (Exit.isFailure(exit) || partsUntil !== undefined) return { exit, stored: false }
    const jitter = read.fiber.getRef(Random.Random).nextDoubleUnsafe()
    const facts = { began, now: read.now(), millis: read.elapsed() - started, jitter }
    const stored = yield* Effect.suspend(() => {
      const { because, draft } = prepare({ address, store, lease, versions, usually: 0 }, exit, false, facts, counters)
      return draft === undefined
        ? Effect.as(reportUnwritable(service, counters, address, because), false)
        : Effect.map(store.commit(address, lease, draft), mayBeShared)
    }).pipe(Effect.catchCause((cause) => {
      const error: Option.Option<StoreError> = Cause.findErrorOption(cause)
      if (Option.isSome(error)) read.storeFailed(error.value)
      return Effect.succeed(false)
    }))
    return { exit, stored }
  })

// -----------------------------------------------------------------------------
// observing
// -----------------------------------------------------------------------------

const whyUnstored = ({ unwritten }: Service, read: Read): string | undefined => {
  const last = unwritten.of(read.address.place)
  return last && `what was loaded ${Explain.ago(read.elapsed() - last.at)} ago was not stored: ${last.because}`
}

export const explain = (definition: Definition, key: unknown): AnyEffect =>
  withRead(definition, key, (read) => {
    const { address, counters, service, store } = read
    return Effect.flatMap(currentVersions(read), (versions) =>
      Effect.map(
        store.inspect(address),
        (inspection) =>
          Explain.make(address, inspection, versions, read.now(), store, counters, whyUnstored(service, read))
      ))
  })
