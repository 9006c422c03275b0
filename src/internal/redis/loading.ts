/**
 * The steps of a load: begin, commit, discard and abandon, and waiting for the
 * load of another.
 */
import * as Effect from "effect/Effect"
import type {
  Address,
  Begin,
  Begun,
  CacheStore,
  Draft,
  Lease,
  Outcome,
  Position,
  StoreError,
  Token
} from "../../CacheStore.ts"
import type { Dependency } from "../../Dependency.ts"
import * as Invalidation from "../../Invalidation.ts"
import { malformed, numberOf } from "./client.ts"
import type { Reading } from "./reading.ts"
import * as Scripts from "./scripts.ts"
import { journalLife, list, markerLife, type Session, together } from "./session.ts"
import type { Transport } from "./transport.ts"
import * as Wire from "./wire.ts"

/** What was captured when a load began; it stays in this process. */
interface Captured extends Lease {
  readonly vector: ReadonlyMap<Dependency, string>
  readonly epoch: string
  readonly sequence: string
  readonly fences: ReadonlyArray<{ readonly id: Token; readonly over: Invalidation.Invalidation }>
  readonly position: Position
  /** Whether it is that of a write, which ends what is stored of its key in other versions. */
  readonly writes: boolean
}

/** The epoch and the sequence of the journal, and the ids of the fences, each before what it is over. */
type Located = readonly [epoch: string, sequence: string, fences: ReadonlyArray<string>]

const locate = ([epoch, sequence, fences]: ReadonlyArray<unknown>): Located | undefined =>
  typeof epoch === "string" && typeof sequence === "string" && Wire.isStrings(fences)
    ? [epoch, sequence, fences]
    : undefined

const positionAt = ([epoch, sequence, fences]: Located): Position =>
  Wire.positionOf(epoch, sequence, fences.filter((_, i) => i % 2 === 0))

const flag = (on: boolean): string => on ? "1" : "0"

/** The lease is also there where another has it: then only its position counts. */
interface Taken {
  readonly answer: unknown
  readonly other: unknown
  readonly lease: Captured | undefined
}

const isWrite = ({ drop, force }: Begin): boolean => drop && force

const captured = (
  request: Begin,
  known: ReadonlyArray<Dependency>,
  tokens: ReadonlyArray<string>,
  answer: ReadonlyArray<unknown>
): Captured | undefined => {
  const located = locate(answer)
  if (located === undefined) return undefined
  const [epoch, sequence, fences] = located
  const standing: Array<Captured["fences"][number]> = []
  for (let i = 0; i + 1 < fences.length; i += 2) {
    // A fence that cannot be read is taken to be over everything.
    standing.push({ id: fences[i]!, over: Wire.coveredBy(fences[i + 1]!) })
  }
  return {
    token: request.token,
    writes: isWrite(request),
    fenced: standing.length > 0,
    vector: new Map(known.map((name, i) => [name, tokens[i]!])),
    epoch,
    sequence,
    fences: standing,
    position: positionAt(located)
  }
}

// Tokens are captured again this often for a lease that was taken under others.
const mostCaptures = 3

/**
 * What a load has to know of all that it depended on, in that order, when it ends; where that is not known, of what its
 * key tells. The token of what was found in the value is empty.
 */
const vectorOf = (address: Address, { vector }: Captured, dependencies: ReadonlyArray<Dependency> | undefined) => {
  const all = dependencies === undefined ? [...vector.keys()] : Wire.namesOf(address, dependencies)
  return {
    all,
    expected: all.map((name) => vector.get(name) ?? ""),
    found: all.filter((name) => !vector.has(name))
  }
}

const fencesOver = (
  { fences }: Captured,
  key: string,
  dependencies: ReadonlyArray<Dependency> | undefined
): ReadonlyArray<Token> =>
  fences.filter(({ over }) => dependencies === undefined || Invalidation.covers(over, key, dependencies))
    .map(({ id }) => id)

const expiry = (draft: Draft): number => Math.min(draft.expiresAt, Number.MAX_SAFE_INTEGER)

// A server whose clock was set back would keep it too long, counting from its own time.
const longestLife = ({ expiresAt, stamp }: Draft, longest: number): number =>
  Math.min(longest, Math.max(1, Math.ceil(expiresAt - stamp.storedAt)))

const outcomes: ReadonlySet<unknown> = new Set<Outcome>(["stored", "fenced", "unstored", "invalidated", "lost"])

const asOutcome = (outcome: unknown): Effect.Effect<Outcome, StoreError> =>
  outcomes.has(outcome) ? Effect.succeed(outcome as Outcome) : Effect.fail(malformed("commit", outcome))

export type Loading = Pick<CacheStore, "begin" | "commit" | "discard" | "abandon" | "released">

export const make = (
  { longest, names, newNonce, notices, run, split, transport }: Session,
  { read, remember }: Reading
): Loading => {
  const capture = (operation: string, all: ReadonlyArray<Dependency>, nonce: string) =>
    together(all, (name) =>
      Effect.flatMap(
        run(operation, Scripts.captureOne, [names.marker(name)], [nonce, markerLife]),
        ([, token]) => typeof token === "string" ? Effect.succeed(token) : Effect.fail(malformed(operation, token))
      ))

  const endedBy = (address: Address, writes: boolean): ReadonlyArray<string> => writes ? names.ofKey(address.key) : []

  const beginAtOnce = (address: Address, request: Begin, known: ReadonlyArray<Dependency>, nonce: string) =>
    Effect.map(
      run("begin", Scripts.begin, [
        names.entry(address),
        names.lease(address),
        names.journal,
        names.fences,
        ...known.map((name) => names.marker(name)),
        ...endedBy(address, isWrite(request))
      ], [
        ...taking(address, request),
        flag(isWrite(request)),
        nonce,
        markerLife,
        journalLife,
        ...list(known)
      ], sendFor(isWrite(request))),
      ([, answer, other, epoch, sequence, tokens, fences]): Taken => ({
        answer,
        other,
        lease: Wire.isStrings(tokens) && tokens.length === known.length
          ? captured(request, known, tokens, [epoch, sequence, fences])
          : undefined
      })
    )

  const taking = (
    { version }: Address,
    { drop, force, leaseFor, seen, token }: Begin
  ): ReadonlyArray<string | number> => [
    names.released,
    token,
    seen ?? "",
    flag(drop),
    flag(force),
    Math.max(1, Math.ceil(Math.min(leaseFor, longest))),
    flag(version !== undefined)
  ]

  // A write-through empties the key before it writes: that must hold wherever its invalidation would.
  const sendFor = (writes: boolean): Transport["run"] => writes ? transport.runAcknowledged : transport.run

  const positionNow = (operation: string, nonce: string): Effect.Effect<ReadonlyArray<unknown>, StoreError> =>
    Effect.map(
      run(operation, Scripts.positionNow, [names.journal, names.fences], [nonce, journalLife]),
      ([, ...answer]) => answer
    )

  const takeInSteps = (
    address: Address,
    request: Begin,
    known: ReadonlyArray<Dependency>,
    tokens: ReadonlyArray<string>,
    before: Token
  ) => {
    // Where a version is captured, its other versions were ended before.
    const ends = isWrite(request) && address.version === undefined
    return run("begin", Scripts.takeLease, [
      names.entry(address),
      names.lease(address),
      ...endedBy(address, ends)
    ], [
      ...taking(address, request),
      flag(ends),
      ...list(known),
      ...list(tokens),
      before
    ], sendFor(isWrite(request)))
  }

  const removeKey = (operation: string, key: string, nonce: string) =>
    run(operation, Scripts.removeKey, names.ofKey(key), [names.released, "hard", nonce], transport.runAcknowledged)

  const beginInSteps = (
    address: Address,
    request: Begin,
    known: ReadonlyArray<Dependency>,
    nonce: string,
    before: Token = "",
    captures = 1
  ): Effect.Effect<Taken, StoreError> =>
    Effect.gen(function*() {
      if (isWrite(request) && address.version !== undefined) yield* removeKey("begin", address.key, nonce)
      const tokens = yield* capture("begin", known, nonce)
      const [, answer, other] = yield* takeInSteps(address, request, known, tokens, before)
      if (answer === "differs" && typeof other === "string") {
        if (captures < mostCaptures) return yield* beginInSteps(address, request, known, nonce, other, captures + 1)
        return { answer: "busy", other, lease: undefined }
      }
      if (answer !== "leased" && answer !== "busy") return { answer, other, lease: undefined }
      return { answer, other, lease: captured(request, known, tokens, yield* positionNow("begin", nonce)) }
    })

  const begin = (address: Address, request: Begin, turns = 4): Effect.Effect<Begun, StoreError> =>
    Effect.suspend(() => {
      const begun: Effect.Effect<Taken, StoreError> = (split ? beginInSteps : beginAtOnce)(
        address,
        request,
        Wire.namesOf(address, address.known),
        newNonce()
      )
      return Effect.flatMap(begun, ({ answer, lease, other }): Effect.Effect<Begun, StoreError> => {
        if (answer === "leased" && lease !== undefined) return Effect.succeed({ _tag: "Leased", lease })
        if (answer === "busy" && typeof other === "string") {
          return Effect.succeed({ _tag: "Busy", token: other, ...(lease && { position: lease.position }) })
        }
        if (answer !== "found" || turns === 0) return Effect.fail(malformed("begin", answer))
        return Effect.flatMap(read(address), (entry) =>
          // What was found may be gone again.
          entry === undefined || entry.token === request.seen
            ? begin(address, request, turns - 1)
            : Effect.succeed({ _tag: "Found", entry }))
      })
    })

  const commitAtOnce = (address: Address, lease: Captured, draft: Draft): Effect.Effect<Outcome, StoreError> => {
    const { all, expected } = vectorOf(address, lease, draft.stamp.dependencies)
    return Effect.flatMap(
      run("commit", Scripts.commit, [
        names.entry(address),
        names.lease(address),
        names.journal,
        names.fences,
        ...all.map((name) => names.marker(name)),
        ...endedBy(address, lease.writes)
      ], [
        names.released,
        lease.token,
        newNonce(),
        markerLife,
        longestLife(draft, longest),
        flag(address.version !== undefined),
        flag(lease.writes),
        lease.epoch,
        lease.sequence,
        expiry(draft),
        draft.token,
        Wire.writeFacts(draft.stamp, draft.expiresAt),
        draft.payload as string,
        ...list(fencesOver(lease, address.key, draft.stamp.dependencies)),
        ...list(expected),
        ...list(all)
      ], sendFor(lease.writes)),
      ([, outcome]) => asOutcome(outcome)
    )
  }

  const giveUp = (operation: string, address: Address, token: Token): Effect.Effect<boolean, StoreError> =>
    Effect.map(
      run(operation, Scripts.abandonLease, [names.lease(address)], [names.released, token]),
      ([, mine]) => numberOf(mine) === 1
    )

  /** Whether none of these was invalidated since, as far as the journal knows. */
  const isQuiet = (
    operation: string,
    { epoch, sequence }: Captured,
    found: ReadonlyArray<Dependency>
  ): Effect.Effect<boolean, StoreError> =>
    found.length === 0
      ? Effect.succeed(true)
      : Effect.map(
        run(operation, Scripts.quietSince, [names.journal], [epoch, sequence, ...list(found)]),
        ([, quiet]) => numberOf(quiet) === 1
      )

  const commitInSteps = (address: Address, lease: Captured, draft: Draft): Effect.Effect<Outcome, StoreError> =>
    Effect.gen(function*() {
      const { all, expected, found } = vectorOf(address, lease, draft.stamp.dependencies)
      const over = fencesOver(lease, address.key, draft.stamp.dependencies)
      const nonce = newNonce()
      const fresh = yield* capture("commit", found, nonce)
      const tokens = expected.map((token, i) => token === "" ? fresh[found.indexOf(all[i]!)]! : token)
      if (!(yield* isQuiet("commit", lease, found))) {
        return (yield* giveUp("commit", address, lease.token)) ? "invalidated" : "lost"
      }
      const [, stored, kept, first] = yield* run("commit", Scripts.storeEntry, [
        names.entry(address),
        names.lease(address),
        ...endedBy(address, lease.writes)
      ], [
        names.released,
        lease.token,
        flag(over.length === 0),
        longestLife(draft, longest),
        expiry(draft),
        draft.token,
        Wire.writeFacts(draft.stamp, draft.expiresAt),
        draft.payload as string,
        flag(address.version !== undefined),
        flag(lease.writes),
        nonce,
        markerLife,
        ...list(tokens)
      ], sendFor(lease.writes))
      const outcome = yield* asOutcome(stored)
      if (outcome === "lost" || outcome === "invalidated") return outcome
      // That of the key is new after a write.
      const now = tokens.map((token, i) => i === 0 && typeof first === "string" ? first : token)
      return (yield* stillTrue("commit", all, now, over, Number(kept))) ? outcome : "invalidated"
    })

  const discardAtOnce = (
    address: Address,
    lease: Captured,
    dependencies: ReadonlyArray<Dependency> | undefined
  ): Effect.Effect<Outcome, StoreError> => {
    const { all: looked, expected } = vectorOf(address, lease, dependencies)
    return Effect.flatMap(
      run("discard", Scripts.discard, [
        names.lease(address),
        names.journal,
        names.fences,
        ...looked.map((name) => names.marker(name))
      ], [
        names.released,
        lease.token,
        lease.epoch,
        lease.sequence,
        flag(dependencies === undefined),
        ...list(fencesOver(lease, address.key, dependencies)),
        ...list(expected),
        ...list(looked)
      ]),
      ([, outcome]) => asOutcome(outcome)
    )
  }

  // The lease is given up first: from then on no other caller can join the load.
  const discardInSteps = (
    address: Address,
    lease: Captured,
    dependencies: ReadonlyArray<Dependency> | undefined
  ): Effect.Effect<Outcome, StoreError> =>
    Effect.gen(function*() {
      if (!(yield* giveUp("discard", address, lease.token))) return "lost"
      const { all: looked, found } = vectorOf(address, lease, dependencies)
      const known = looked.filter((name) => lease.vector.has(name))
      const over = fencesOver(lease, address.key, dependencies)
      const [quiet, holds] = yield* Effect.all([
        dependencies === undefined
          ? Effect.map(positionNow("discard", newNonce()), (answer) => {
            const located = locate(answer)
            return located !== undefined && positionAt(located) === lease.position
          })
          : isQuiet("discard", lease, found),
        stillTrue("discard", known, known.map((name) => lease.vector.get(name)!), over, 0)
      ], { concurrency: "unbounded" })
      return !quiet || !holds ? "invalidated" : over.length > 0 ? "fenced" : "unstored"
    })

  /** A last look, for those who joined the load; a read of the entry looks again. */
  const stillTrue = (
    operation: string,
    dependencies: ReadonlyArray<Dependency>,
    tokens: ReadonlyArray<string>,
    over: ReadonlyArray<Token>,
    kept: number
  ): Effect.Effect<boolean, StoreError> =>
    Effect.gen(function*() {
      const least = kept > 0 ? kept + markerLife : 0
      const now = yield* together(dependencies, (name) =>
        Effect.map(run(operation, Scripts.lookAt, [names.marker(name)], [least]), ([, token]) => token))
      if (
        now.some((token, i) =>
          token !== tokens[i]
        )
      ) return false
      if (over.length === 0) return true
      const [, stand] = yield* run(operation, Scripts.fencesStand, [names.fences], list(over))
      return numberOf(stand) === 1
    })

  const discard: Loading["discard"] = (address, lease, dependencies) =>
    Effect.suspend(() => (split ? discardInSteps : discardAtOnce)(address, lease as Captured, dependencies))

  const commit: Loading["commit"] = (address, lease, draft) =>
    Effect.suspend(() => {
      // A name that cannot be written comes from another store: the load is as good, and its entry is not kept.
      if (!Wire.isWritable(draft.token)) {
        const ended = discard(address, lease, draft.stamp.dependencies)
        return (lease as Captured).writes
          ? Effect.tap(ended, () => removeKey("commit", address.key, newNonce()))
          : ended
      }
      return Effect.map(
        (split ? commitInSteps : commitAtOnce)(address, lease as Captured, draft),
        (outcome) => {
          if (outcome === "stored" && draft.found.length > 0) {
            remember(address, Wire.namesOf(address, draft.stamp.dependencies))
          }
          return outcome
        }
      )
    })

  const released: Loading["released"] = (address, token) =>
    Effect.suspend(() => {
      let stop = () => {}
      const waiting = Effect.callback<void>((resume) => {
        stop = notices.onReleased(token, () => resume(Effect.void))
        return Effect.sync(() => stop())
      })
      // Asked after listening has begun: the end of a lease that is over by then may have been published before.
      const asking = Effect.flatMap(
        run("released", Scripts.awaitLease, [names.lease(address)], [token]),
        ([, stands]) => numberOf(stands) === 1 ? Effect.never : Effect.void
      )
      return Effect.raceFirst(waiting, asking)
    })

  return {
    begin: (address, request) => begin(address, request),
    commit,
    discard,
    abandon: (address, token) => Effect.asVoid(giveUp("abandon", address, token)),
    released
  }
}
