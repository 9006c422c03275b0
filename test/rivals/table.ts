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

const page = fs.readFileSync(path.join(root, "docs/comparison.md"), "utf8")

const cellsOf = (line: string): ReadonlyArray<string> => line.split("|").slice(1, -1).map((cell) => cell.trim())

const [header = [], , ...rows] = page.split("\n").filter((line) => line.startsWith("|")).map(cellsOf)

/** As the header names the libraries, with their versions. */
export const columns: ReadonlyArray<string> = header.slice(1)

export const titles: ReadonlyArray<string> = rows.map(([title]) => title!)

export const columnOf = (library: Library): number =>
  header.findIndex((name) => library === "ours" ? name === "this library" : name.startsWith(`${packages[library]} `))

/** The word of a cell, without its note. */
const saidOf = (title: string, library: Library): string | undefined =>
  rows.find(([name]) => name === title)?.[columnOf(library)]?.split(" ")[0]

/** Runs the programs, and compares each with its cell. */
export const compare = (claims: ReadonlyArray<Claim>): void => {
  describe.each(claims)("$title", ({ programs, title }) => {
    it.each(libraries)("%s", async (library) => {
      const { verdict, what } = await programs[library]()
      assert.strictEqual(saidOf(title, library), verdict, `in docs/comparison.md; the program saw: ${what}`)
    })
  })
}
