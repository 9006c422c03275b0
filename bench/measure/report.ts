/**
 * What is printed, and what is written to a file.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { cpus, totalmem } from "node:os"
import { dirname, join } from "node:path"
import type { RatioTable, Report, Result } from "../stampede/report.ts"
import { seed as stampedeSeed } from "../stampede/run.ts"
import type { Aim } from "./aims.ts"
import { type Measured, type Row, seed, type Spread, summarize } from "./harness.ts"
import type { Traffic } from "./redisTraffic.ts"

const nameWidth = 42

const number = (value: number): string =>
  Math.abs(value) >= 1000
    ? Math.round(value).toLocaleString("en").replaceAll(",", " ")
    : value >= 100
    ? value.toFixed(0)
    : value >= 10
    ? value.toFixed(1)
    : value.toFixed(2)

const cells = (spread: Spread | undefined, width: number): string =>
  spread === undefined
    ? "-".padStart(width) + " ".repeat(width + 5)
    : `${number(spread.median).padStart(width)} ${`${number(spread.low)}..${number(spread.high)}`.padEnd(width + 4)}`

const line = ({ name, nanos, net, ratio }: Row, hasNet: boolean): string =>
  [
    `  ${name.padEnd(nameWidth - 2)}`,
    number(nanos.median).padStart(11),
    cells(ratio, 8),
    ...(hasNet ? [cells(net, 8)] : [])
  ].join(" ").trimEnd()

const header = (table: Measured["table"]): string => {
  const columns = ["ns/op".padStart(11), (table.rate === true ? "rate" : "ratio").padStart(8) + " quartiles".padEnd(13)]
  if (table.baseline !== undefined) columns.push("less loop".padStart(9))
  return `${" ".repeat(nameWidth)} ${columns.join(" ")}`
}

/** A table for the terminal, 100 columns wide. */
export const format = (measured: Measured): string => {
  const { table } = measured
  return [
    "",
    table.title,
    ...(table.note === undefined ? [] : [`  ${table.note}`]),
    `  ${table.rate === true ? "rate: operations in the time of one by" : "ratio: to"} "${table.reference}"${
      table.baseline === undefined ? "" : `; less loop: with "${table.baseline}" taken off both`
    }`,
    header(table),
    ...summarize(measured).map((row) => line(row, table.baseline !== undefined))
  ].join("\n")
}

// So far a median moves by itself between two runs on a shared machine.
const slack = 1.05

const verdict = ({ aim, atLeast, ratio: { median } }: Aim): string =>
  aim === undefined
    ? ""
    : `${(atLeast === true ? median >= aim / slack : median <= aim * slack) ? "reached" : "missed"} (${aim})`

/** What is aimed for, and whether it is reached. */
export const formatAims = (aims: ReadonlyArray<Aim>): string =>
  [
    "",
    "aims",
    ...aims.map((each) => `${cells(each.ratio, 8)} ${verdict(each).padEnd(13)} ${each.what}`)
  ].join("\n")

/** The version of a package that is installed; looked for from here upwards, since packages need not export their package.json. */
export const versionOf = (name: string): string => {
  const require = createRequire(import.meta.url)
  for (const folder of require.resolve.paths(name) ?? []) {
    try {
      return JSON.parse(readFileSync(join(folder, name, "package.json"), "utf8")).version
    } catch {
      continue
    }
  }
  return "unknown"
}

const packages = [
  "effect",
  "lru-cache",
  "ioredis",
  "bentocache",
  "@epic-web/cachified",
  "cacheable",
  "@keyv/redis",
  "@redis/client",
  "async-cache-dedupe"
]

/** What the figures depend on besides the code. */
export const machine = () => ({
  cpu: cpus()[0]?.model.trim() ?? "unknown",
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  platform: `${process.platform} ${process.arch}`,
  node: process.version,
  v8: process.versions.v8,
  versions: Object.fromEntries(packages.map((name) => [name, versionOf(name)]))
})

export type Machine = ReturnType<typeof machine>

export const formatMachine = (all: Machine): string =>
  [
    `${all.cpu}, ${all.cores} cores, ${all.memoryGiB} GiB, ${all.platform}, node ${all.node}, V8 ${all.v8}`,
    Object.entries(all.versions).map(([name, version]) => `${name} ${version}`).join(", ")
  ].join("\n")

const raw = (measured: Measured) => ({
  ...measured.table,
  summary: summarize(measured),
  nanosPerOperation: Object.fromEntries(measured.samples)
})

const ratiosOf = (measured: Measured): RatioTable => ({
  title: measured.table.title,
  note: measured.table.note,
  reference: measured.table.reference,
  rate: measured.table.rate === true,
  rows: summarize(measured).map(({ name, nanos, ratio }) => ({ name, nanos: nanos.median, ratio }))
})

/** All that a run has measured. */
export interface Run {
  readonly mode: string
  /** How to run it again. */
  readonly command: string
  readonly startedAt: Date
  readonly tables: ReadonlyArray<Measured>
  readonly traffic: ReadonlyArray<Traffic>
  readonly results: ReadonlyArray<Result>
}

/** Writes everything that was measured, and the page that shows it; says where, within the project. */
export const save = async ({ command, mode, results, startedAt, tables, traffic }: Run): Promise<string> => {
  const folder = join(dirname(new URL(import.meta.url).pathname), "../results")
  const name = `${mode}-${startedAt.toISOString().slice(0, 19).replaceAll(":", "-")}`
  const report: Report = {
    startedAt: startedAt.toISOString(),
    command,
    seed: stampedeSeed,
    machine: formatMachine(machine()),
    results,
    tables: tables.map(ratiosOf)
  }
  mkdirSync(folder, { recursive: true })
  const data = { mode, ...report, ratioSeed: seed, about: machine(), traffic, raw: tables.map(raw) }
  writeFileSync(join(folder, `${name}.json`), JSON.stringify(data, undefined, 1))
  // A bundler is loaded for it, which nothing that is measured needs.
  const { buildPage } = await import("../laboratory/build.ts")
  writeFileSync(join(folder, `${name}.html`), await buildPage(report))
  return `to look at: bench/results/${name}.html, raw data in bench/results/${name}.json`
}
