/**
 * What the interpreter asks of verdicts.
 */
import * as Verdict from "../Verdict.ts"

/** Whether `self` is as good as `that`, or better. */
export const noWorse = (self: Verdict.Verdict, that: Verdict.Verdict): boolean => Verdict.join(self, that) === self

/** Whether the entry may be served without waiting for a load. */
export const isServable = (self: Verdict.Verdict): boolean => noWorse(self, "Stale")

/** What the change of a dependency does to a verdict: a soft change never makes it worse than `Stale`. */
export const ofChange = (severity: Verdict.Severity, mode: Verdict.Mode): Verdict.Severity =>
  mode === "soft" ? Verdict.join(severity, "Stale") : severity
