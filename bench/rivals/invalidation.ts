/**
 * What becomes of an invalidation, or of a write, while a load is under way.
 *
 * The caches of these programs come in pairs: the one that reads, and the one
 * that invalidates. In memory they are one and the same; on a Redis they are two
 * that share nothing but the server, as two processes would.
 */
import type { Cache } from "./caches.ts"
import { holds, no, type Seen, yes } from "./claim.ts"
import { gate, heldLoad, settle } from "./schedule.ts"

export interface Pair {
  readonly reader: Cache
  readonly writer: Cache
  /** Lets the time of day move on: some libraries order what happens by milliseconds. */
  readonly nextMoment: () => Promise<unknown>
}

const key = "7"

/** Whether what is read when everything is over is the new row. */
const inTheEnd = async ({ reader, writer }: Pair): Promise<Seen> => {
  const load = async () => "new"
  const read = [await reader.get(key, load), await writer.get(key, load)]
  return holds(read.every((value) => value === "new"), "every later read is given the old row", "the new row is read")
}

/** A load has read the old row, and answers after `change` has written the new one and has returned. */
const duringALoad = async (pair: Pair, change: () => Promise<unknown>): Promise<Seen> => {
  let row = "old"
  const { answer, began, load } = heldLoad(() => row)
  const first = pair.reader.get(key, load)
  await began.opened
  row = "new"
  await change()
  await pair.nextMoment()
  answer.open()
  await first
  return inTheEnd(pair)
}

/** The load begins, the write commits, the invalidation returns, the load ends. */
export const invalidatedDuringALoad = (pair: Pair): Promise<Seen> =>
  duringALoad(pair, () => pair.writer.invalidate(key))

/** The same by a tag. */
export const tagInvalidatedDuringALoad = async (pair: Pair): Promise<Seen> =>
  pair.writer.invalidateTag === undefined ? no("there are no tags") : duringALoad(pair, pair.writer.invalidateTag)

/** The same with a value that is set in place of an invalidation. */
export const setDuringALoad = (pair: Pair): Promise<Seen> => duringALoad(pair, () => pair.writer.set(key, "new"))

/** A second read, after the invalidation, while the load from before it still runs. */
export const askedAfterAnInvalidation = async ({ nextMoment, reader, writer }: Pair): Promise<Seen> => {
  let row = "old"
  const { answer, began, load } = heldLoad(() => row)
  const first = reader.get(key, load)
  await began.opened
  row = "new"
  await writer.invalidate(key)
  await nextMoment()
  const late = reader.get(key, async () => row)
  await settle()
  answer.open()
  await first
  return holds(await late === "new", "given the old row: it waited for the load from before", "given the new row")
}

/** A writer dies right after its commit. There was a read between its first step and the commit. */
export const diedAfterTheCommit = async (pair: Pair): Promise<Seen> => {
  const { reader, writer } = pair
  let row = "old"
  const [started, commit, committed, end] = [gate(), gate(), gate(), gate()]
  await reader.get(key, async () => row)
  const write = writer.write(key, async () => {
    started.open()
    await commit.opened
    row = "new"
    committed.open()
    // Nothing of the writer runs any more, until the program is over.
    await end.opened
  })
  await started.opened
  await reader.get(key, async () => row)
  commit.open()
  await committed.opened
  const seen = await inTheEnd(pair)
  end.open()
  await write
  return seen
}

/** Both have read the old row, and one of them invalidates it. */
export const invalidatedForAll = async (pair: Pair): Promise<Seen> => {
  const { nextMoment, reader, writer } = pair
  for (const cache of [reader, writer]) await cache.get(key, async () => "old")
  await writer.invalidate(key)
  await nextMoment()
  return inTheEnd(pair)
}

/** Tags end what has them. */
export const endedByATag = async ({ nextMoment, reader, writer }: Pair): Promise<Seen> => {
  if (writer.invalidateTag === undefined) return no("there are no tags")
  await reader.get(key, async () => "old")
  await writer.invalidateTag()
  await nextMoment()
  return await reader.get(key, async () => "new") === "new" ? yes("it is loaded again") : no("it is kept")
}
