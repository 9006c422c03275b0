/**
 * What is told of each strategy: the columns of the table, and the axes of the picture of what they cost.
 */
import type { Outcome } from "../../stampede/report.ts"
import { count, duration, percent } from "../../stampede/terminal.ts"

export type Unit = "count" | "share" | "millis" | "bytes"

export interface Measure {
  readonly id: string
  readonly title: string
  /** In the table, where columns are narrow. */
  readonly head: string
  readonly about: string
  readonly unit: Unit
  /** Undefined where there is nothing to tell. */
  readonly value: (outcome: Outcome) => number | undefined
}

const measure = (
  id: string,
  unit: Unit,
  title: string,
  head: string,
  about: string,
  value: Measure["value"]
): Measure => ({ id, unit, title, head, about, value })

/** Who keeps nothing has no expiries. */
const perExpiry = (figure: "mean" | "p99" | "most"): Measure["value"] => ({ summary }) =>
  summary.perExpiry.expiries === 0 ? undefined : summary.perExpiry[figure]

export const measures: ReadonlyArray<Measure> = [
  measure(
    "loadsMean",
    "count",
    "Loads per expiry",
    "loads per expiry",
    "Loads that began from one and the same entry, on average. One is enough.",
    perExpiry("mean")
  ),
  measure(
    "loadsSimulated",
    "count",
    "Loads per expiry, in virtual time",
    "simulated",
    "What the simulation says of the same scenario: it shows whether the simulation is a fiction.",
    ({ simulated }) =>
      simulated === undefined || simulated.perExpiry.expiries === 0 ? undefined : simulated.perExpiry.mean
  ),
  measure("loadsP99", "count", "Loads per expiry, p99", "p99", "Of a hundred expiries one had more.", perExpiry("p99")),
  measure("loadsMost", "count", "Loads per expiry, most", "most", "The worst expiry.", perExpiry("most")),
  measure(
    "ideal",
    "count",
    "Loads, as a multiple of the ideal",
    "times ideal",
    "All loads, divided by those that would be enough: one whenever something is asked for that has ended.",
    ({ summary }) => 1 + summary.extra
  ),
  measure(
    "lifetime",
    "count",
    "Loads per lifetime",
    "per lifetime",
    "Loads in the time in which an entry would end by itself or by an invalidation; of one key, on average.",
    ({ summary }) => summary.loadsPerLifetime
  ),
  measure(
    "atOnce",
    "count",
    "Most loads at once",
    "most at once",
    "How many loads the origin had to bear at the same time.",
    ({ summary }) => summary.mostAtOnce
  ),
  measure(
    "p50",
    "millis",
    "Latency, median",
    "latency p50",
    "Half of all requests took no longer.",
    ({ summary }) => summary.latency.p50
  ),
  measure(
    "p99",
    "millis",
    "Latency, p99",
    "p99",
    "Of a hundred requests one took longer.",
    ({ summary }) => summary.latency.p99
  ),
  measure(
    "p999",
    "millis",
    "Latency, p99.9",
    "p99.9",
    "Of a thousand requests one took longer.",
    ({ summary }) => summary.latency.p999
  ),
  measure(
    "most",
    "millis",
    "Latency, longest",
    "longest",
    "The request that took longest.",
    ({ summary }) => summary.latency.most
  ),
  measure(
    "p99Around",
    "millis",
    "Latency around an expiry, p99",
    "p99 around",
    "Of the requests that came near an expiry, or an invalidation: in the window of the pictures above.",
    ({ summary }) => summary.latencyAround.p99
  ),
  measure(
    "mostAround",
    "millis",
    "Latency around an expiry, longest",
    "longest around",
    "The request near an expiry that took longest.",
    ({ summary }) => summary.latencyAround.most
  ),
  measure(
    "waited",
    "share",
    "Requests that waited",
    "waited",
    "The share of requests that took a tenth of a load or longer.",
    ({ summary }) => summary.waited
  ),
  measure(
    "waitedSimulated",
    "share",
    "Requests that waited, in virtual time",
    "simulated",
    "What the simulation says of the same scenario.",
    ({ simulated }) => simulated?.waited
  ),
  measure(
    "waitedAround",
    "share",
    "Requests near an expiry that waited",
    "waited around",
    "The same, of the requests that came near an expiry.",
    ({ summary }) => summary.waitedAround
  ),
  measure(
    "failed",
    "share",
    "Requests that failed",
    "failed",
    "The share of requests that got no answer but an error.",
    (
      { summary }
    ) => summary.failed
  ),
  measure(
    "past",
    "share",
    "Served past its lifetime",
    "past lifetime",
    "The share of requests that were given a value older than a lifetime.",
    ({ summary }) => summary.pastLifetime
  ),
  measure(
    "untrue",
    "share",
    "Served what was not true any more",
    "untrue",
    "The share of requests that were given what had changed at the origin before they came.",
    ({ summary }) => summary.untrue.share
  ),
  measure(
    "untrueMean",
    "millis",
    "Untrue for, on average",
    "untrue for",
    "How long it had not been true any more, on average.",
    ({ summary }) => summary.untrue.share === 0 ? undefined : summary.untrue.mean
  ),
  measure("untrueMost", "millis", "Untrue for, at most", "at most", "How long it had not been true, at the worst.", (
    { summary }
  ) => summary.untrue.share === 0 ? undefined : summary.untrue.most),
  measure(
    "operations",
    "count",
    "Operations per request",
    "operations",
    "How often the store was asked, for each request.",
    ({ summary }) => Object.values(summary.operations).reduce((sum, one) => sum + one, 0)
  ),
  measure(
    "commands",
    "count",
    "Commands per request",
    "commands",
    "Commands that the server counted, for each request.",
    ({ traffic }) => traffic?.commands
  ),
  measure(
    "bytesIn",
    "bytes",
    "Bytes to the server per request",
    "bytes in",
    "What the server received, for each request.",
    (
      { traffic }
    ) => traffic?.bytesIn
  ),
  measure(
    "bytesOut",
    "bytes",
    "Bytes from the server per request",
    "bytes out",
    "What the server sent, for each request.",
    (
      { traffic }
    ) => traffic?.bytesOut
  )
]

export const measureOf = (id: string): Measure => measures.find((one) => one.id === id) ?? measures[0]!

/** A number that there is. What was not written as one, since it was none, is none. */
export const numberOf = ({ value }: Measure, outcome: Outcome): number | undefined => {
  const number = value(outcome)
  return number === undefined || number === null || !Number.isFinite(number) ? undefined : number
}

const texts: Readonly<Record<Unit, (value: number) => string>> = {
  count: (value) => value >= 10_000 ? Math.round(value).toLocaleString("en") : count(value),
  share: (value) => value === 0 ? "0" : percent(value),
  millis: duration,
  bytes: (value) => `${Math.round(value)} B`
}

export const format = (unit: Unit, value: number | undefined): string => value === undefined ? "–" : texts[unit](value)
