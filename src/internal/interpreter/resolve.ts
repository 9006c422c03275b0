/**
 * Answers reads that cannot be served at once. A single read is a batch of one;
 * `decide` says what each of them does next.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { Entry, StoreError, Token } from "../../CacheStore.ts"
import type { Versions } from "../definition.ts"
import * as Decide from "./decide.ts"
import type { AnyEffect } from "./definitions.ts"
import {
  fillByItself,
  type Filled,
  fillTogether,
  forCaller,
  inBackground,
  refreshInBackground,
  type Want,
  withoutStore
} from "./fill.ts"
import { byCalls, type Loader, oneByOne } from "./loader.ts"
import * as Loading from "./loading.ts"
import type { Lookup } from "./loads.ts"
import type { Answer, Read, Seen } from "./read.ts"
import { reportLoad } from "./report.ts"
import { currentVersions } from "./versions.ts"

// -----------------------------------------------------------------------------
// looking
// -----------------------------------------------------------------------------

// Reads of one turn are few commands, so it can be many. In a cluster each is a command of its own.
const looksAtOnce = 1024

/** What the store answered to a read; or the answer to the reader, if what has to come before it failed. */
type Looked =
  | { readonly _tag: "Seen"; readonly read: Read; readonly seen: Seen }
  | { readonly _tag: "StoreFailed"; readonly read: Read; readonly error: StoreError; readonly versions: Versions }
  | { readonly _tag: "Answered"; readonly read: Read; readonly answer: Answer }

export type StoreAnswer = Result.Result<Entry | undefined, StoreError>

const lookedAt = (read: Read, versions: Versions, answer: StoreAnswer): Looked =>
  Result.isSuccess(answer)
    ? { _tag: "Seen", read, seen: read.look(answer.success, versions) }
    : { _tag: "StoreFailed", read, error: answer.failure, versions }

/** `first` is the store's answer, where it was asked already and no version had to be read before. */
const lookAt = (read: Read, first?: StoreAnswer): Effect.Effect<Looked> =>
  Effect.matchCauseEffect(currentVersions(read), {
    onFailure: (cause) => Effect.succeed({ _tag: "Answered", read, answer: answerOf(Exit.failCause(cause)) }),
    onSuccess: (versions) =>
      first !== undefined
        ? Effect.sync(() => lookedAt(read, versions, first))
        : Effect.map(Effect.result(read.store.read(read.address)), (answer) => lookedAt(read, versions, answer))
  })

const answerOf = (exit: Exit.Exit<unknown, unknown>): Answer => ({ exit, from: undefined })

/** Looks at many at once; at a single one without a fiber of its own. */
const forAll = <A, B>(all: ReadonlyArray<A>, f: (a: A) => AnyEffect<B>): AnyEffect<ReadonlyArray<B>> =>
  all.length === 1
    ? Effect.map(f(all[0]!), (one) => [one])
    : Effect.forEach(all, f, { concurrency: looksAtOnce })

// -----------------------------------------------------------------------------
// resolving
// -----------------------------------------------------------------------------

/** Answers reads, each by its own answer. They are of one definition. */
export const resolve = (
  reads: ReadonlyArray<Read>,
  loader: Loader
): AnyEffect<ReadonlyMap<Read, Answer>> =>
  Effect.flatMap(forAll(reads, (read) => lookAt(read)), (looked) => act(looked, loader))

/** Answers one read. Most are served as soon as they are looked at, without what a batch needs. */
export const resolveOne = (read: Read, loader: Loader, first?: StoreAnswer): AnyEffect<Answer> =>
  Effect.flatMap(lookAt(read, first), (looked): AnyEffect<Answer> => {
    if (looked._tag === "Seen") {
      const { found, judged } = looked.seen
      if (Decide.atFirst(found, read.definition.rules, read.insideLoad) === "serve") {
        return Effect.succeed(read.serve(judged!))
      }
    }
    return alone(read, act([looked], loader))
  })

const act = (looked: ReadonlyArray<Looked>, loader: Loader): AnyEffect<ReadonlyMap<Read, Answer>> =>
  Effect.suspend(() => {
    const answers = new Map<Read, Answer>()
    const stale: Array<Want> = []
    const missing: Array<Want> = []
    const unanswered: Array<Unanswered> = []
    for (const one of looked) {
      const { read } = one
      if (one._tag === "Answered") answers.set(read, one.answer)
      else if (one._tag === "StoreFailed") {
        read.miss("Nothing")
        unanswered.push(one)
      } else {
        const { found, judged } = one.seen
        const first = Decide.atFirst(found, read.definition.rules, read.insideLoad)
        if (first === "load") {
          if (!Decide.isServable(found)) read.miss(found)
          missing.push({ read, attempt: forCaller(read, one.seen) })
          continue
        }
        if (first === "serve and refresh") stale.push({ read, attempt: inBackground(read, judged!) })
        answers.set(read, read.serve(judged!))
      }
    }
    const use = (want: Want, filled: Filled): AnyEffect<void> => {
      if (filled._tag === "StoreFailed") want.read.miss(want.attempt.seen?.verdict ?? "Nothing")
      // Without an old value there is nothing to choose: those are loaded together.
      if (filled._tag === "StoreFailed" && want.attempt.old === undefined) {
        unanswered.push({ read: want.read, error: filled.error, versions: want.attempt.versions })
        return Effect.void
      }
      return answer(answers, want.read, follow(want, filled))
    }
    const rest = Effect.suspend(() => loadUnanswered(unanswered, loader, answers))
    const steps: Array<AnyEffect<unknown>> = []
    if (stale.length > 0) steps.push(refreshInBackground(stale, loader))
    if (missing.length > 0) steps.push(fillAll(missing, loader, oneByOne(missing[0]!.read.definition), answers, use))
    steps.push(rest)
    return Effect.as(Effect.forEach(steps, (step) => step, { discard: true }), answers)
  })

/**
 * Fills keys, and uses each as soon as it is there. What a batch around it waits for is loaded by itself, since that batch is
 * such a lookup already; and what would wait for itself is answered with that.
 */
const fillAll = (
  wants: ReadonlyArray<Want>,
  loader: Loader,
  single: Loader,
  answers: Map<Read, Answer>,
  use: (want: Want, filled: Filled) => AnyEffect<void>
): AnyEffect<void> => {
  const together: Array<Want> = []
  const byThemselves: Array<Want> = []
  for (const want of wants) {
    const { attempt, read } = want
    const around = Loading.loadedAround(read.reader, read.place)
    if (around === undefined) together.push(want)
    else if (around._tag === "InBatch") byThemselves.push(want)
    else answers.set(read, read.circle(around.keys, attempt.old))
  }
  const fill = (some: ReadonlyArray<Want>, by: Loader) =>
    byCalls(some, by, (call) => fillTogether(call, by.lookup, use))
  return Effect.andThen(fill(byThemselves, single), fill(together, loader))
}

const answer = (answers: Map<Read, Answer>, read: Read, effect: AnyEffect<Answer>): AnyEffect<void> =>
  Effect.map(Effect.exit(effect), (exit) => {
    answers.set(read, Exit.isSuccess(exit) ? exit.value : answerOf(exit))
  })

/** One read again, by itself. */
const alone = (read: Read, resolving: AnyEffect<ReadonlyMap<Read, Answer>>): AnyEffect<Answer> =>
  Effect.map(resolving, (answers) => answers.get(read)!)

/** Goes on with one read after an attempt. */
const follow = ({ attempt, read }: Want, filled: Filled): AnyEffect<Answer> => {
  const { old, seen, versions } = attempt
  const { definition } = read
  if (filled._tag === "Refused") read.refused++
  const next = Decide.afterwards({
    came: filled._tag,
    found: seen?.verdict ?? "Nothing",
    insideLoad: read.insideLoad,
    old: read.mayFallBack(old),
    refused: read.refused,
    waited: read.elapsed() - read.started
  }, definition.rules)
  const lookAgain = () => resolveOne(read, oneByOne(definition))
  switch (next._tag) {
    case "Conclude": {
      const { made, stored } = filled as Extract<Filled, { readonly _tag: "Loaded" | "Refused" }>
      return Effect.succeed(read.conclude(made, old, stored))
    }
    case "Serve":
      return Effect.succeed(read.serve(seen!))
    case "FallBack":
      return Effect.succeed(read.fallBack(old!))
    case "LookAgain":
      return lookAgain()
    case "LookAtFound": {
      const { entry } = filled as Extract<Filled, { readonly _tag: "Found" }>
      const looked = lookedAt(read, versions, Result.succeed(entry))
      return alone(read, act([looked], oneByOne(definition)))
    }
    case "Wait": {
      const { token } = filled as Extract<Filled, { readonly _tag: "Busy" }>
      return Effect.flatMap(awaitOther(read, token, next.atMost), lookAgain)
    }
    case "LoadByItself": {
      const { filling } = filled as Extract<Filled, { readonly _tag: "InBatch" }>
      return Effect.flatMap(
        fillByItself({ attempt, read }, filling, oneByOne(definition).lookup),
        (filled) => follow({ attempt, read }, filled)
      )
    }
    case "Die": {
      const { keys } = filled as Extract<Filled, { readonly _tag: "Circle" }>
      return Effect.succeed(read.circle(keys, old))
    }
    case "Share": {
      const { error } = filled as Extract<Filled, { readonly _tag: "StoreFailed" }>
      read.storeFailed(error)
      const want: Want = { read, attempt: { ...attempt, seenToken: undefined, store: read.service.leases } }
      const sharing = fillTogether([want], without(read, oneByOne(definition)).lookup, follow)
      return Effect.map(sharing, ([one]) => one!)
    }
    case "LoadAlone":
      if (filled._tag === "StoreFailed") {
        read.storeFailed(filled.error)
        read.wentWithout(1)
      }
      if (filled._tag === "Busy") read.miss(seen?.verdict ?? "Nothing")
      return read.loadAlone(old)
    case "Fail": {
      const { error } = filled as Extract<Filled, { readonly _tag: "StoreFailed" }>
      read.storeFailed(error)
      return Effect.succeed(read.fail(error, old))
    }
  }
}

// Notifications can be lost: this often a waiting caller looks for itself, in milliseconds.
const pollEvery = 1000

/**
 * Waits until another process is done with the key, or for a while: also when the store cannot announce it, since asking again
 * at once would not end. A store may announce it in the middle of storing, so what it is at is let end first.
 */
const awaitOther = (read: Read, token: Token, atMost: number): AnyEffect<void> => {
  const released = Effect.catch(read.store.released(read.address, token), () => Effect.never)
  return Effect.timeoutOrElse(Effect.andThen(released, Effect.yieldNow), {
    duration: Math.max(1, Math.min(pollEvery, atMost)),
    orElse: () => Effect.void
  })
}

// -----------------------------------------------------------------------------
// without the store
// -----------------------------------------------------------------------------

/** A read that the store did not answer, and for which there is no old value. */
interface Unanswered {
  readonly read: Read
  readonly error: StoreError
  readonly versions: Versions
}

/** Counts what the store costs that is lost. */
const without = (read: Read, loader: Loader): Loader => ({
  ...loader,
  lookup: (addresses) =>
    Effect.suspend(() => {
      read.wentWithout(addresses.length)
      return loader.lookup(addresses)
    })
})

/** Loads what the store did not answer, and stores none of it. */
const loadUnanswered = (
  all: ReadonlyArray<Unanswered>,
  loader: Loader,
  answers: Map<Read, Answer>
): AnyEffect<void> => {
  const [first] = all
  if (first === undefined) return Effect.void
  for (const { error, read } of all) read.storeFailed(error)
  const { definition } = first.read
  const next = Decide.withoutStore(definition.rules)
  if (next._tag === "Fail") {
    for (const { error, read } of all) answers.set(read, read.fail(error, undefined))
    return Effect.void
  }
  if (next._tag === "Share") return shareUnanswered(all, loader, answers)
  first.read.wentWithout(all.length)
  const together: Array<Read> = []
  const byThemselves: Array<Read> = []
  for (const { read } of all) {
    const canBatch = loader.batches && Loading.loadedAround(read.reader, read.place) === undefined
    if (canBatch) together.push(read)
    else byThemselves.push(read)
  }
  const alone = (read: Read) => answer(answers, read, read.loadAlone(undefined))
  return Effect.andThen(
    byCalls(byThemselves, oneByOne(definition), ([read]) => alone(read!)),
    byCalls(together, loader, (some) => loadTogetherAlone(some, loader.lookup, answers))
  )
}

/** The same, and several callers who ask for a key at a time are given one load. */
const shareUnanswered = (
  all: ReadonlyArray<Unanswered>,
  loader: Loader,
  answers: Map<Read, Answer>
): AnyEffect<void> => {
  const { read } = all[0]!
  const wants = all.map(({ read, versions }) => ({ read, attempt: withoutStore(read, versions) }))
  const use = (want: Want, filled: Filled) => answer(answers, want.read, follow(want, filled))
  return fillAll(wants, without(read, loader), without(read, oneByOne(read.definition)), answers, use)
}

/** Loads several values by one lookup and stores none of them. */
const loadTogetherAlone = (
  reads: ReadonlyArray<Read>,
  lookup: Lookup,
  answers: Map<Read, Answer>
): AnyEffect<void> =>
  Effect.suspend(() => {
    const first = reads[0]!
    const { counters, reader, service } = first
    const started = first.elapsed()
    const report = (exits: ReadonlyArray<Exit.Exit<unknown, unknown>>) => {
      for (const [i, { address }] of reads.entries()) {
        reportLoad(service, counters, address, exits[i]!, first.elapsed() - started, "unsaved")
      }
    }
    const load = Effect.onExit(
      lookup(reads.map(({ address }) => address)),
      (exit) => Effect.sync(() => report(Exit.isSuccess(exit) ? exit.value : reads.map(() => exit)))
    )
    const loading = new Loading.Loading("load", reads.map(({ place }) => place), reader)
    return Effect.map(Loading.run(load, loading), ({ exit, partsUntil }) => {
      for (const [i, read] of reads.entries()) {
        const one = Exit.isSuccess(exit) ? exit.value[i]! : exit
        answers.set(read, read.conclude({ exit: one, partsUntil }, undefined))
      }
    })
  })
