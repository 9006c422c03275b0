/**
 * A row of the table in `docs/comparison.md`, and the program that shows what it
 * says of each cache that is run.
 */
import { libraries, type Library } from "./caches.ts"

export type Verdict = "yes" | "partly" | "no"

/** What a program found, and what it saw. */
export interface Seen {
  readonly verdict: Verdict
  readonly what: string
}

export const yes = (what: string): Seen => ({ verdict: "yes", what })
export const partly = (what: string): Seen => ({ verdict: "partly", what })
export const no = (what: string): Seen => ({ verdict: "no", what })
export const holds = (condition: boolean, otherwise: string, what: string): Seen =>
  condition ? yes(what) : no(otherwise)

export type Program = () => Promise<Seen>

export interface Claim {
  /** As the table says it. */
  readonly title: string
  readonly programs: Readonly<Record<Library, Program>>
}

export const each = (program: (library: Library) => Program): Claim["programs"] =>
  Object.fromEntries(libraries.map((library) => [library, program(library)])) as Record<Library, Program>
