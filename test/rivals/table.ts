/**
 * The table of `docs/comparison.md`, so that what it says can be compared with
 * what the programs see.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { libraries, type Library, packages } from "../../bench/rivals/caches.ts"
import type { Claim } from "../../bench/rivals/claim.ts"
import { root } from "../support/modules.ts"

const cellsOf = (line: string): ReadonlyArray<string> => line.split("|").slice(1, -1).map((cell) => cell.trim())

/** The table of a page that compares this library with others: its header, and its rows. */
const tableOf = (file: string) => {
  const lines = fs.readFileSync(path.join(root, file), "utf8").split("\n")
  const start = lines.findIndex((line) => /^\| +\| this library \|/.test(line))
  const length = lines.slice(start).findIndex((line) => !line.startsWith("|"))
  const [header = [], , ...rows] = lines.slice(start, start + length).map(cellsOf)
  return { header, rows }
}

const { header, rows } = tableOf("docs/comparison.md")

/** As the header names the libraries, with their versions. */
export const columns: ReadonlyArray<string> = header.slice(1)

export const titles: ReadonlyArray<string> = rows.map(([title]) => title!)

export const columnOf = (library: Library): number =>
  header.findIndex((name) => library === "ours" ? name === "this library" : name.startsWith(`${packages[library]} `))

/** The word of a cell, without its note. */
const saidOf = (title: string, library: Library): string | undefined =>
  rows.find(([name]) => name === title)?.[columnOf(library)]?.split(" ")[0]

const withoutNote = (cell: string): string => cell.replace(/ \[\^\w+\]$/, "")

/** What the README says, and what it must say to be a part of this table. */
export const excerpt = () => {
  const readme = tableOf("README.md")
  const expected = readme.rows.map(([title]) => {
    const row = rows.find(([name]) => name === title)
    return readme.header.map((column) => withoutNote(row?.[header.indexOf(column)] ?? "not in the table"))
  })
  return { actual: readme.rows, expected }
}

/** Runs the programs, and compares each with its cell. */
export const compare = (claims: ReadonlyArray<Claim>): void => {
  describe.each(claims)("$title", ({ programs, title }) => {
    it.each(libraries)("%s", async (library) => {
      const { verdict, what } = await programs[library]()
      assert.strictEqual(saidOf(title, library), verdict, `in docs/comparison.md; the program saw: ${what}`)
    })
  })
}
