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
import { malformed } from "./client.ts"
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

const captured = (
  token: Token,
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
    token,
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
 * dependencies known from the key. The token of what was found in the value is empty.
 */
const vectorOf = ({ vector }: Captured, dependencies: ReadonlyArray<Dependency> = [...vector.keys()]) => ({
  dependencies,
  expected: dependencies.map((name) => vector.get(name) ?? ""),
  found: dependencies.filter((name) => !vector.has(name))
})

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

  const beginAtOnce = (address: Address, request: Begin, known: ReadonlyArray<Dependency>, nonce: string) =>
    Effect.map(
      run("begin", Scripts.begin, [
        names.entry(address.key),
        names.lease(address.key),
        names.journal,
        names.fences,
        ...known.map((name) => names.marker(name))
      ], [
        ...taking(request),
        nonce,
        markerLife,
        journalLife,
        ...list(known)
      ], sendFor(request)),
      ([, answer, other, epoch, sequence, tokens, fences]): Taken => ({
        answer,
        other,
        lease: Wire.isStrings(tokens) && tokens.length === known.length
          ? captured(request.token, known, tokens, [epoch, sequence, fences])
          : undefined
      })
    )

  const taking = ({ drop, force, leaseFor, seen, token }: Begin): ReadonlyArray<string | number> => [
    names.released,
    token,
    seen ?? "",
    flag(drop),
    flag(force),
    Math.max(1, Math.ceil(Math.min(leaseFor, longest)))
  ]

  // A write-through empties the key before it writes: that must hold wherever its invalidation would.
  const sendFor = ({ drop, force }: Begin): Transport["run"] =>
    drop && force ? transport.runAcknowledged : transport.run

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
  ) =>
    run("begin", Scripts.takeLease, [names.entry(address.key), names.lease(address.key)], [
      ...taking(request),
      ...list(known),
      ...list(tokens),
      before
    ], sendFor(request))

  const beginInSteps = (
    address: Address,
    request: Begin,
    known: ReadonlyArray<Dependency>,
    nonce: string,
    before: Token = "",
    captures = 1
  ): Effect.Effect<Taken, StoreError> =>
    Effect.gen(function*() {
      const tokens = yield* capture("begin", known, nonce)
      const [, answer, other] = yield* takeInSteps(address, request, known, tokens, before)
      if (answer === "differs" && typeof other === "string") {
        if (captures < mostCaptures) return yield* beginInSteps(address, request, known, nonce, other, captures + 1)
        return { answer: "busy", other, lease: undefined }
      }
      if (answer !== "leased" && answer !== "busy") return { answer, other, lease: undefined }
      return { answer, other, lease: captured(request.token, known, tokens, yield* positionNow("begin", nonce)) }
    })

  const begin = (address: Address, request: Begin, turns = 4): Effect.Effect<Begun, StoreError> =>
    Effect.suspend(() => {
      const begun: Effect.Effect<Taken, StoreError> = (split ? beginInSteps : beginAtOnce)(
        address,
        request,
        address.known,
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

  const commitAtOnce = (key: string, lease: Captured, draft: Draft): Effect.Effect<Outcome, StoreError> => {
    const { dependencies, expected } = vectorOf(lease, draft.stamp.dependencies)
    return Effect.flatMap(
      run("commit", Scripts.commit, [
        names.entry(key),
        names.lease(key),
        names.journal,
        names.fences,
        ...dependencies.map((name) => names.marker(name))
      ], [
        names.released,
        lease.token,
        newNonce(),
        markerLife,
        longestLife(draft, longest),
        lease.epoch,
        lease.sequence,
        expiry(draft),
        draft.token,
        Wire.writeFacts(draft.stamp, draft.expiresAt),
        draft.payload as string,
        ...list(fencesOver(lease, key, draft.stamp.dependencies)),
        ...list(expected),
        ...list(dependencies)
      ]),
      ([, outcome]) => asOutcome(outcome)
    )
  }

  const giveUp = (operation: string, key: string, token: Token): Effect.Effect<boolean, StoreError> =>
    Effect.map(
      run(operation, Scripts.abandonLease, [names.lease(key)], [names.released, token]),
      ([, mine]) => mine === 1
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
        ([, quiet]) => quiet === 1
      )

  const commitInSteps = (key: string, lease: Captured, draft: Draft): Effect.Effect<Outcome, StoreError> =>
    Effect.gen(function*() {
      const { dependencies, expected, found } = vectorOf(lease, draft.stamp.dependencies)
      const over = fencesOver(lease, key, draft.stamp.dependencies)
      const fresh = yield* capture("commit", found, newNonce())
      const tokens = expected.map((token, i) => token === "" ? fresh[found.indexOf(dependencies[i]!)]! : token)
      if (!(yield* isQuiet("commit", lease, found))) {
        return (yield* giveUp("commit", key, lease.token)) ? "invalidated" : "lost"
      }
      const [, stored, kept] = yield* run("commit", Scripts.storeEntry, [names.entry(key), names.lease(key)], [
        names.released,
        lease.token,
        flag(over.length === 0),
        longestLife(draft, longest),
        expiry(draft),
        draft.token,
        Wire.writeFacts(draft.stamp, draft.expiresAt),
        draft.payload as string,
        ...list(tokens)
      ])
      const outcome = yield* asOutcome(stored)
      if (outcome === "lost") return outcome
      return (yield* stillTrue("commit", dependencies, tokens, over, Number(kept))) ? outcome : "invalidated"
    })

  const discardAtOnce = (
    key: string,
    lease: Captured,
    dependencies: ReadonlyArray<Dependency> | undefined
  ): Effect.Effect<Outcome, StoreError> => {
    const { dependencies: looked, expected } = vectorOf(lease, dependencies)
    return Effect.flatMap(
      run("discard", Scripts.discard, [
        names.lease(key),
        names.journal,
        names.fences,
        ...looked.map((name) => names.marker(name))
      ], [
        names.released,
        lease.token,
        lease.epoch,
        lease.sequence,
        flag(dependencies === undefined),
        ...list(fencesOver(lease, key, dependencies)),
        ...list(expected),
        ...list(looked)
      ]),
      ([, outcome]) => asOutcome(outcome)
    )
  }

  // The lease is given up first: from then on no other caller can join the load.
  const discardInSteps = (
    key: string,
    lease: Captured,
    dependencies: ReadonlyArray<Dependency> | undefined
  ): Effect.Effect<Outcome, StoreError> =>
    Effect.gen(function*() {
      if (!(yield* giveUp("discard", key, lease.token))) return "lost"
      const { dependencies: looked, found } = vectorOf(lease, dependencies)
      const known = vectorOf(lease, looked.filter((name) => lease.vector.has(name)))
      const over = fencesOver(lease, key, dependencies)
      const [quiet, holds] = yield* Effect.all([
        dependencies === undefined
          ? Effect.map(positionNow("discard", newNonce()), (answer) => {
            const located = locate(answer)
            return located !== undefined && positionAt(located) === lease.position
          })
          : isQuiet("discard", lease, found),
        stillTrue("discard", known.dependencies, known.expected, over, 0)
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
      return stand === 1
    })

  const discard: Loading["discard"] = ({ key }, lease, dependencies) =>
    Effect.suspend(() => (split ? discardInSteps : discardAtOnce)(key, lease as Captured, dependencies))

  const commit: Loading["commit"] = (address, lease, draft) =>
    Effect.suspend(() => {
      // A name that cannot be written comes from another store: the load is as good, and its entry is not kept.
      if (!Wire.isWritable(draft.token)) return discard(address, lease, draft.stamp.dependencies)
      return Effect.map(
        (split ? commitInSteps : commitAtOnce)(address.key, lease as Captured, draft),
        (outcome) => {
          if (outcome === "stored" && draft.found.length > 0) remember(address.key, draft.stamp.dependencies)
          return outcome
        }
      )
    })

  const released: Loading["released"] = ({ key }, token) =>
    Effect.suspend(() => {
      let stop = () => {}
      const waiting = Effect.callback<void>((resume) => {
        stop = notices.onReleased(token, () => resume(Effect.void))
        return Effect.sync(() => stop())
      })
      // Asked after listening has begun: the end of a lease that is over by then may have been published before.
      const asking = Effect.flatMap(
        run("released", Scripts.awaitLease, [names.lease(key)], [token]),
        ([, stands]) => stands === 1 ? Effect.never : Effect.void
      )
      return Effect.raceFirst(waiting, asking)
    })

  return {
    begin: (address, request) => begin(address, request),
    commit,
    discard,
    abandon: ({ key }, token) => Effect.asVoid(giveUp("abandon", key, token)),
    released
  }
}
