/**
 * What is served when a value has expired, when it is about to, and when its
 * load fails.
 */
import { type Cache, minute } from "./caches.ts"
import { holds, no, partly, type Seen, yes } from "./claim.ts"
import { heldLoad, later, settle } from "./schedule.ts"

const key = "7"

/** A load that takes a few turns of the event loop, as a query does. */
const loadOf = (value: string) => async (): Promise<string> => {
  await settle()
  return value
}

const first = loadOf("first")

/** What is read while a load is held, and what after it. */
const whileItLoads = async (cache: Cache): Promise<Seen> => {
  const { answer, load } = heldLoad(() => "second")
  const read = cache.get(key, load)
  await later(0)
  answer.open()
  const before = await read
  await later(0)
  const after = await cache.get(key, load)
  if (before !== "first") return no("the reader waited for the load")
  return holds(after === "second", "and it was not refreshed", "the old value at once, the new one after the refresh")
}

/** Ten ask at once for what is not there. */
export const tenAtOnce = async (cache: Cache): Promise<Seen> => {
  let loads = 0
  const { answer, load } = heldLoad(() => "first")
  const crowd = Array.from({ length: 10 }, () =>
    cache.get(key, () => {
      loads++
      return load()
    }))
  await settle()
  answer.open()
  await Promise.all(crowd)
  return holds(loads === 1, `${loads} loads`, "one load")
}

/** Something is asked for a minute after it has expired. */
export const expired = async (cache: Cache): Promise<Seen> => {
  await cache.get(key, first)
  await later(2 * minute)
  return whileItLoads(cache)
}

/** Something is asked for that was invalidated softly. */
export const softened = async (cache: Cache): Promise<Seen> => {
  if (cache.soften === undefined) return no("an invalidation removes")
  await cache.get(key, first)
  await later(minute / 2)
  await cache.soften(key)
  return whileItLoads(cache)
}

const failing = () => Promise.reject(new Error("the database is down"))

const orError = (read: Promise<string> | undefined): Promise<string> | undefined => read?.catch(() => "an error")

/** Something has expired, and its load fails. */
export const failedLoad = async (cache: Cache): Promise<Seen> => {
  await cache.get(key, first)
  await later(2 * minute)
  if (await orError(cache.get(key, failing)) === "first") return yes("the last good value")
  await cache.get(key, first)
  return await orError(cache.refresh?.(key, failing)) === "first"
    ? partly("an error, but the last good value where a refresh was forced")
    : no("an error")
}

/** A load has failed, and the key is read again. */
export const askedAfterAFailure = async (cache: Cache): Promise<Seen> => {
  let loads = 0
  const load = () => {
    loads++
    return failing()
  }
  await orError(cache.get(key, load))
  const second = await orError(cache.get(key, load))
  if (loads > 1) return no("loaded again")
  return second === "an error"
    ? yes("the same failure, without a load")
    : partly("the error is served as if it were the value")
}

/** A value that took half a minute to load is read a hundred times shortly before its minute is over. */
export const shortlyBeforeTheEnd = async (cache: Cache): Promise<Seen> => {
  const { answer, began, load } = heldLoad(() => "first")
  const read = cache.get(key, load)
  await began.opened
  await later(minute / 2)
  answer.open()
  await read
  await later(25_000)
  let loads = 0
  for (let i = 0; i < 100; i++) {
    await cache.get(key, async () => {
      loads++
      return "second"
    })
    await settle()
  }
  return holds(loads > 0, "no load before the end", `${loads} early load${loads === 1 ? "" : "s"}`)
}

/** An empty value is to live for a second, any other for an hour. */
export const emptyValue = async (cache: Cache): Promise<Seen> => {
  await cache.get(key, loadOf(""))
  await later(2000)
  const short = await cache.get(key, first) === "first"
  await later(2000)
  const long = await cache.get(key, loadOf("second")) === "first"
  return holds(short && long, "one lifetime for all", "it lived for a second, the next for longer")
}
