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
  inspect: (address) =>
    Effect.gen(function*() {
      const [text, lease] = yield* transport.get("inspect", [names.entry(address), names.lease(address)])
      const own = Wire.keyOf(address)
      const written = typeof text === "string" ? Wire.readEntry(text, clock.behind, own) : undefined
      const all = written?.names ?? []
      const markers = all.length === 0 ? [] : yield* transport.get("inspect", all.map((name) => names.marker(name)))
      const markerOf = new Map(all.map((name, i) => [name, markers[i] ?? null]))
      const found = written && Wire.changesOf(written, (name) => markerOf.get(name))
      const { changed, key } = Wire.apartFromKey(found, own)
      const [, fences] = yield* run("inspect", Scripts.fencesNow, [names.fences], [])
      const over = Wire.isStrings(fences) ? fences.filter((_, i) => i % 2 === 1) : []
      // Its time is not known: the marker of a key is taken away.
      const removed = key === "hard" ? { because: "the key was invalidated", at: Number.NaN } : undefined
      return {
        entry: written && { ...written, changed, softened: key === "soft" || written.softened },
        changedAt: new Map([...changed?.keys() ?? []].flatMap((name) => {
          const at = Wire.replacedAt(markerOf.get(name) ?? "")
          return at === undefined ? [] : [[name, at] as const]
        })),
        removed,
        leased: typeof lease === "string" ? /^[01]([^\n]*)\n/.exec(lease)?.[1] : undefined,
        fenced: over.some((text) =>
          Invalidation.covers(Wire.coveredBy(text), address.key, written?.stamp.dependencies ?? address.known)
        )
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
