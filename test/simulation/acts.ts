/** What steps do: a read that is judged, or a write that says what it has changed. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Cached from "../../src/Cached.ts"
import type * as CacheService from "../../src/CacheService.ts"
import { StoreError } from "../../src/CacheStore.ts"
import * as Changes from "../../src/Changes.ts"
import { Names } from "../../src/internal/redis/wire.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import type { Invalidation as Called, Target } from "./judge.ts"
import { type Row, Rows, targetsOf } from "./origin.ts"
import type { Act } from "./plan.ts"
import { type Defined, type Env, foundTag, knownTag, loadIn, loading, resultAsExit, type Value } from "./programs.ts"

export interface Stage extends Env {
  readonly definitions: ReadonlyMap<string, Defined>
  /** Whether nothing that goes wrong takes long. */
  readonly isPrompt: boolean
  /** Whether what is sent takes long, so that a load may be void again and again. */
  readonly isSlow: boolean
  readonly prefix: string
  /** For how many milliseconds fences are opened; drawn, unless given. */
  readonly fence: number | undefined
  /** Microseconds since the epoch. */
  readonly now: () => number
  readonly note: (text: string) => void
  readonly count: Count
  /** Writes that are done while their fence stands, and when that is over if nobody lifts it, in microseconds. */
  readonly fenced: Map<Called, number>
  /** Write-throughs that have written to the origin. */
  readonly written: Set<Called>
}

export interface Count {
  /** Keys that were read by steps, and of which a value or a failure came. */
  reads: number
  /** Those whose load had ended before the read began. */
  hits: number
  writes: number
  /** No more are counted, or judged. */
  readonly most: number
  /** Invalidations that did not return. */
  unsure: number
}

type Doing = Effect.Effect<void, never, CacheService.CacheService>

// -----------------------------------------------------------------------------
// reads
// -----------------------------------------------------------------------------

interface Started {
  readonly process: string
  readonly started: number
  readonly startedAt: number
  readonly versions: ReadonlyArray<number>
}

const start = ({ judge, now, origin, process }: Stage): Started => ({
  process: process(),
  started: judge.moment(),
  startedAt: now(),
  versions: [...origin.versions]
})

const isOfStore = (exit: Exit.Exit<unknown, unknown>): boolean => {
  const failure = Exit.findErrorOption(exit)
  return failure._tag === "Some" && failure.value instanceof StoreError
}

// In microseconds. Who waits for another's load, and is not woken, looks again after a second; and loads alone after ten.
const longestCalm = 900_000
const longestPrompt = 6_000_000
const longest = 40_000_000

/** More than a read takes. */
const mostOf = ({ isPrompt, isSlow, judge, lease }: Stage, { isMadeOfOthers }: Defined): number => {
  const isCalm = judge.calm && lease === undefined && !isSlow
  // Each of several loads, one within the other, may wait so long.
  if (isMadeOfOthers) return isCalm ? longestPrompt : Infinity
  if (isCalm) return longestCalm
  return isPrompt && (judge.calm || lease !== undefined) ? longestPrompt : longest
}

const answered = (
  stage: Stage,
  defined: Defined,
  row: number,
  begun: Started,
  exit: Exit.Exit<Value, unknown>,
  fresh: boolean
): void => {
  const { count, judge, note, now } = stage
  const { ages, failsWithStore, isVersioned, name } = defined
  if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return
  const id = loadIn(exit)
  note(`${name}${row}=${id}`)
  if (failsWithStore && id === undefined && isOfStore(exit)) return
  if (id === undefined) {
    const why = Exit.isFailure(exit) ? Cause.pretty(exit.cause).split("\n").slice(0, 3).join(" ") : ""
    return judge.violate("G10", `a read of ${name}(${row}) in ${begun.process} failed: ${why}`)
  }
  if (count.reads === count.most) return
  count.reads++
  const load = judge.loads[id]
  if (load !== undefined && !load.inFlight && load.endedAt <= begun.startedAt) count.hits++
  judge.read(
    { of: name, row, process: begun.process, ages, started: begun.started, startedAt: begun.startedAt, fresh },
    id
  )
  const least = begun.versions[row]!
  if (isVersioned && load !== undefined && load.version < least) {
    judge.violate(
      "G1",
      `${begun.process} read version ${load.version} of ${name}(${row}), which was at ${least} before`
    )
  }
  if (now() - begun.startedAt > mostOf(stage, defined)) {
    const millis = Math.round((now() - begun.startedAt) / 1000)
    judge.violate("G10", `a read of ${name}(${row}) in ${begun.process} took ${millis} ms`)
  }
}

const reading = (stage: Stage, act: Exclude<Act, { readonly do: "write" }>): Doing =>
  Effect.suspend(() => {
    const defined = stage.definitions.get(act.of)!
    const { cached } = defined
    const begun = start(stage)
    const tell = (row: number, exit: Exit.Exit<Value, unknown>, fresh = false) =>
      Effect.sync(() => answered(stage, defined, row, begun, exit, fresh))
    switch (act.do) {
      case "get":
        return Effect.flatMap(Effect.exit(Cached.get(cached, act.row)), (exit) => tell(act.row, exit))
      case "refresh":
        return disturbing(
          stage,
          `key:${act.of}:${act.row}`,
          Effect.flatMap(Effect.exit(Cached.refresh(cached, act.row)), (exit) => tell(act.row, exit))
        )
      case "getEntry":
        return Effect.flatMap(
          Effect.exit(Cached.getEntry(cached, act.row)),
          (exit) =>
            Exit.isSuccess(exit)
              ? tell(act.row, Exit.succeed(exit.value.value), isFresh(exit.value))
              : tell(act.row, exit as Exit.Exit<never, unknown>)
        )
      case "getOption":
        return Effect.flatMap(Effect.exit(Cached.getOption(cached, act.row)), (exit) => {
          if (Exit.isFailure(exit)) return tell(act.row, exit as Exit.Exit<never, unknown>)
          return exit.value._tag === "Some" ? tell(act.row, Exit.succeed(exit.value.value)) : Effect.void
        })
      case "peekEntry":
        return Effect.flatMap(Effect.exit(Cached.peekEntry(cached, act.row)), (exit) => {
          if (Exit.isFailure(exit)) return tell(act.row, exit as Exit.Exit<never, unknown>)
          const { value } = exit
          return value._tag === "Some"
            ? tell(act.row, Exit.succeed(value.value.value), isFresh(value.value))
            : Effect.void
        })
      case "getMany":
        return Effect.flatMap(
          Effect.exit(Cached.getMany(cached, act.rows, { mode: "result" })),
          (exit) =>
            Effect.forEach(
              act.rows,
              (row, i) => tell(row, Exit.isSuccess(exit) ? resultAsExit(exit.value[i]!) : Exit.failCause(exit.cause)),
              { discard: true }
            )
        )
      case "set":
        return setting(stage, defined, act.row)
    }
  })

/** What takes the lease of a key by force. */
const disturbing = <A, E, R>(
  { judge }: Stage,
  target: Target,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    judge.disturb([target])
    return Effect.ensuring(effect, Effect.sync(() => judge.calmDown([target])))
  })

const isFresh = ({ validator, verdict }: Cached.Entry<unknown>): boolean =>
  // One that was loaded now, and not stored, is fresh until now.
  verdict === "Fresh" && validator._tag === "Some"

const setting = (stage: Stage, defined: Defined, row: number): Doing =>
  Effect.suspend(() => {
    const { judge, origin, process } = stage
    const { cached, name } = defined
    const target: Target = `key:${name}:${row}`
    const called = judge.call(`set ${name}(${row})`, process(), {
      hard: new Set([target]),
      soft: new Set(),
      keys: keysOf(stage, Cached.invalidation(cached, [row]))
    })
    const write = Effect.suspend(() => {
      origin.write(row, "b")
      stage.written.add(called)
      judge.disturb([`key:versioned:${row}`])
      judge.calmDown([`key:versioned:${row}`])
      return loading(stage, defined, row, { isWrite: true })
    })
    return Effect.flatMap(Effect.exit(Cached.set(cached, row, write)), (exit) => ended(stage, called, exit))
  })

// -----------------------------------------------------------------------------
// writes
// -----------------------------------------------------------------------------

const ended = (
  { count, fenced, judge, note, written }: Stage,
  called: Called,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<void> =>
  Effect.sync(() => {
    count.writes++
    fenced.delete(called)
    written.delete(called)
    note(`${called.what}:${exit._tag}`)
    if (Exit.isSuccess(exit)) judge.returned(called)
    else {
      count.unsure++
      judge.unsure(called)
    }
  })

interface Told {
  readonly invalidation: Invalidation.Invalidation
  readonly targets: ReadonlyArray<Target>
}

const tags = (...names: ReadonlyArray<string>): Told => ({
  invalidation: Invalidation.tags(names),
  targets: names.map((name) => `tag:${name}`)
})

const bothOf = (all: ReadonlyArray<Told>): Told => ({
  invalidation: Invalidation.combineAll(all.map(({ invalidation }) => invalidation)),
  targets: all.flatMap(({ targets }) => targets)
})

type Write = Extract<Act, { readonly do: "write" }>

const changesOf = (before: Row, after: Row, { field }: Write, present: boolean) =>
  field === "presence" ? [present ? Rows.created(after) : Rows.deleted(before)] : [Rows.updated(before, after)]

/** What a writer says that it has changed; and the same in the words of the judge. */
const toldBy = (stage: Stage, act: Write, before: Row, after: Row, present: boolean): Told => {
  const { definitions, origin } = stage
  const { by, field, of, row } = act
  const { cached } = definitions.get(of)!
  const key = (defined: Defined, id: number): Told => ({
    invalidation: Cached.invalidation(defined.cached, [id]),
    targets: [`key:${defined.name}:${id}`]
  })
  switch (by) {
    case "key":
      return key(definitions.get(of)!, row)
    case "keys":
      return bothOf(origin.rows.map(({ id }) => key(definitions.get(of)!, id)))
    case "known":
      return tags(knownTag(row))
    case "found":
      return tags(...new Set([foundTag(before.group), foundTag(after.group)]))
    case "change":
      return {
        invalidation: Invalidation.changes(changesOf(before, after, act, present)),
        targets: targetsOf(before, after, field)
      }
    case "pattern":
      return { invalidation: Cached.pattern(cached), targets: [`of:${of}`] }
    case "everything":
      return { invalidation: Invalidation.everything, targets: ["*"] }
    case "mixed":
      return bothOf([
        tags(knownTag(row), foundTag(before.group)),
        ...[...definitions.values()].map((defined) => key(defined, row))
      ])
  }
}

/** Where the store keeps what an invalidation changes. */
const keysOf = ({ prefix }: Stage, invalidation: Invalidation.Invalidation): Called["keys"] => {
  if (invalidation.everything !== undefined || invalidation.patterns.size > 0) return "all"
  const names = new Names(prefix)
  return new Set([
    names.journal,
    names.fences,
    ...[...invalidation.dependencies.keys()].map((name) => names.marker(name)),
    ...[...invalidation.keys.keys()].flatMap((
      key
    ) => [names.entry({ key }), names.lease({ key }), names.keyMarker(key)])
  ])
}

const callOf = (stage: Stage, act: Write, { invalidation, targets }: Told): Called => {
  const { judge, process } = stage
  const all = new Set(targets)
  return judge.call(`${act.how} ${act.soft ? "soft " : ""}${[...all].join(", ")}`, process(), {
    hard: act.soft ? new Set() : all,
    soft: act.soft ? all : new Set(),
    keys: keysOf(stage, invalidation)
  })
}

const writing = (stage: Stage, act: Write): Doing =>
  Effect.suspend(() => {
    const { judge, origin, random, slowest } = stage
    const busy = Effect.suspend(() => Effect.sleep(random.int(slowest * 1000) / 1000))
    const inMode = (invalidation: Invalidation.Invalidation) =>
      act.soft ? Invalidation.soft(invalidation) : invalidation
    const write = Effect.sync(() => {
      const { after, before } = origin.write(act.row, act.field)
      judge.disturb([`key:versioned:${act.row}`])
      judge.calmDown([`key:versioned:${act.row}`])
      return { before, after }
    })
    const finish = (called: Called, doing: Effect.Effect<unknown, unknown, CacheService.CacheService>): Doing =>
      Effect.flatMap(Effect.exit(doing), (exit) => ended(stage, called, exit))
    /** What is loaded before the write has ended is void. */
    const until = (called: Called) =>
      Effect.sync(() => {
        called.call = judge.moment()
      })

    switch (act.how) {
      case "mutate": {
        const told = toldBy(
          stage,
          act,
          origin.rows[act.row]!,
          origin.ahead(act.row, act.field),
          !origin.present[act.row]!
        )
        const called = callOf(stage, act, told)
        const millis = stage.fence ??
          (random.chance(0.5) ? 1 + random.int(random.pick([10, 200])) : 30_000)
        const done = Effect.sync(() => {
          called.call = judge.moment()
          stage.fenced.set(called, stage.now() + (millis + 10) * 1000)
        })
        const body = Effect.andThen(
          Effect.andThen(busy, Effect.andThen(write, done)),
          Effect.andThen(busy, until(called))
        )
        return finish(called, Cached.mutate(body, inMode(told.invalidation), { fence: `${millis} millis` }))
      }
      case "transaction": {
        const told = toldBy(
          stage,
          act,
          origin.rows[act.row]!,
          origin.ahead(act.row, act.field),
          !origin.present[act.row]!
        )
        const called = callOf(stage, act, told)
        const commits = random.chance(0.8)
        const transaction = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
          Effect.tap(
            effect,
            () => commits ? Effect.andThen(busy, Effect.andThen(write, until(called))) : Effect.die("rolled back")
          )
        const body = Effect.andThen(busy, Cached.apply(inMode(told.invalidation)))
        return finish(called, Changes.withTransaction(transaction, { onUndelivered: "fail" })(body))
      }
      case "publish":
      case "apply":
        return Effect.flatMap(write, ({ after, before }) => {
          const publishes = act.how === "publish" && act.by === "change" && !act.soft
          const told = toldBy(stage, act, before, after, origin.present[act.row]!)
          const called = callOf(stage, act, told)
          return finish(
            called,
            publishes
              ? Changes.publish(changesOf(before, after, act, origin.present[act.row]!))
              : Cached.apply(inMode(told.invalidation))
          )
        })
    }
  })

export const doing = (stage: Stage, act: Act): Doing => act.do === "write" ? writing(stage, act) : reading(stage, act)
