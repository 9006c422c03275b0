/** When cron expressions tick where clocks are changed: intervals go on, times of day come once a day. */
import { assert, describe, it } from "@effect/vitest"
import { Cron, Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as Cached from "../../src/Cached.ts"
import { lastTick, nextTick, parse } from "../../src/internal/cron.ts"
import * as Key from "../../src/Key.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"

const utc = (minute: string): number => Date.parse(`${minute}Z`)

const show = (millis: number): string => new Date(millis).toISOString().slice(0, 16)

const ticksFrom = (cron: Cron.Cron, since: number, count: number): ReadonlyArray<number> => {
  const ticks: Array<number> = []
  for (let at = since; ticks.length < count;) ticks.push(at = nextTick(cron, at))
  return ticks
}

/** An expression, its zone, from when on, and the ticks, in UTC. */
type Row = readonly [expression: string, zone: string, since: string, ...ticks: ReadonlyArray<string>]

const newYork = "America/New_York"
const rome = "Europe/Rome"
// Its clocks are changed by half an hour.
const lordHowe = "Australia/Lord_Howe"

// The ticks are those of croner 10 and of croniter 6, which were asked; but for the last row of each block they agree.
const intervals: ReadonlyArray<Row> = [
  [
    "*/15 * * * *",
    newYork,
    "2026-11-01T05:20",
    "2026-11-01T05:30",
    "2026-11-01T05:45",
    "2026-11-01T06:00",
    "2026-11-01T06:15",
    "2026-11-01T06:30",
    "2026-11-01T06:45",
    "2026-11-01T07:00"
  ],
  [
    "0 * * * *",
    newYork,
    "2026-11-01T03:30",
    "2026-11-01T04:00",
    "2026-11-01T05:00",
    "2026-11-01T06:00",
    "2026-11-01T07:00"
  ],
  [
    "*/30 * * * *",
    rome,
    "2026-10-24T23:40",
    "2026-10-25T00:00",
    "2026-10-25T00:30",
    "2026-10-25T01:00",
    "2026-10-25T01:30",
    "2026-10-25T02:00"
  ],
  [
    "0 */2 * * *",
    rome,
    "2026-10-24T21:00",
    "2026-10-24T22:00",
    "2026-10-25T00:00",
    "2026-10-25T01:00",
    "2026-10-25T03:00"
  ],
  ["0 0-6 * * *", rome, "2026-10-24T23:30", "2026-10-25T00:00", "2026-10-25T01:00", "2026-10-25T02:00"],
  ["*/15 * * * *", newYork, "2026-03-08T06:40", "2026-03-08T06:45", "2026-03-08T07:00", "2026-03-08T07:15"],
  [
    "0 * * * *",
    lordHowe,
    "2026-04-04T12:30",
    "2026-04-04T13:00",
    "2026-04-04T14:00",
    "2026-04-04T15:30",
    "2026-04-04T16:30"
  ],
  ["*/15 * * * *", lordHowe, "2026-04-04T14:40", "2026-04-04T14:45", "2026-04-04T15:00", "2026-04-04T15:15"],
  ["*/15 * * * *", lordHowe, "2026-10-03T15:10", "2026-10-03T15:15", "2026-10-03T15:30", "2026-10-03T15:45"]
]

// croniter ticks twice on the day that has half past one twice. What the clocks skip comes at once with both of them,
// at 07:00; here it comes as much later as the clocks are changed, as with Effect and cron-parser 5.
const timesOfDay: ReadonlyArray<Row> = [
  ["30 1 * * *", newYork, "2026-10-31T12:00", "2026-11-01T05:30", "2026-11-02T06:30"],
  ["30 1,13 * * *", newYork, "2026-10-31T12:00", "2026-10-31T17:30", "2026-11-01T05:30", "2026-11-01T18:30"],
  ["30 2 * * *", newYork, "2026-03-07T12:00", "2026-03-08T07:30", "2026-03-09T06:30"]
]

describe("ticks where clocks are changed", () => {
  for (const [expression, zone, since, ...expected] of [...intervals, ...timesOfDay]) {
    it(`${expression} in ${zone} from ${since}`, () => {
      const cron = parse("test", expression, zone)
      assert.deepStrictEqual(ticksFrom(cron, utc(since), expected.length).map(show), expected)
      const last = expected.map(utc).reverse()
      for (const [i, tick] of last.entries()) {
        assert.strictEqual(show(lastTick(cron, tick)), show(tick))
        if (i > 0) assert.strictEqual(show(lastTick(cron, last[i - 1]! - 1)), show(tick))
      }
    })
  }

  it("a time that the clocks skip comes also when it is asked for after they were changed", () => {
    const cron = parse("test", "30 2 * * *", newYork)
    for (const since of ["2026-03-08T06:59", "2026-03-08T07:00", "2026-03-08T07:10", "2026-03-08T07:29"]) {
      assert.strictEqual(show(nextTick(cron, utc(since))), "2026-03-08T07:30", since)
    }
    assert.strictEqual(show(nextTick(cron, utc("2026-03-08T07:30"))), "2026-03-09T06:30")
  })

  it("in the first, the second or both of two equal times, if a `Cron` says so", () => {
    const next = (onDstOverlap: Cron.DstOverlapPolicy) =>
      ticksFrom(Cron.parseUnsafe("30 1 * * *", newYork, { onDstOverlap }), utc("2026-10-31T12:00"), 3).map(show)
    assert.deepStrictEqual(next("earlier"), ["2026-11-01T05:30", "2026-11-02T06:30", "2026-11-03T06:30"])
    assert.deepStrictEqual(next("later"), ["2026-11-01T06:30", "2026-11-02T06:30", "2026-11-03T06:30"])
    assert.deepStrictEqual(next("both"), ["2026-11-01T05:30", "2026-11-01T06:30", "2026-11-02T06:30"])
  })

  it("what ticks seldom, or never again, ends the search", () => {
    const leap = parse("test", "30 2 29 2 *", newYork)
    assert.strictEqual(show(nextTick(leap, utc("2026-03-01T00:00"))), "2028-02-29T07:30")
    assert.strictEqual(show(lastTick(leap, utc("2026-03-01T00:00"))), "2024-02-29T07:30")
    for (const far of [Infinity, -Infinity, Number.NaN, 8.64e15]) {
      assert.strictEqual(nextTick(leap, far), Infinity)
      assert.strictEqual(lastTick(leap, far), -Infinity)
    }
    assert.strictEqual(show(nextTick(leap, utc("2026-03-01T00:00"))), "2028-02-29T07:30")
  })
})

// -----------------------------------------------------------------------------
// by looking at every minute
// -----------------------------------------------------------------------------

const minute = 60_000

const wallIn = (zone: string) => {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric"
  })
  /** What clocks on the wall show, as if it were in UTC. */
  return (millis: number): number => {
    const part = Object.fromEntries(format.formatToParts(millis).map(({ type, value }) => [type, Number(value)]))
    return Date.UTC(part["year"]!, part["month"]! - 1, part["day"], part["hour"], part["minute"])
  }
}

/** All ticks of some days, by what clocks on the wall show at each minute of them. */
const allTicks = (
  { hours, minutes }: { readonly hours: ReadonlySet<number>; readonly minutes: ReadonlySet<number> },
  interval: boolean,
  zone: string,
  from: number,
  to: number
): ReadonlyArray<number> => {
  const wall = wallIn(zone)
  const matches = (shown: number) => {
    const date = new Date(shown)
    return (minutes.size === 0 || minutes.has(date.getUTCMinutes())) &&
      (hours.size === 0 || hours.has(date.getUTCHours()))
  }
  const ticks = new Set<number>()
  let before = wall(from - minute)
  let latest = before
  for (let at = from; at <= to; at += minute) {
    const shown = wall(at)
    // What was skipped, as much later as the clocks are changed.
    for (let skipped = before + minute; skipped < shown; skipped += minute) {
      if (matches(skipped)) ticks.add(at + skipped - (before + minute))
    }
    if (matches(shown) && (shown > latest || interval)) ticks.add(at)
    before = shown
    latest = Math.max(latest, shown)
  }
  return [...ticks].filter((tick) => tick <= to).sort((a, b) => a - b)
}

/** Zones, and when their clocks are changed. */
const changes = [
  [newYork, "2026-11-01T06:00"],
  [newYork, "2026-03-08T07:00"],
  [rome, "2026-10-25T01:00"],
  [rome, "2026-03-29T01:00"],
  [lordHowe, "2026-04-04T15:00"],
  [lordHowe, "2026-10-03T15:30"],
  // At midnight; by a whole day; and where nothing is changed.
  ["America/Havana", "2026-11-01T05:00"],
  ["Pacific/Apia", "2011-12-30T10:00"],
  ["Asia/Kathmandu", "2026-03-29T01:00"]
] as const

const hourSets: ReadonlyArray<readonly [text: string, interval: boolean]> = [
  ["*", true],
  ["*/2", true],
  ["0-6", true],
  ["0-21/3", true],
  ["0", false],

  ["2", false],
  ["1,2", false],
  ["0,1,3", false]
]

describe("ticks are those that clocks on the wall show, minute by minute", () => {
  for (const [zone, change] of changes) {
    it(`${zone} at ${change}`, () => {
      const [from, to] = [utc(change) - 150 * minute, utc(change) + 210 * minute]
      for (const minutes of ["*/15", "0", "37"]) {
        for (const [hours, interval] of hourSets) {
          const cron = parse("test", `${minutes} ${hours} * * *`, zone)
          const expected = allTicks(cron, interval, zone, from, to)
          const found: Array<number> = []
          for (let at = from - 1; (at = nextTick(cron, at)) <= to;) found.push(at)
          assert.deepStrictEqual(found.map(show), expected.map(show), `${minutes} ${hours}`)
          const back: Array<number> = []
          for (let at = to; (at = lastTick(cron, at)) >= from; at--) back.unshift(at)
          assert.deepStrictEqual(back.map(show), expected.map(show), `${minutes} ${hours}, backwards`)
        }
      }
    })
  }

  it("from any moment, in either direction", () => {
    const expressions = ["*/15 * * * *", "30 2 * * *", "0 3 * * 0", "0 0 1 * *", "15 1 29 2 *", "30 1,13 * * *"]
    const someMoment = fc.integer({ min: utc("2025-01-01T00:00"), max: utc("2029-01-01T00:00") })
    fc.assert(
      fc.property(
        fc.constantFrom(...expressions),
        fc.constantFrom(newYork, rome, lordHowe),
        someMoment,
        (text, zone, at) => {
          const cron = parse("test", text, zone)
          const next = nextTick(cron, at)
          assert.isAbove(next, at)
          assert.strictEqual(lastTick(cron, next), next)
          const last = lastTick(cron, next - 1)
          assert.isAtMost(last, at)
          assert.strictEqual(nextTick(cron, last), next)
        }
      ),
      { numRuns: 300 }
    )
  })
})

describe("an entry until a tick", () => {
  it.effect("of an interval ends in the hour that comes twice", () =>
    Effect.gen(function*() {
      const origin = { loads: 0 }
      const source = { key: Key.unit, value: Schema.Finite, lookup: () => Effect.sync(() => ++origin.loads) }
      const quarters = Policy.until("*/15 * * * *", { timeZone: newYork })
      const get = Cached.get(Cached.make("quarters", source, quarters), undefined)
      yield* TestClock.setTime(utc("2026-11-01T05:50"))
      assert.strictEqual(yield* get, 1)
      yield* TestClock.setTime(utc("2026-11-01T06:00") - 1)
      assert.strictEqual(yield* get, 1)
      yield* TestClock.setTime(utc("2026-11-01T06:00"))
      assert.strictEqual(yield* get, 2)
    }).pipe(Effect.provide(MemoryCache.layer({ capacity: 10 }))))
})
