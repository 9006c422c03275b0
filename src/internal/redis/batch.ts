/**
 * Reads that are asked for in one turn of the event loop go to the server as
 * one command: a client spends more on a command than on a key.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { StoreError } from "../../CacheStore.ts"
import type { Value } from "./client.ts"

/** One read of a batch: where its keys stand among those of all. */
interface Reader {
  readonly places: ReadonlyArray<number>
  readonly answer: (exit: Exit.Exit<ReadonlyArray<Value>, StoreError>) => void
}

class Batch {
  readonly keys: Array<string> = []
  readonly readers = new Set<Reader>()
  private readonly places = new Map<string, number>()

  /** A key that several ask for, as a hot one or the marker of a common tag, is asked for once. */
  placeOf(key: string): number {
    let place = this.places.get(key)
    if (place === undefined) {
      this.places.set(key, place = this.keys.length)
      this.keys.push(key)
    }
    return place
  }

  settle(exit: Exit.Exit<ReadonlyArray<Value>, StoreError>): void {
    for (const { answer, places } of this.readers) {
      answer(Exit.isFailure(exit) ? exit : Exit.succeed(places.map((place) => exit.value[place] ?? null)))
    }
  }
}

// The server does nothing else while it answers one command.
const mostKeys = 256

/** Reads keys, for an operation. */
export type Get = (
  operation: string,
  keys: ReadonlyArray<string>
) => Effect.Effect<ReadonlyArray<Value>, StoreError>

/** `send` is run once for each batch, with what the first reader has around it. */
export const together = (send: Get): Get => {
  let open: Batch | undefined
  return (operation, keys) =>
    Effect.withFiber((fiber) =>
      Effect.callback((resume) => {
        let batch = open
        if (batch === undefined) {
          const mine = batch = open = new Batch()
          queueMicrotask(() => {
            if (open === mine) open = undefined
            if (mine.readers.size === 0) return
            Effect.runForkWith(fiber.context)(send(operation, mine.keys)).addObserver((exit) => mine.settle(exit))
          })
        }
        const places: Array<number> = []
        for (const key of keys) places.push(batch.placeOf(key))
        const reader: Reader = { places, answer: resume }
        batch.readers.add(reader)
        if (batch.keys.length >= mostKeys) open = undefined
        return Effect.sync(() => {
          batch.readers.delete(reader)
        })
      })
    )
}
