/** What is known of a key, and which keys are stored. */
import * as Effect from "effect/Effect"
import type { CacheStore } from "../../CacheStore.ts"
import * as Invalidation from "../../Invalidation.ts"
import * as Key from "../../Key.ts"
import * as Scripts from "./scripts.ts"
import type { Session } from "./session.ts"
import * as Wire from "./wire.ts"

export type Inspecting = Pick<CacheStore, "inspect" | "scan">

export const make = ({ clock, names, run, transport }: Session): Inspecting => ({
  inspect: (key, known = []) =>
    Effect.gen(function*() {
      const [text, lease] = yield* transport.get("inspect", [names.entry(key), names.lease(key)])
      const written = typeof text === "string" ? Wire.readEntry(text, clock.behind) : undefined
      const dependencies = written?.stamp.dependencies ?? known
      const markers = dependencies.length === 0
        ? []
        : yield* transport.get("inspect", dependencies.map((name) => names.marker(name)))
      const markerOf = new Map(dependencies.map((name, i) => [name, markers[i] ?? null]))
      const changed = written && Wire.changesOf(written, (name) => markerOf.get(name))
      const [, fences] = yield* run("inspect", Scripts.fencesNow, [names.fences], [])
      const over = Wire.isStrings(fences) ? fences.filter((_, i) => i % 2 === 1) : []
      return {
        entry: written && { ...written, changed },
        changedAt: new Map([...changed?.keys() ?? []].flatMap((name) => {
          const at = Wire.replacedAt(markerOf.get(name) ?? "")
          return at === undefined ? [] : [[name, at] as const]
        })),
        removed: undefined,
        leased: typeof lease === "string" ? /^[01]([^\n]*)\n/.exec(lease)?.[1] : undefined,
        fenced: over.some((text) => Invalidation.covers(Wire.coveredBy(text), key, dependencies))
      }
    }),

  scan: ({ cursor, limit, pattern }) =>
    Effect.map(
      transport.page("scan", names.globs(pattern ?? "everything")[1], Math.max(1, Math.ceil(limit)), cursor),
      (page) => {
        // The server may give a name twice; its globs find a few too many.
        const keys = new Set(page.keys.flatMap((name) => names.keyOf(name) ?? []))
        return {
          keys: [...keys].filter((key) => pattern === undefined || Key.matches(pattern, key)),
          cursor: page.cursor
        }
      }
    )
})
