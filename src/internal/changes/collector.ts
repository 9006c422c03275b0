/**
 * What a transaction collects until its commit: changes, invalidations, and what is to be done once it has ended.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as CacheService from "../../CacheService.ts"
import type * as CacheStore from "../../CacheStore.ts"
import type * as Change from "../../Change.ts"
import * as Invalidation from "../../Invalidation.ts"
import * as Inside from "../service/insideTransaction.ts"
import { inside as insideService } from "../service/model.ts"
import type { Collected } from "./model.ts"

/** For whom is collected: what makes the transaction, and whether what is collected is saved before the commit. */
export interface Owner {
  readonly transaction: unknown
  readonly saves: boolean
}

/** Collecting without a transaction: nothing of it is delivered, so nothing need be saved. */
export const noTransaction: Owner = { transaction: undefined, saves: true }

/** What one transaction, or one savepoint, collects. */
export class Collector implements Inside.Ending {
  /** The service as it is outside of all transactions. */
  readonly outside: CacheService.CacheService
  readonly owner: Owner
  /** What is to be done when all is delivered. */
  readonly after: Array<Effect.Effect<void>> = []
  readonly changes: Array<Change.Change> = []
  readonly fences: Array<CacheStore.Fence> = []
  private readonly around: Collector | undefined
  private batches: Array<Invalidation.Invalidation> = []
  private ended = false

  /** `around` collects from those who are still at work when this one has ended. */
  constructor(outside: CacheService.CacheService, owner: Owner, around: Collector | undefined) {
    this.outside = outside
    this.owner = owner
    this.around = around
  }

  /** What collects now; undefined once all is committed, and everything is delivered at once. */
  get current(): Collector | undefined {
    return this.ended ? this.around?.current : this
  }

  get open(): boolean {
    return this.current !== undefined
  }

  end(): void {
    this.ended = true
  }

  get invalidation(): Invalidation.Invalidation {
    const all = Invalidation.combineAll(this.batches)
    this.batches = [all]
    return all
  }

  add(batch: Invalidation.Invalidation): void {
    this.current?.batches.push(batch)
  }

  addFence(fence: CacheStore.Fence): void {
    this.current?.fences.push(fence)
  }

  /** What is to be delivered for another one. */
  addAll({ changes, invalidation }: Collected): void {
    for (const change of changes) this.changes.push(change)
    this.add(invalidation)
  }

  /** What is to be done for another one, whether it is delivered or not. */
  addEndingOf({ after, fences }: Collector): void {
    for (const done of after) this.after.push(done)
    for (const fence of fences) this.fences.push(fence)
  }

  get isEmpty(): boolean {
    return this.changes.length === 0 && this.batches.every(Invalidation.isEmpty)
  }
}

/** What collects for the transaction that we are in. */
export const collectorOf = (service: CacheService.CacheService): Collector | undefined => {
  const { collecting } = insideService(service)
  return collecting instanceof Collector ? collecting.current : undefined
}

/** Runs an effect as the inside of a transaction. What it collects counts if it succeeds. */
export const inside = <A, E, R>(
  outside: CacheService.CacheService,
  owner: Owner,
  around: Collector | undefined,
  effect: Effect.Effect<A, E, R>,
  ended: (collector: Collector, succeeded: boolean) => void
): Effect.Effect<A, E, Exclude<R, CacheService.CacheService>> =>
  Effect.suspend(() => {
    const collector = new Collector(outside, owner, around)
    return effect.pipe(
      Effect.provideService(CacheService.CacheService, Inside.within(insideService(outside), collector)),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          collector.end()
          ended(collector, Exit.isSuccess(exit))
        })
      )
    )
  })

/** Takes fences away. One that cannot be taken away runs out by itself. */
export const lift = (
  service: CacheService.CacheService,
  fences: ReadonlyArray<CacheStore.Fence>
): Effect.Effect<void> => Effect.forEach(fences, (fence) => Effect.ignore(service.store.lift(fence)), { discard: true })
