/**
 * How many lookups of a definition run at once in this process.
 *
 * Whoever finds no free slot waits its turn, in the order in which they came: loads
 * that callers wait for, refreshes in the background, and loads without the store
 * alike. But a lookup for which another with a slot waits, directly or through
 * others, must not wait for a slot itself: they might wait for one another. It runs
 * at once, beside the limit. So each that has a slot goes on, and gives it back.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

/** A lookup that waits for others. */
export interface Waits {
  readonly addWaitedFor: (all: Set<Waits>) => void
}

/** For whom some wait, directly or through others. */
const waitedForBy = (some: Iterable<Waits>): ReadonlySet<Waits> => {
  const all = new Set<Waits>()
  for (const one of some) one.addWaitedFor(all)
  for (const one of all) one.addWaitedFor(all)
  return all
}

/** The slots of the definitions of one name. */
interface Limit {
  most: number
  taken: number
  /** In the order in which they came. */
  readonly waiting: Set<Turn>
}

/** One lookup that waits for a slot, has one, or needs none any more. */
export class Turn {
  readonly limit: Limit
  readonly loading: Waits
  readonly came: Deferred.Deferred<void> = Deferred.makeUnsafe()
  state: "waiting" | "running" | "free" = "waiting"

  constructor(limit: Limit, loading: Waits) {
    this.limit = limit
    this.loading = loading
  }
}

// Of all services of this process: a lookup may read what another service caches, and wait there for a slot.
const running = new Set<Turn>()
const waiting = new Map<Waits, Turn>()

/** Frees those that a running one waits for from waiting for a slot. To be called when one more waits for another. */
export const freeNeeded = (): void => {
  if (waiting.size === 0) return
  for (const loading of waitedForBy(Array.from(running, ({ loading }) => loading))) {
    const turn = waiting.get(loading)
    if (turn === undefined) continue
    stopWaiting(turn)
    turn.state = "free"
    Deferred.doneUnsafe(turn.came, Effect.void)
  }
}

const run = (turn: Turn): void => {
  turn.state = "running"
  turn.limit.taken++
  running.add(turn)
  // Whom its lookup waits for already must not wait for a slot.
  freeNeeded()
}

const stopWaiting = (turn: Turn): void => {
  waiting.delete(turn.loading)
  turn.limit.waiting.delete(turn)
}

/** The slots of a service. */
export class Slots {
  private readonly limits = new Map<string, Limit>()

  /** A definition that is built again shares the slots of its name. */
  limit(name: string, most: number): Limit {
    let limit = this.limits.get(name)
    if (limit === undefined) this.limits.set(name, limit = { most, taken: 0, waiting: new Set() })
    limit.most = most
    return limit
  }

  take(limit: Limit, loading: Waits): Turn {
    const turn = new Turn(limit, loading)
    if (limit.taken < limit.most) run(turn)
    else {
      waiting.set(loading, turn)
      limit.waiting.add(turn)
      freeNeeded()
    }
    return turn
  }

  /** It has ended, or does not wait any more. */
  leave(turn: Turn): void {
    const { limit, state } = turn
    turn.state = "free"
    if (state === "waiting") stopWaiting(turn)
    if (state !== "running") return
    running.delete(turn)
    limit.taken--
    for (const next of limit.waiting) {
      if (limit.taken >= limit.most) break
      stopWaiting(next)
      run(next)
      Deferred.doneUnsafe(next.came, Effect.void)
    }
  }
}
