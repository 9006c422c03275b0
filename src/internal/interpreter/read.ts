/**
 * One read of one key: what it knows, what it serves, and what it counts.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import type { Entry, StoreError, Token } from "../../CacheStore.ts"
import * as Key from "../../Key.ts"
import * as Verdict from "../../Verdict.ts"
import { conditionsOf } from "../condition.ts"
import type { Counters } from "../counters.ts"
import { elapsed } from "../deadline.ts"
import * as Internal from "../definition.ts"
import { encodeName } from "../keys.ts"
import { keyOf, placeOf as textOfPlace } from "../place.ts"
import * as Plan from "../plan.ts"
import { refused } from "../refused.ts"
import { type ClockedStore, type Service, storeOf } from "../service/model.ts"
import type { Found } from "./decide.ts"
import { type Definition, LoadCircle } from "./definitions.ts"
import type { Stored } from "./finish.ts"
import * as Loading from "./loading.ts"
import { moment, placeOf } from "./loads.ts"
import { reportLoad, reportOtherShape, reportStoreFailure } from "./report.ts"

export type AnyFiber = Fiber.Fiber<unknown, unknown>

/** An entry that was judged. */
export interface Judged {
  readonly entry: Entry
  readonly view: Internal.View
  readonly versions: Internal.Versions
  readonly verdict: Verdict.Verdict
  /** The verdict at another time, with the same draw. */
  readonly again: (now: number) => Verdict.Verdict
  /** Until when it may be served, as it was found. */
  readonly usableUntil: () => number
}

/** What a read found. */
export interface Seen {
  readonly entry: Entry | undefined
  readonly judged: Judged | undefined
  readonly found: Found
  readonly versions: Internal.Versions
}

/** What a read gives: a result, and the entry that it is from, if it is from one. */
export interface Answer {
  readonly exit: Exit.Exit<unknown, unknown>
  readonly from: Judged | Stored | undefined
}

/** The defect of a read that needs itself. */
export const circleOf = (keys: ReadonlyArray<string>): LoadCircle =>
  new LoadCircle({ keys: keys.map((place) => Key.format(keyOf(place))) })

/**
 * Refuses a second definition of a name whose keys or values are others: it would be served what the first one has
 * stored. Nothing that is served without a `Read` need ask: that is of a definition which has been admitted.
 */
const admit = (service: Service, definition: Definition): void => {
  const { definitions } = service
  // Two versions of one name lie apart.
  const id = textOfPlace({ key: encodeName(definition.name), version: definition.version })
  const known = definitions.get(id)
  if (known === definition) return
  if (known !== undefined && !Internal.isSame(known, definition)) {
    throw refused(
      `Cached "${definition.name}"`,
      "NameTaken",
      "another definition of this name is in use, with other fields of its key or another schema. Rename one of them, " +
        "or give it a `version` if it is the same in another shape"
    )
  }
  definitions.set(id, definition)
}

export class Read {
  readonly definition: Definition
  readonly service: Service
  readonly store: ClockedStore
  readonly address: Internal.KeyAddress
  readonly fiber: AnyFiber
  readonly counters: Counters
  /** On whose behalf it reads: what waits while it does. */
  readonly reader: Loading.Loading | undefined
  /** The load whose value what it gives becomes part of. */
  readonly loading: Loading.Loading | undefined
  /** Not before the read did. */
  readonly began = moment()
  /** In milliseconds of the monotonic clock. */
  readonly started: number
  /** How often a load was refused. */
  refused = 0
  private waits = false
  private counted = false

  constructor(definition: Definition, service: Service, address: Internal.KeyAddress, fiber: AnyFiber) {
    admit(service, definition)
    this.definition = definition
    this.service = service
    this.store = storeOf(service, definition.name)
    this.address = address
    this.fiber = fiber
    this.counters = service.counters(definition.name, fiber)
    const reader = fiber.getRef(Loading.Current)
    const loading = reader?.load
    this.reader = reader?.ended === false ? reader : undefined
    this.loading = loading?.ended === false ? loading : undefined
    this.started = this.elapsed()
  }

  get insideLoad(): boolean {
    return this.loading !== undefined
  }

  get place(): Loading.Place {
    return placeOf(this.service, this.address)
  }

  /** What works on its key inside of it. */
  within(kind: Loading.Kind, lease?: Token): Loading.Loading {
    return new Loading.Loading(kind, [this.place], this.reader, lease)
  }

  /** This read gives an entry: what a load makes of a stale one is stale, too. A load may look at what it is to replace. */
  passOn({ usableUntil, verdict }: Judged): void {
    if (this.loading === undefined || verdict === "Fresh" || verdict === "Refresh") return
    const { isSingle, kind } = this.loading
    if (kind === "load" && isSingle && this.loading.worksOn(this.place)) return
    this.loading.given(this.elapsed() + usableUntil() - this.now())
  }

  now(): number {
    return this.store.now(this.fiber.getRef(Clock.Clock))
  }

  /** For what takes time, whatever the store's clock does meanwhile: it may be known only since the first answer. */
  elapsed(): number {
    return elapsed(this.fiber.getRef(Clock.Clock))
  }

  private label(): { readonly name: string; readonly key: string } {
    return { name: this.definition.name, key: this.address.key }
  }

  /** Judges an entry; undefined if it cannot be read. */
  private judge(entry: Entry, versions: Internal.Versions): Judged | undefined {
    const view = Internal.open(this.address, entry, this.store, this.counters)
    if (view === undefined) {
      this.counters.unreadable++
      if (Internal.hasOtherShape(this.address, entry, this.store, this.now())) this.otherShape()
      this.service.publish({ _tag: "Unreadable", ...this.label() })
      return undefined
    }
    // One draw for the whole read, made when it is first asked for. It is never 0.
    let drawn: number | undefined
    const draw = () => drawn ??= 1 - this.fiber.getRef(Random.Random).nextDoubleUnsafe()
    const current = entry.stamp.failure ? versions.failure : versions.value
    const again = (now: number) => {
      const verdict = Plan.judge(view.armed, now, draw, entry.changed, current)
      return entry.softened ? Verdict.meet(verdict, "Stale") : verdict
    }
    const now = this.now()
    const usableUntil = () => Plan.usableUntil(view.armed, now, entry.changed, current)
    return { entry, view, versions, again, verdict: again(now), usableUntil }
  }

  private otherShape(): void {
    const { definition, fiber, service } = this
    Effect.runForkWith(fiber.context)(reportOtherShape(service, definition))
  }

  look(entry: Entry | undefined, versions: Internal.Versions): Seen {
    const judged = entry && this.judge(entry, versions)
    return { entry, judged, versions, found: judged?.verdict ?? (entry ? "Dead" : "Nothing") }
  }

  serve(judged: Judged): Answer {
    const { verdict } = judged
    if (verdict === "Fresh") {
      this.counters.hits++
      this.service.publish({ _tag: "Hit", ...this.label() })
    } else {
      this.passOn(judged)
      this.counters.staleServed++
      this.service.publish({ _tag: "StaleServed", ...this.label(), verdict })
    }
    return { exit: judged.view.exit, from: judged }
  }

  /** The read has to wait for a load. */
  miss(found: Found): void {
    if (this.waits) return
    this.waits = true
    this.service.publish({ _tag: "Miss", ...this.label(), found })
  }

  /** Every read counts once: one that waited is a miss, unless it was served an old value after all. */
  private missed(): void {
    if (!this.waits || this.counted) return
    this.counted = true
    this.counters.misses++
  }

  coalesced(): void {
    this.counters.coalesced++
    this.service.publish({ _tag: "Coalesced", ...this.label() })
  }

  refreshing(): void {
    this.counters.refreshes++
    this.service.publish({ _tag: "Refresh", ...this.label() })
  }

  /** Whether what was found may be served now in place of a load that failed or takes too long. */
  mayFallBack(old: Judged | undefined): old is Judged {
    return old !== undefined && old.again(this.now()) !== "Dead"
  }

  fallBack(old: Judged): Answer {
    return this.serve({ ...old, verdict: old.again(this.now()) })
  }

  /** The result of a load: itself, or the old value where it is not an answer. */
  conclude({ exit, partsUntil }: Loading.Made<unknown, unknown>, old: Judged | undefined, stored?: Stored): Answer {
    if (partsUntil !== undefined) this.loading?.given(partsUntil)
    const isAnswer = Exit.isSuccess(exit) || Internal.isCachedFailure(this.definition, exit.cause)
    if (!isAnswer && this.mayFallBack(old)) return this.fallBack(old)
    this.missed()
    return { exit, from: stored }
  }

  fail(error: StoreError, old: Judged | undefined): Answer {
    return this.conclude({ exit: Exit.fail(error), partsUntil: undefined }, old)
  }

  storeFailed(error: StoreError): void {
    reportStoreFailure(this.service, this.counters, error)
  }

  /** Loads are made without the store. */
  wentWithout(loads: number): void {
    for (const condition of conditionsOf(this.store)) condition.loads += loads
  }

  /** It would wait for itself: a mistake of the lookups, unless there is an old value. */
  circle(keys: ReadonlyArray<string>, old: Judged | undefined): Answer {
    return this.conclude({ exit: Exit.die(circleOf(keys)), partsUntil: undefined }, old)
  }

  /** Loads for this caller alone and stores nothing. */
  loadAlone(old: Judged | undefined): Effect.Effect<Answer> {
    return Effect.suspend(() => {
      const around = Loading.loadedAround(this.reader, this.place)
      if (around?._tag === "Circle") return Effect.succeed(this.circle(around.keys, old))
      const started = this.elapsed()
      const report = (exit: Exit.Exit<unknown, unknown>) =>
        Effect.sync(() =>
          reportLoad(this.service, this.counters, this.address, exit, this.elapsed() - started, "unsaved")
        )
      const load = Effect.map(
        Loading.run(Effect.onExit(this.definition.lookupOne(this.address.input), report), this.within("load")),
        (made) => this.conclude(made, old)
      )
      const { softTimeout } = this.definition.rules
      if (old === undefined || softTimeout === undefined) return load
      const late = Effect.suspend(() => this.mayFallBack(old) ? Effect.succeed(this.fallBack(old)) : Effect.never)
      return Effect.raceFirst(load, Effect.andThen(Effect.sleep(softTimeout), late))
    })
  }
}
