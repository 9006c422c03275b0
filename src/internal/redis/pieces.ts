/** An invalidation of any length, in pieces that one script can take: the server does nothing else while it runs. */
import type { Dependency } from "../../Dependency.ts"
import * as Invalidation from "../../Invalidation.ts"
import type { Mode } from "../../Verdict.ts"
import { slices } from "../slices.ts"

export interface Piece {
  readonly keys: ReadonlyArray<readonly [string, Mode]>
  readonly names: ReadonlyArray<readonly [Dependency, Mode]>
}

/** The most targets of one script. */
export const pieceSize = 200

export const emptyPiece: Piece = { keys: [], names: [] }

export const piecesOf = (batch: Invalidation.Invalidation): ReadonlyArray<Piece> => {
  const targets = [
    ...[...batch.keys].map(([key, mode]) => ({ key, mode })),
    ...[...batch.dependencies].map(([name, mode]) => ({ name, mode }))
  ]
  return slices(targets, pieceSize).map((some) => ({
    keys: some.flatMap((one) => "key" in one ? [[one.key, one.mode] as const] : []),
    names: some.flatMap((one) => "name" in one ? [[one.name, one.mode] as const] : [])
  }))
}

export const asInvalidation = ({ keys, names }: Piece): Invalidation.Invalidation => {
  const inMode = (mode: Mode) =>
    Invalidation.combine(
      Invalidation.keys(keys.filter(([, one]) => one === mode).map(([key]) => key)),
      Invalidation.dependencies(names.filter(([, one]) => one === mode).map(([name]) => name))
    )
  return Invalidation.combine(inMode("hard"), Invalidation.soft(inMode("soft")))
}
