/**
 * The port on Redis: the order in which the steps of the protocol are sent, and
 * what this process remembers beside.
 *
 * On one node an operation is one script. In a cluster its steps come apart,
 * and their order is what keeps the promises:
 *
 * | operation | steps |
 * |---|---|
 * | read | entry and markers, in any order, after the read began |
 * | begin | capture what the key tells; take the lease; the journal's position and the fences last |
 * | commit | capture what the value tells; ask the journal; store; a last look at the markers and fences |
 * | discard | give up the lease; then look at the journal, the markers and the fences |
 * | fence | open it and note; replace the markers and remove keys |
 * | invalidate | a single key only; all else is a fence |
 *
 * A fence over a key or a pattern has no marker that a load could have
 * captured, but it removes leases after it is opened: a load that took its
 * lease before has lost it, and one that took it after sees the fence, since it
 * looks for fences after it has the lease.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { LRUCache } from "lru-cache"
import type {
  Address,
  Announcement,
  Begin,
  Begun,
  CacheStore,
  Draft,
  Entry,
  Fence,
  Lease,
  Outcome,
  Position,
  StoreError,
  Token
} from "../../CacheStore.ts"
import type { Dependency } from "../../Dependency.ts"
import * as Invalidation from "../../Invalidation.ts"
import * as Key from "../../Key.ts"
import type { Mode } from "../../Verdict.ts"
import type { Broadcast } from "../broadcast.ts"
import { elapsed } from "../deadline.ts"
import { targetsIn } from "../targets.ts"
import * as Scripts from "./scripts.ts"
import type { Script } from "./scripts.ts"
import { ServerClock } from "./serverClock.ts"
import { malformed, type Transport, type Value } from "./transport.ts"
import * as Wire from "./wire.ts"

// What cannot be read covers everything: none may be missed.
const covered = (text: string): Invalidation.Invalidation =>
  Option.getOrElse(Schema.decodeOption(Invalidation.FromString)(text), () => Invalidation.everything)

/** What a store is told of the world besides its transport. */
export interface Settings {
  readonly prefix: string
  /** So many invalidated dependencies are remembered for loads in flight. */
  readonly journal: number
  /** Milliseconds that nothing outlives. */
  readonly longest: number
  /** Bytes of entries that are remembered as they were read. */
  readonly remember: number
  /** Whether steps come apart although there is one node, as they do in a cluster. */
  readonly split?: boolean
}

/** How a store hears of what others did. */
export interface Notices {
  /** Calls when a lease that was waited for is over; gives the end of listening. */
  readonly onReleased: (token: Token, wake: () => void) => () => void
  readonly announcements: Broadcast<Announcement>
  /** Why it cannot be heard, where the server said so. */
  readonly refused?: string | undefined
  /** What this process publishes begins with it, so that it does not hear itself. */
  readonly origin: string
}

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

/** The server lists fences in any order. */
const positionOf = ([epoch, sequence, fences]: Located): Position =>
  [epoch, sequence, ...fences.filter((_, i) => i % 2 === 0).sort()].join(" ")

/** An entry as it lies there, and what the reader made of it. */
interface Text {
  readonly text: string
  readonly written: Wire.Written
  memo: unknown
}

/** What is remembered of a key: which markers to ask for, and the entry as it was last seen, ready to be served. */
interface Remembered {
  readonly names: ReadonlyArray<Dependency>
  /** Where the entry and its markers lie. */
  readonly places: ReadonlyArray<string>
  readonly last: Text | undefined
}

/** An entry as a reader sees it. What the reader makes of its payload is remembered with the text. */
class Seen implements Entry {
  readonly changed: Entry["changed"]
  private readonly from: Text

  constructor(from: Text, changed: Entry["changed"]) {
    this.from = from
    this.changed = changed
  }
  get token(): Token {
    return this.from.written.token
  }
  get payload(): unknown {
    return this.from.written.payload
  }
  get stamp(): Entry["stamp"] {
    return this.from.written.stamp
  }
  get expiresAt(): number {
    return this.from.written.expiresAt
  }
  get softened(): boolean {
    return this.from.written.softened
  }
  get memo(): unknown {
    return this.from.memo
  }
  set memo(memo: unknown) {
    this.from.memo = memo
  }
}

// A marker that nothing relies on yet outlives the load that captured it, whatever it takes.
const markerLife = 3_600_000

// What relies on the journal are loads in flight.
const journalLife = 7 * 24 * 3_600_000

// So many targets go into one script, which holds up the server while it runs.
const chunkSize = 200

// A fence over more targets is told as one over everything: what it is over is read by each load that begins under it.
const mostFenced = 2000

// An entry longer than this is parsed each time: remembering it would push out too many others.
const longestRemembered = 65_536

const bytesOfNames = 8_388_608

const noNames: ReadonlyArray<Dependency> = []

const list = (all: ReadonlyArray<string | number>): ReadonlyArray<string | number> => [all.length, ...all]

const flag = (on: boolean): string => on ? "1" : "0"

/** What the key tells, where the user's function does not throw; `begin` lets it throw. */
const knownOf = (address: Address): ReadonlyArray<Dependency> => {
  try {
    return address.known
  } catch {
    return noNames
  }
}

const chunksOf = <A>(all: ReadonlyArray<A>): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(all.length / chunkSize) }, (_, i) => all.slice(i * chunkSize, (i + 1) * chunkSize))

/** A batch in pieces that one script can take. */
const piecesOf = (batch: Invalidation.Invalidation): ReadonlyArray<Piece> => {
  const targets = [
    ...[...batch.keys].map(([key, mode]) => ({ key, mode })),
    ...[...batch.dependencies].map(([name, mode]) => ({ name, mode }))
  ]
  return chunksOf(targets).map((chunk) => ({
    keys: chunk.flatMap((one) => "key" in one ? [[one.key, one.mode] as const] : []),
    names: chunk.flatMap((one) => "name" in one ? [[one.name, one.mode] as const] : [])
  }))
}

interface Piece {
  readonly keys: ReadonlyArray<readonly [string, Mode]>
  readonly names: ReadonlyArray<readonly [Dependency, Mode]>
}

const nowhere: Piece = { keys: [], names: [] }

const asInvalidation = ({ keys, names }: Piece): Invalidation.Invalidation => {
  const some = (mode: Mode) =>
    Invalidation.combine(
      Invalidation.keys(keys.filter(([, one]) => one === mode).map(([key]) => key)),
      Invalidation.dependencies(names.filter(([, one]) => one === mode).map(([name]) => name))
    )
  return Invalidation.combine(some("hard"), Invalidation.soft(some("soft")))
}

const together = <A, B>(
  all: ReadonlyArray<A>,
  each: (one: A, i: number) => Effect.Effect<B, StoreError>
): Effect.Effect<Array<B>, StoreError> => Effect.forEach(all, each, { concurrency: "unbounded" })

/** `synchronize` asks for the server's time, without which no age can be told. */
export interface RedisStore extends CacheStore {
  readonly synchronize: Effect.Effect<void, StoreError>
}

export const make = (transport: Transport, settings: Settings, notices: Notices): RedisStore => {
  const names = new Wire.Names(settings.prefix)
  const split = settings.split ?? transport.cluster
  const longest = Math.floor(settings.longest)
  const remembered = new LRUCache<string, Remembered>({
    // What was parsed takes about as much again as the text, and names are remembered also where no text is. With a `max`
    // room for as many would be taken from the start.
    maxSize: settings.remember + bytesOfNames,
    sizeCalculation: ({ last, names }) => 300 + names.length * 200 + (last === undefined ? 0 : 4 * last.text.length)
  })

  // Tells tokens apart that are made in the same microsecond.
  let count = 0
  const newNonce = (): string => `${notices.origin}.${(++count).toString(36)}`

  // ---------------------------------------------------------------------------
  // the server's clock
  // ---------------------------------------------------------------------------

  const time = new ServerClock()

  const run = (
    operation: string,
    script: Script,
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<string | number>,
    send: Transport["run"] = transport.run
  ): Effect.Effect<ReadonlyArray<unknown>, StoreError> =>
    Effect.withFiber((fiber) => {
      const clock = fiber.getRef(Clock.Clock)
      const sent = elapsed(clock)
      return Effect.flatMap(send(operation, script, keys, args), (answer) => {
        const server = Number(answer[0])
        if (!Number.isFinite(server)) return Effect.fail(malformed(operation, answer))
        time.learn(clock, server, sent, elapsed(clock))
        return Effect.succeed(answer)
      })
    })

  const synchronize = Effect.asVoid(run("time", Scripts.timeNow, [names.probe], []))

  // ---------------------------------------------------------------------------
  // reading
  // ---------------------------------------------------------------------------

  const placesFor = (key: string, all: ReadonlyArray<Dependency>): ReadonlyArray<string> => [
    names.entry(key),
    ...all.map((name) => names.marker(name))
  ]

  const sameNames = (a: ReadonlyArray<Dependency>, b: ReadonlyArray<Dependency>): boolean =>
    a === b || (a.length === b.length && a.every((name, i) => name === b[i]))

  /** The next read of the key will ask for these markers. */
  const remember = (key: string, dependencies: ReadonlyArray<Dependency>, last?: Text): void => {
    const before = remembered.get(key)
    const same = before !== undefined && sameNames(before.names, dependencies)
    if (same && last === undefined && before.last === undefined) return
    remembered.set(key, {
      names: dependencies,
      places: same ? before.places : placesFor(key, dependencies),
      last
    })
  }

  const parse = (key: string, text: string): Text => {
    const parsed: Text = { text, written: Wire.readEntry(text), memo: undefined }
    const keep = settings.remember > 0 && text.length <= longestRemembered
    remember(key, parsed.written.stamp.dependencies, keep ? parsed : undefined)
    return parsed
  }

  /** Makes an entry of what was read; asks again where its dependencies are others than were asked for. */
  const see = (
    key: string,
    asked: ReadonlyArray<Dependency>,
    values: ReadonlyArray<Value>,
    last: Remembered | undefined
  ): Effect.Effect<Entry | undefined, StoreError> => {
    const text = values[0]
    if (typeof text !== "string") return Effect.succeed(undefined)
    const seen = last?.last !== undefined && last.last.text === text ? last.last : parse(key, text)
    const { stamp: { dependencies }, vector } = seen.written
    if (vector.length === 0) return Effect.succeed(new Seen(seen, undefined))
    if (sameNames(asked, dependencies)) {
      let same = true
      for (let i = 0; same && i < vector.length; i++) same = vector[i] === values[i + 1]
      if (same) return Effect.succeed(new Seen(seen, undefined))
    }
    const markers = new Map<Dependency, Value>()
    for (let i = 0; i < asked.length; i++) markers.set(asked[i]!, values[i + 1] ?? null)
    const missing = dependencies.filter((name) => !markers.has(name))
    const look = () => new Seen(seen, Wire.changesOf(seen.written, (name) => markers.get(name)))
    return missing.length === 0
      ? Effect.sync(look)
      : Effect.map(transport.get("read", missing.map((name) => names.marker(name))), (more) => {
        for (const [i, name] of missing.entries()) markers.set(name, more[i] ?? null)
        return look()
      })
  }

  const readOnce = (address: Address): Effect.Effect<Entry | undefined, StoreError> => {
    const last = remembered.get(address.key)
    const asked = last?.names ?? knownOf(address)
    const places = last?.places ?? placesFor(address.key, asked)
    return Effect.flatMap(transport.get("read", places), (values) => see(address.key, asked, values, last))
  }

  const read = (address: Address): Effect.Effect<Entry | undefined, StoreError> =>
    // Ages cannot be told before the server's time was heard once.
    Effect.suspend(() => time.isKnown ? readOnce(address) : Effect.andThen(synchronize, readOnce(address)))

  // ---------------------------------------------------------------------------
  // loading
  // ---------------------------------------------------------------------------

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
      standing.push({ id: fences[i]!, over: covered(fences[i + 1]!) })
    }
    return {
      token,
      fenced: standing.length > 0,
      vector: new Map(known.map((name, i) => [name, tokens[i]!])),
      epoch,
      sequence,
      fences: standing,
      position: positionOf(located)
    }
  }

  const capture = (operation: string, all: ReadonlyArray<Dependency>, nonce: string) =>
    together(all, (name) =>
      Effect.flatMap(
        run(operation, Scripts.captureOne, [names.marker(name)], [nonce, markerLife]),
        ([, token]) => typeof token === "string" ? Effect.succeed(token) : Effect.fail(malformed(operation, token))
      ))

  /** Who is told that another has the lease gets what its own would have held: its position counts. */
  type Taken = { readonly answer: unknown; readonly other: unknown; readonly lease: Captured | undefined }

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

  // So often tokens are captured again for a lease that was taken under others.
  const mostCaptures = 3

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

  /**
   * What a load has to know of all that it depended on, in that order, when it ends; where that is not known, of what its
   * key tells. The token of what only the value told is empty.
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

  const outcomes: ReadonlySet<unknown> = new Set<Outcome>(["stored", "fenced", "unstored", "invalidated", "lost"])

  const asOutcome = (outcome: unknown): Effect.Effect<Outcome, StoreError> =>
    outcomes.has(outcome) ? Effect.succeed(outcome as Outcome) : Effect.fail(malformed("commit", outcome))

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
        longest,
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

  /** Whether none of these was invalidated since, as far as the journal can tell. */
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
        longest,
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

  // Looked at when nobody can join any more.
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
            return located !== undefined && positionOf(located) === lease.position
          })
          : isQuiet("discard", lease, found),
        stillTrue("discard", known.dependencies, known.expected, over, 0)
      ], { concurrency: "unbounded" })
      return !quiet || !holds ? "invalidated" : over.length > 0 ? "fenced" : "unstored"
    })

  /** The last look decides what those who joined are told; whoever reads looks for himself. */
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

  // ---------------------------------------------------------------------------
  // invalidating
  // ---------------------------------------------------------------------------

  const announcement = (batch: Invalidation.Invalidation): string =>
    `${notices.origin} ${Schema.encodeSync(Invalidation.FromString)(batch)}`

  const tellOthers = (operation: string, batch: Invalidation.Invalidation): Effect.Effect<void> =>
    Invalidation.isEmpty(batch)
      ? Effect.void
      : Effect.ignore(transport.publish(operation, names.invalidated, announcement(batch)))

  const told = <A, E>(
    batch: Invalidation.Invalidation,
    effect: Effect.Effect<A, E>
  ): Effect.Effect<A, E> =>
    Effect.tap(
      effect,
      () => Effect.sync(() => notices.announcements.publish({ _tag: "Invalidated", invalidation: batch, position: "" }))
    )

  const placesOf = (keys: ReadonlyArray<string>): ReadonlyArray<string> =>
    keys.flatMap((key) => [names.entry(key), names.lease(key)])

  const countOf = (operation: string, count: unknown): Effect.Effect<number, StoreError> =>
    typeof count === "number" ? Effect.succeed(count) : Effect.fail(malformed(operation, count))

  /** What a script is told of the targets of a piece. */
  const targetsOf = ({ keys, names: dependencies }: Piece) => ({
    places: [...placesOf(keys.map(([key]) => key)), ...dependencies.map(([name]) => names.marker(name))],
    modes: [
      ...list(keys.map(([, mode]) => mode)),
      ...list(dependencies.map(([name]) => name)),
      ...list(dependencies.map(([, mode]) => mode))
    ]
  })

  const applyAtOnce = (operation: string, piece: Piece, nonce: string): Effect.Effect<number, StoreError> => {
    const { modes, places } = targetsOf(piece)
    return Effect.flatMap(
      run(operation, Scripts.invalidate, [names.journal, ...places], [
        names.released,
        names.invalidated,
        announcement(asInvalidation(piece)),
        nonce,
        markerLife,
        journalLife,
        settings.journal,
        ...modes
      ], transport.runAcknowledged),
      ([, count]) => countOf(operation, count)
    )
  }

  const removeOne = (
    operation: string,
    key: string,
    mode: Mode,
    send = transport.runAcknowledged
  ): Effect.Effect<number, StoreError> =>
    Effect.flatMap(
      run(operation, Scripts.removeKey, placesOf([key]), [names.released, mode], send),
      ([, count]) => countOf(operation, count)
    )

  const sum = (counts: ReadonlyArray<number>): number => counts.reduce((total, count) => total + count, 0)

  /** Replaces the markers and removes the keys of a piece that the journal knows of. */
  const changeInSteps = (operation: string, piece: Piece, nonce: string): Effect.Effect<number, StoreError> =>
    Effect.map(
      Effect.all([
        together(piece.keys, ([key, mode]) => removeOne(operation, key, mode)),
        together(
          piece.names,
          ([name, mode]) =>
            run(
              operation,
              Scripts.replaceOne,
              [names.marker(name)],
              [mode, nonce, markerLife],
              transport.runAcknowledged
            )
        )
      ], { concurrency: "unbounded" }),
      ([counts]) => sum(counts)
    )

  const applyInSteps = (operation: string, piece: Piece, nonce: string): Effect.Effect<number, StoreError> => {
    const noting = piece.names.length === 0
      ? Effect.void
      : run(operation, Scripts.noteDown, [names.journal], [
        nonce,
        journalLife,
        settings.journal,
        ...list(piece.names.map(([name]) => name))
      ], transport.runAcknowledged)
    return Effect.tap(
      Effect.andThen(noting, changeInSteps(operation, piece, nonce)),
      () => tellOthers(operation, asInvalidation(piece))
    )
  }

  const atomic = (batch: Invalidation.Invalidation): boolean =>
    batch.patterns.size === 0 && batch.everything === undefined &&
    (split ? batch.dependencies.size === 0 && batch.keys.size <= 1 : targetsIn(batch) <= chunkSize)

  /** In one step, as `atomic` says. */
  const invalidate = (batch: Invalidation.Invalidation): Effect.Effect<number | undefined, StoreError> =>
    Effect.suspend(() => {
      const [piece] = piecesOf(batch)
      if (piece === undefined) return Effect.succeed(0)
      const applied = (split ? applyInSteps : applyAtOnce)("invalidate", piece, newNonce())
      return batch.dependencies.size > 0 ? Effect.as(applied, undefined) : applied
    })

  // A load that is stored while the keyspace is walked had its lease before and has its entry after. Leases are walked
  // first, entries second: whichever way it goes, one of them is found.
  const sweepKeys = (
    operation: string,
    which: Key.Pattern | "everything",
    mode: Mode,
    meanwhile: Effect.Effect<void, StoreError>
  ): Effect.Effect<number, StoreError> => {
    let count = 0
    const covered = (found: ReadonlyArray<string>): ReadonlyArray<string> => {
      // The same name can be given twice.
      const keys = new Set(found.flatMap((name) => names.keyOf(name) ?? []))
      return [...keys].filter((key) => which === "everything" || Key.matches(which, key))
    }
    const releaseAll = (found: ReadonlyArray<string>) =>
      Effect.asVoid(together(
        covered(found),
        (key) => run(operation, Scripts.releaseLease, [names.lease(key)], [names.released])
      ))
    const removeAll = (found: ReadonlyArray<string>) =>
      Effect.map(
        together(covered(found), (key) => removeOne(operation, key, mode, transport.run)),
        (counts) => {
          for (const one of counts) count += one
        }
      )
    const [leases, entries] = names.globs(which)
    const both =
      (act: (found: ReadonlyArray<string>) => Effect.Effect<void, StoreError>) => (found: ReadonlyArray<string>) =>
        Effect.asVoid(Effect.all([act(found), meanwhile], { concurrency: "unbounded", discard: true }))
    return transport.walk(operation, leases, both(releaseAll)).pipe(
      Effect.andThen(transport.walk(operation, entries, both(removeAll))),
      // Also of what an earlier attempt has removed, and this one did not find any more.
      Effect.andThen(transport.settle(operation)),
      Effect.map(() => count)
    )
  }

  /** Opens a fence, and changes the first piece of what it is over. */
  const openFence = (
    { id, length, over }: Fence,
    piece: Piece,
    nonce: string
  ): Effect.Effect<number, StoreError> => {
    const noting = [nonce, markerLife, journalLife, settings.journal]
    const opening = [
      id,
      Math.ceil(length),
      Schema.encodeSync(Invalidation.FromString)(targetsIn(over) > mostFenced ? Invalidation.everything : over)
    ]
    const { modes, places } = targetsOf(piece)
    return split
      ? Effect.andThen(
        run(
          "fence",
          Scripts.openFence,
          [names.journal, names.fences],
          [...opening, ...noting, ...list(piece.names.map(([name]) => name))],
          transport.runAcknowledged
        ),
        Effect.mapError(
          Effect.tap(changeInSteps("fence", piece, nonce), () => tellOthers("fence", asInvalidation(piece))),
          (error) => error.ofPart()
        )
      )
      : Effect.flatMap(
        run("fence", Scripts.fence, [names.journal, names.fences, ...places], [
          names.released,
          ...opening,
          ...noting,
          names.invalidated,
          piece === nowhere ? "" : announcement(asInvalidation(piece)),
          ...modes
        ], transport.runAcknowledged),
        ([, count]) => countOf("fence", count)
      )
  }

  /** Lets a fence stand longer from time to time while what it is over is invalidated. One that was lost stays lost. */
  const renewing = ({ id, length }: Fence): Effect.Effect<void, StoreError> => {
    let renewed: number | undefined
    return Effect.withFiber((fiber) => {
      const now = elapsed(fiber.getRef(Clock.Clock))
      renewed ??= now
      if (now - renewed < length / 4) return Effect.void
      renewed = now
      return Effect.asVoid(
        run(
          "fence",
          Scripts.extendFence,
          [names.fences],
          [id, Math.ceil(length), markerLife],
          transport.runAcknowledged
        )
      )
    })
  }

  const fence = (one: Fence): Effect.Effect<number | undefined, StoreError> =>
    Effect.gen(function*() {
      const { dependencies, everything, patterns } = one.over
      const nonce = newNonce()
      const renew = renewing(one)
      yield* renew
      const [first = nowhere, ...others] = piecesOf(one.over)
      const opened = yield* openFence(one, first, nonce)
      // What is refused from here on is a part of what has begun.
      const more = yield* Effect.mapError(
        Effect.gen(function*() {
          let count = 0
          for (const piece of others) {
            const apply = (split ? applyInSteps : applyAtOnce)("fence", piece, nonce)
            const [changed] = yield* Effect.all([apply, renew], { concurrency: "unbounded" })
            count += changed
          }
          for (const { mode, pattern } of patterns.values()) {
            count += yield* sweepKeys("fence", pattern, mode, renew)
            yield* tellOthers("fence", Invalidation.withMode(Invalidation.pattern(pattern), mode))
          }
          if (everything !== undefined) {
            count += yield* sweepKeys("fence", "everything", everything, renew)
            yield* tellOthers("fence", Invalidation.withMode(Invalidation.everything, everything))
          }
          return count
        }),
        (error) => error.ofPart()
      )
      return dependencies.size > 0 ? undefined : opened + more
    })

  // ---------------------------------------------------------------------------
  // looking
  // ---------------------------------------------------------------------------

  const inspect: CacheStore["inspect"] = (key, known = []) =>
    Effect.gen(function*() {
      const [text, lease] = yield* transport.get("inspect", [names.entry(key), names.lease(key)])
      const written = typeof text === "string" ? Wire.readEntry(text) : undefined
      const dependencies = written?.stamp.dependencies ?? known
      const markers = dependencies.length === 0
        ? []
        : yield* transport.get("inspect", dependencies.map((name) => names.marker(name)))
      const markerOf = new Map(dependencies.map((name, i) => [name, markers[i] ?? null]))
      const changed = written && Wire.changesOf(written, (name) => markerOf.get(name))
      const [, fences] = yield* run("inspect", Scripts.fencesNow, [names.fences], [])
      const over = Wire.isStrings(fences) ? fences.filter((_, i) => i % 2 === 1) : []
      return {
        entry: written && { ...written, changed },
        changedAt: new Map([...changed?.keys() ?? []].flatMap((name) => {
          const at = Wire.replacedAt(markerOf.get(name) ?? "")
          return at === undefined ? [] : [[name, at] as const]
        })),
        removed: undefined,
        leased: typeof lease === "string" ? /^[01]([^\n]*)\n/.exec(lease)?.[1] : undefined,
        fenced: over.some((text) => Invalidation.covers(covered(text), key, dependencies))
      }
    })

  const scan: CacheStore["scan"] = ({ pattern }) =>
    Effect.suspend(() => {
      const keys: Array<string> = []
      const collect = (found: ReadonlyArray<string>) =>
        Effect.sync(() => {
          for (const name of found) {
            const key = names.keyOf(name)
            if (key !== undefined && (pattern === undefined || Key.matches(pattern, key))) keys.push(key)
          }
        })
      const walking = transport.walk("scan", names.globs(pattern ?? "everything")[1], collect)
      return Effect.map(walking, () => ({ keys, cursor: undefined }))
    })

  const released = ({ key }: Address, token: Token): Effect.Effect<void, StoreError> =>
    Effect.suspend(() => {
      let stop = () => {}
      const waiting = Effect.callback<void>((resume) => {
        stop = notices.onReleased(token, () => resume(Effect.void))
        return Effect.sync(() => stop())
      })
      // Asked after listening has begun: a lease that is over by then was perhaps told of before.
      const asking = Effect.flatMap(
        run("released", Scripts.awaitLease, [names.lease(key)], [token]),
        ([, stands]) => stands === 1 ? Effect.never : Effect.void
      )
      return Effect.raceFirst(waiting, asking)
    })

  return {
    name: "redis",
    payload: "text",
    synchronize,
    now: (clock) => time.now(clock),
    read,
    begin: (address, request) => begin(address, request),
    commit: ({ key }, lease, draft) =>
      Effect.suspend(() =>
        Effect.tap(
          (split ? commitInSteps : commitAtOnce)(key, lease as Captured, draft),
          (outcome) =>
            Effect.sync(() => {
              if (outcome === "stored" && draft.found.length > 0) remember(key, draft.stamp.dependencies)
            })
        )
      ),
    discard: ({ key }, lease, dependencies) =>
      Effect.suspend(() => (split ? discardInSteps : discardAtOnce)(key, lease as Captured, dependencies)),
    abandon: ({ key }, token) => Effect.asVoid(giveUp("abandon", key, token)),
    released,
    atomic,
    invalidate: (batch) => told(batch, invalidate(batch)),
    fence: (one) => told(one.over, fence(one)),
    lift: ({ id }) =>
      Effect.map(
        run("lift", Scripts.liftFence, [names.fences], [id], transport.runAcknowledged),
        ([, stood]) => stood === 1
      ),
    inspect,
    scan,
    announcements: notices.announcements.stream
  }
}
