/**
 * Pipelines of our own. Those that the package makes by itself wait until
 * the one before is answered: a read of a far server would take twice as long
 * whenever something else is under way.
 */
import type { Pipeline, Raw } from "./raw.ts"

type Answer = readonly [error: Error | null, value: unknown]

const answersOf = (pipeline: Pipeline): Promise<ReadonlyArray<Answer>> =>
  pipeline.exec().then((answers) => {
    if (answers === null) throw new Error("no answer")
    return answers
  })

const valueOf = ([error, value]: Answer): unknown => {
  if (error !== null) throw error
  return value
}

/** The answers to a pipeline; the first error is that of all. */
export const valuesOf = (pipeline: Pipeline): Promise<ReadonlyArray<unknown>> =>
  answersOf(pipeline).then((answers) => answers.map(valueOf))

/** The values of string keys of one server. */
export const getAll = (raw: Raw, keys: ReadonlyArray<string>): Promise<unknown> =>
  valuesOf(raw.pipeline().mget(keys)).then(([values]) => values)

interface Turn {
  readonly pipeline: Pipeline
  count: number
  readonly answers: Promise<ReadonlyArray<Answer>>
}

// The server answers others between two pipelines.
const mostCommands = 256

/** Asks for a key; all that is asked for in one turn of the event loop goes to a server as one. */
export const getTogether = (): (raw: Raw, key: string) => Promise<unknown> => {
  const turns = new Map<Raw, Turn>()
  const begin = (raw: Raw): Turn => {
    const pipeline = raw.pipeline()
    const answers = Promise.resolve().then(() => {
      if (turns.get(raw) === turn) turns.delete(raw)
      return answersOf(pipeline)
    })
    const turn: Turn = { pipeline, count: 0, answers }
    turns.set(raw, turn)
    return turn
  }
  return (raw, key) => {
    let turn = turns.get(raw)
    if (turn === undefined || turn.count === mostCommands) turn = begin(raw)
    const place = turn.count++
    turn.pipeline.get(key)
    return turn.answers.then((answers) => valueOf(answers[place]!))
  }
}
