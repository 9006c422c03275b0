/**
 * What orders the steps of a program: gates, turns of the event loop, and a
 * clock that the program turns. Nothing here waits in the hope that something
 * has happened meanwhile.
 */
import { mock } from "node:test"

/** Opens once. */
export interface Gate {
  readonly open: () => void
  readonly isOpen: () => boolean
  readonly opened: Promise<void>
}

export const gate = (): Gate => {
  let isOpen = false
  let resolve: () => void
  const opened = new Promise<void>((done) => {
    resolve = done
  })
  return {
    open: () => {
      isOpen = true
      resolve()
    },
    isOpen: () => isOpen,
    opened
  }
}

/** A load that reads its row at once, and answers when it is let. */
export interface HeldLoad {
  readonly load: () => Promise<string>
  /** It has read its row. */
  readonly began: Gate
  readonly answer: Gate
}

export const heldLoad = (row: () => string): HeldLoad => {
  const [began, answer] = [gate(), gate()]
  const load = async (): Promise<string> => {
    const read = row()
    began.open()
    await answer.opened
    return read
  }
  return { load, began, answer }
}

/** Lets everything run that waits for no gate, no timer and no other process. */
export const settle = async (): Promise<void> => {
  for (let i = 0; i < 50; i++) await new Promise(setImmediate)
}

const start = Date.UTC(2026, 0, 1)

/**
 * Runs a program on a clock that stands still until `later` moves it. It is put
 * in place of `Date` and `setTimeout`, since that is where most of these
 * libraries read the time.
 */
export const onAStillClock = async <A>(program: () => Promise<A>): Promise<A> => {
  mock.timers.enable({ apis: ["Date", "setTimeout"], now: start })
  try {
    return await program()
  } finally {
    // async-cache-dedupe keeps the time of its last look until a timer of a second has run.
    mock.timers.tick(1000)
    mock.timers.reset()
  }
}

/** Moves the clock of `onAStillClock`, by nothing if it is 0, and lets run what was waiting for it. */
export const later = async (millis: number): Promise<void> => {
  await settle()
  mock.timers.tick(millis)
  await settle()
}
