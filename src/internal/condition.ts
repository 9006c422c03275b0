/**
 * How a store was last seen by this process: whether it answers, since when it
 * does not, and what that has cost. It says so in the log, once when the store is
 * lost and once when it is back.
 *
 * A store is lost while a circuit around it is open, also one by which nothing is
 * refused.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { Circuit, type Limits, type Ticket } from "./circuit.ts"
import { elapsed } from "./deadline.ts"
import { tellEvery } from "./seldom.ts"

/** What a store may be lost for: one that takes no writes may still be read. */
export type Part = "reads" | "writes"

/** What is told of a `StoreError`. */
export interface Failure {
  readonly operation: string
  readonly reason: { readonly _tag: string }
  readonly cause?: unknown
}

/** Since when, by the wall clock and by the monotonic one, and the failure by which it was known. */
export interface Lost {
  readonly since: number
  readonly ticks: number
  readonly error: Failure
}

export type AnyFiber = Fiber.Fiber<unknown, unknown>

// What stands before the host in a URL may be a password.
const withoutSecrets = (text: string): string => text.replace(/\/\/[^\s/@]*@/g, "//")

const wordsOf = ({ cause, reason }: Failure): string =>
  cause instanceof Error ? withoutSecrets(cause.message) : reason._tag === "Timeout" ? "no answer in time" : reason._tag

export class Condition {
  readonly store: string
  /** In the order in which they were lost. */
  readonly lost = new Map<Part, Lost>()
  /** Asks the store whether it is back, where it is lost. */
  readonly tryAgain: Effect.Effect<void>
  /** Loads that were made without it, since it failed first. */
  loads = 0
  private toldAt = -Infinity
  private isTold = false
  private untold = 0

  constructor(store: string, tryAgain: Effect.Effect<void>) {
    this.store = store
    this.tryAgain = tryAgain
  }

  /** Called also for each operation that finds it lost still: what could not be told at once is told later. */
  isLost(part: Part, error: Failure, fiber: AnyFiber): void {
    if (this.isTold && this.lost.has(part)) return
    const clock = fiber.getRef(Clock.Clock)
    const ticks = elapsed(clock)
    if (this.lost.size === 0) this.untold++
    if (!this.lost.has(part)) this.lost.set(part, { since: clock.currentTimeMillisUnsafe(), ticks, error })
    if (this.isTold || ticks < this.toldAt + tellEvery) return
    this.isTold = true
    this.toldAt = ticks
    const before = this.untold - 1
    this.untold = 0
    const facts = { store: this.store, part, operation: error.operation, reason: error.reason._tag }
    log(
      fiber,
      Effect.logWarning(`the store of the cache is lost, and not waited for: ${wordsOf(error)}`).pipe(
        Effect.annotateLogs(before === 0 ? facts : { ...facts, timesBefore: before })
      )
    )
  }

  answers(part: Part, fiber: AnyFiber): void {
    // The first is the oldest.
    const [first] = this.lost.values()
    const wasLost = this.lost.delete(part)
    if (this.lost.size > 0) return
    const { isTold, loads, store } = this
    this.isTold = false
    this.loads = 0
    if (!wasLost || !isTold || first === undefined) return
    const millis = Math.round(elapsed(fiber.getRef(Clock.Clock)) - first.ticks)
    log(fiber, Effect.annotateLogs(Effect.logInfo("the store of the cache is back"), { store, millis, loads }))
  }
}

const log = (fiber: AnyFiber, line: Effect.Effect<void>): void => {
  Effect.runForkWith(fiber.context)(line)
}

/** Operations that fail together: what is learnt from one of them says nothing of others. */
export class Group {
  readonly circuit: Circuit
  /** Why it is left alone. */
  last: Failure | undefined = undefined
  private readonly condition: Condition
  private readonly part: Part | undefined

  /** Without a part it says nothing of the store's condition. */
  constructor(limits: Limits, condition: Condition, part: Part | undefined) {
    this.circuit = new Circuit(limits)
    this.condition = condition
    this.part = part
  }

  succeeded(fiber: AnyFiber): void {
    if (this.circuit.isQuiet) return
    this.circuit.succeeded()
    if (this.part !== undefined) this.condition.answers(this.part, fiber)
  }

  failed(error: Failure, ticket: Ticket, fiber: AnyFiber): void {
    this.last = error
    this.circuit.failed(ticket, elapsed(fiber.getRef(Clock.Clock)), error.reason._tag === "Timeout")
    if (this.circuit.wasOpened) this.tell(fiber)
  }

  interrupted(ticket: Ticket): void {
    this.circuit.interrupted(ticket)
  }

  /** Whether the store is left alone. */
  isOpen(fiber: AnyFiber): boolean {
    if (this.circuit.isQuiet || !this.circuit.isOpen(elapsed(fiber.getRef(Clock.Clock)))) return false
    this.tell(fiber)
    return true
  }

  private tell(fiber: AnyFiber): void {
    if (this.part !== undefined) this.condition.isLost(this.part, this.last!, fiber)
  }
}

// Nothing is stored there, and no load has this lease: to read the one and to give up the other changes nothing.
const nowhere = { key: "effect-cache-algebra:probe", known: [] }

/** Asks a store for something that changes nothing, to see whether it answers. */
export const harmless = <A>(
  store: {
    readonly read: (address: typeof nowhere) => A
    readonly abandon: (address: typeof nowhere, token: string) => A
  },
  part: Part
): A => part === "reads" ? store.read(nowhere) : store.abandon(nowhere, nowhere.key)

// Not a part of the port: whoever writes a store need not know of it, and what is built around one passes it on.
const conditions = Symbol("effect-cache-algebra/conditions")

interface Observed {
  readonly [conditions]?: ReadonlyArray<Condition>
}

/** Those of all stores that a store is made of; none where nobody observes it. */
export const conditionsOf = (store: object): ReadonlyArray<Condition> => (store as Observed)[conditions] ?? []

export const withConditions = <S extends object>(store: S, all: ReadonlyArray<Condition>): S => ({
  ...store,
  [conditions]: all
})
