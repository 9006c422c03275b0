import type * as Verdict from "../Verdict.ts"

/** The stronger of two modes: hard, if either is. */
export const stronger = (a: Verdict.Mode | undefined, b: Verdict.Mode | undefined): Verdict.Mode | undefined =>
  a === "hard" || b === "hard" ? "hard" : a ?? b
