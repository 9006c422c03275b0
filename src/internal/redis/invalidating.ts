/**
 * Invalidations in one step and in several, the fence around those of several,
 * and what is announced of each.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { CacheStore, Fence, StoreError } from "../../CacheStore.ts"
import * as Invalidation from "../../Invalidation.ts"
import * as Key from "../../Key.ts"
import type { Mode } from "../../Verdict.ts"
import { add, type Count, sumOf } from "../counts.ts"
import { elapsed } from "../deadline.ts"
import { targetsIn } from "../targets.ts"
import { malformed, numberOf } from "./client.ts"
import { asInvalidation, emptyPiece, type Piece, pieceSize, piecesOf } from "./pieces.ts"
import * as Scripts from "./scripts.ts"
import { journalLife, list, markerLife, type Session, together } from "./session.ts"
import * as Wire from "./wire.ts"

// A fence over more targets is written as one over everything: each load that begins under it reads what it is over.
const mostFenced = 2000

/** Undefined if entries with a version, which end by the marker of their key, may be more. */
const countOf = (operation: string, count: unknown, more: unknown): Effect.Effect<Count, StoreError> =>
  Number.isNaN(numberOf(count) + numberOf(more))
    ? Effect.fail(malformed(operation, count))
    : Effect.succeed(numberOf(more) === 0 ? numberOf(count) : undefined)

export type Invalidating = Pick<CacheStore, "atomic" | "invalidate" | "fence" | "lift">

export const make = ({ names, newNonce, notices, run, settings, split, transport }: Session): Invalidating => {
  const acknowledged = transport.runAcknowledged
  let warned = false

  /** Says once that more is held up than was named. */
  const warnWide = (targets: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (warned || targets <= mostFenced) return Effect.void
      warned = true
      return Effect.logWarning(
        `RedisCache: a fence over ${targets} targets is one over everything, since it is over more than ${mostFenced}: ` +
          "while it stands, no load that begins is stored. A tag that all targets share is one target"
      )
    })

  // ---------------------------------------------------------------------------
  // announcing
  // ---------------------------------------------------------------------------

  /** Announces in this process what the others get from the server. */
  const announceHere = (batch: Invalidation.Invalidation, position: string): void =>
    notices.announcements.publish({
      _tag: "Invalidated",
      invalidation: batch,
      position: Wire.readPosition(position)
    })

  /** Announces what no script does. What is not announced may live on in copies, so it has not succeeded. */
  const announce = (
    operation: string,
    batch: Invalidation.Invalidation,
    position: unknown
  ): Effect.Effect<void, StoreError> =>
    Effect.suspend(() => {
      const known = typeof position === "string" ? position : Wire.unknownPosition(newNonce())
      const message = `${Wire.writeMessage(notices.origin, batch)}\n${known}`
      const publishing = transport.publish(operation, names.invalidated, message)
      return Effect.mapError(
        Effect.andThen(publishing, Effect.sync(() => announceHere(batch, known))),
        (error) => error.ofPart()
      )
    })

  // ---------------------------------------------------------------------------
  // one piece
  // ---------------------------------------------------------------------------

  /** The keys and the arguments of a script that stand for a piece. */
  const targetsOf = ({ keys, names: dependencies }: Piece) => ({
    places: [...keys.flatMap(([key]) => names.ofKey(key)), ...dependencies.map(([name]) => names.marker(name))],
    modes: [
      ...list(keys.map(([, mode]) => mode)),
      ...list(dependencies.map(([name]) => name)),
      ...list(dependencies.map(([, mode]) => mode))
    ]
  })

  const applyAtOnce = (operation: string, piece: Piece, nonce: string): Effect.Effect<Count, StoreError> => {
    const { modes, places } = targetsOf(piece)
    const batch = asInvalidation(piece)
    return Effect.flatMap(
      run(operation, Scripts.invalidate, [names.journal, names.fences, ...places], [
        names.released,
        names.invalidated,
        Wire.writeMessage(notices.origin, batch),
        nonce,
        markerLife,
        journalLife,
        settings.journal,
        ...modes
      ], acknowledged),
      ([, count, more, position]) => {
        announceHere(batch, String(position))
        return countOf(operation, count, more)
      }
    )
  }

  const removeOne = (operation: string, key: string, mode: Mode, nonce: string): Effect.Effect<Count, StoreError> =>
    Effect.flatMap(
      run(operation, Scripts.removeKey, names.ofKey(key), [names.released, mode, nonce], acknowledged),
      ([, count, more]) => countOf(operation, count, more)
    )

  /** Replaces the markers and removes the keys of a piece that the journal knows of. */
  const changeInSteps = (operation: string, piece: Piece, nonce: string): Effect.Effect<Count, StoreError> =>
    Effect.map(
      Effect.all([
        together(piece.keys, ([key, mode]) => removeOne(operation, key, mode, nonce)),
        together(
          piece.names,
          ([name, mode]) =>
            run(operation, Scripts.replaceOne, [names.marker(name)], [mode, nonce, markerLife], acknowledged)
        )
      ], { concurrency: "unbounded" }),
      ([counts]) => sumOf(counts)
    )

  const applyInSteps = (operation: string, piece: Piece, nonce: string): Effect.Effect<Count, StoreError> => {
    const noting = piece.names.length === 0
      ? Effect.succeed(undefined)
      : Effect.map(
        run(operation, Scripts.noteDown, [names.journal, names.fences], [
          nonce,
          journalLife,
          settings.journal,
          ...list(piece.names.map(([name]) => name))
        ], acknowledged),
        ([, position]) => position
      )
    return Effect.flatMap(noting, (position) =>
      Effect.tap(
        changeInSteps(operation, piece, nonce),
        () => announce(operation, asInvalidation(piece), position)
      ))
  }

  const apply = split ? applyInSteps : applyAtOnce

  const atomic = (batch: Invalidation.Invalidation): boolean =>
    batch.patterns.size === 0 && batch.everything === undefined &&
    (split ? batch.dependencies.size === 0 && batch.keys.size <= 1 : targetsIn(batch) <= pieceSize)

  /** In one step, as `atomic` says. */
  const invalidate = (batch: Invalidation.Invalidation): Effect.Effect<number | undefined, StoreError> =>
    Effect.suspend(() => {
      const [piece] = piecesOf(batch)
      if (piece === undefined) return Effect.succeed(0)
      const applied = apply("invalidate", piece, newNonce())
      return batch.dependencies.size > 0 ? Effect.as(applied, undefined) : applied
    })

  // ---------------------------------------------------------------------------
  // patterns, and everything
  // ---------------------------------------------------------------------------

  // A load that is stored while the keyspace is walked had its lease before and has its entry after. Leases are walked
  // first, entries second: whichever way it goes, one of them is found. Markers of keys are walked with the leases: they
  // end entries and loads with a version, and what is made of an entry that is gone.
  const sweepKeys = (
    operation: string,
    which: Key.Pattern | "everything",
    mode: Mode,
    meanwhile: Effect.Effect<void, StoreError>
  ): Effect.Effect<number, StoreError> => {
    let count = 0
    const nonce = newNonce()
    const covered = (found: ReadonlyArray<string>): ReadonlyArray<string> =>
      // The same name can be given twice.
      [...new Set(found)].filter((name) => {
        const key = names.keyOf(name)
        return key !== undefined && (which === "everything" || Key.matches(which, key))
      })
    const releaseAll = (found: ReadonlyArray<string>) =>
      Effect.asVoid(together(
        covered(found),
        (name) =>
          names.isKeyMarker(name)
            ? run(operation, Scripts.replaceKeyMarker, [name], [mode, nonce])
            : run(operation, Scripts.releaseLease, [name], [names.released])
      ))
    const removeAll = (found: ReadonlyArray<string>) =>
      Effect.map(
        together(covered(found), (name) =>
          run(operation, Scripts.removeKey, names.ofKey(names.keyOf(name)!, name), [names.released, mode, nonce])),
        (answers) => {
          // Each is found, whatever its version.
          for (const [, ended] of answers) {
            count += Number(ended)
          }
        }
      )
    const [leases, entries] = names.globs(which)
    const both =
      (act: (found: ReadonlyArray<string>) => Effect.Effect<void, StoreError>) => (found: ReadonlyArray<string>) =>
        Effect.asVoid(Effect.all([act(found), meanwhile], { concurrency: "unbounded", discard: true }))
    return transport.walk(operation, leases, both(releaseAll)).pipe(
      Effect.andThen(transport.walk(operation, entries, both(removeAll))),
      // Also of what an earlier attempt has removed, and this one did not find any more.
      Effect.andThen(transport.settle(operation)),
      Effect.map(() => count)
    )
  }

  // ---------------------------------------------------------------------------
  // fences
  // ---------------------------------------------------------------------------

  /** Opens a fence, and changes the first piece of what it is over. */
  const openFence = ({ id, length, over }: Fence, piece: Piece, nonce: string): Effect.Effect<Count, StoreError> => {
    const noting = [nonce, markerLife, journalLife, settings.journal]
    const opening = [
      id,
      Math.ceil(length),
      Schema.encodeSync(Invalidation.FromString)(targetsIn(over) > mostFenced ? Invalidation.everything : over)
    ]
    const { modes, places } = targetsOf(piece)
    // A fence over patterns alone changes nothing yet, and there is nothing to announce.
    const batch = piece === emptyPiece ? undefined : asInvalidation(piece)
    return split
      ? Effect.flatMap(
        run(
          "fence",
          Scripts.openFence,
          [names.journal, names.fences],
          [...opening, ...noting, ...list(piece.names.map(([name]) => name))],
          acknowledged
        ),
        ([, position]) =>
          Effect.mapError(
            Effect.tap(
              changeInSteps("fence", piece, nonce),
              () => batch === undefined ? Effect.void : announce("fence", batch, position)
            ),
            (error) => error.ofPart()
          )
      )
      : Effect.flatMap(
        run("fence", Scripts.fence, [names.journal, names.fences, ...places], [
          names.released,
          ...opening,
          ...noting,
          names.invalidated,
          batch === undefined ? "" : Wire.writeMessage(notices.origin, batch),
          ...modes
        ], acknowledged),
        ([, count, more, position]) => {
          if (batch !== undefined) announceHere(batch, String(position))
          return countOf("fence", count, more)
        }
      )
  }

  /** Lets a fence stand longer from time to time while what it is over is invalidated. One that was lost stays lost. */
  const renewing = ({ id, length }: Fence): Effect.Effect<void, StoreError> => {
    let renewed: number | undefined
    return Effect.withFiber((fiber) => {
      const now = elapsed(fiber.getRef(Clock.Clock))
      renewed ??= now
      if (now - renewed < length / 4) return Effect.void
      renewed = now
      return Effect.asVoid(
        run("fence", Scripts.extendFence, [names.fences], [id, Math.ceil(length), markerLife], acknowledged)
      )
    })
  }

  const sweep = (
    which: Key.Pattern | "everything",
    mode: Mode,
    meanwhile: Effect.Effect<void, StoreError>
  ): Effect.Effect<number, StoreError> => {
    const batch = which === "everything" ? Invalidation.everything : Invalidation.pattern(which)
    return Effect.tap(
      sweepKeys("fence", which, mode, meanwhile),
      () => announce("fence", Invalidation.withMode(batch, mode), undefined)
    )
  }

  const fence = (one: Fence): Effect.Effect<number | undefined, StoreError> =>
    Effect.gen(function*() {
      const { dependencies, everything, patterns } = one.over
      const nonce = newNonce()
      const renew = renewing(one)
      yield* renew
      yield* warnWide(targetsIn(one.over))
      const [first = emptyPiece, ...others] = piecesOf(one.over)
      const opened = yield* openFence(one, first, nonce)
      // What is refused from here on is a part of what has begun.
      const more = yield* Effect.mapError(
        Effect.gen(function*() {
          let count: Count = 0
          for (const piece of others) {
            const [changed] = yield* Effect.all([apply("fence", piece, nonce), renew], { concurrency: "unbounded" })
            count = add(count, changed)
          }
          for (const { mode, pattern } of patterns.values()) count = add(count, yield* sweep(pattern, mode, renew))
          if (everything !== undefined) count = add(count, yield* sweep("everything", everything, renew))
          return count
        }),
        (error) => error.ofPart()
      )
      return dependencies.size > 0 ? undefined : add(opened, more)
    })

  return {
    atomic,
    invalidate,
    fence,
    lift: ({ id }) =>
      Effect.map(
        run("lift", Scripts.liftFence, [names.fences], [id], acknowledged),
        ([, stood]) => numberOf(stood) === 1
      )
  }
}
