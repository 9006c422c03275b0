/**
 * By which connection a read goes: by one of its own, as long as that leads to
 * the server to which writes go.
 *
 * Of a cluster there is such a connection to each node. Slots are looked up in
 * the one table by which writes go too, so that after a failover no read goes to
 * a node to which writes do not go any more.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { inRealTime } from "../realClock.ts"
import { cut, type Line, Lines, Pulse } from "./lines.ts"
import { bare, type Link, NotSent } from "./link.ts"
import { getAll, getTogether } from "./pipelines.ts"
import { nodeNamed, primariesOf, primaryOf, type Raw, refresh } from "./raw.ts"
import { slotOf } from "./slots.ts"

/** A client, and what is known of its connection. */
export interface Way {
  readonly raw: Raw
  readonly link: Link
}

// As `MGET` has it: a key that does not hold a string is missing.
const asString = (getting: Promise<unknown>): Promise<unknown> =>
  getting.catch((error: unknown) => {
    if (error instanceof Error && error.message.startsWith("WRONGTYPE")) return null
    throw error
  })

export interface Routes {
  /** What to send a read of one server by. */
  readonly way: () => Way
  /** The values of string keys, asked for by that way. */
  readonly get: (keys: ReadonlyArray<string>) => Promise<unknown>
  /** The server's time; it can be asked for while writes are paused. */
  readonly time: () => Promise<unknown>
  /** Gives an answer once it is known of which server it is. */
  readonly settled: <A>(answer: A) => A | Promise<A>
  /** Another client that writes. */
  readonly add: (writer: Way) => void
  /** Calls when the primary may be another one; gives the end of it. */
  readonly onMoved: (listener: () => void) => () => void
  /** The run of the server to which writes go, where that is one. */
  readonly primary: () => string | undefined
  /** How many connections were made so far. */
  readonly connections: () => number
}

const noPrimary = ({ writes }: Lines): NotSent =>
  new NotSent(
    writes.some(({ server }) => server._tag === "Replica")
      ? "READONLY the server is a replica, which may be behind"
      : "the connections lead to several primaries"
  )

/** How connections are made, and tried. */
export interface Making {
  /** One like this, for reads. */
  readonly connect: (like: Raw) => Effect.Effect<Way, never, Scope.Scope>
  /** Whether a new one like this is answered: a script, or only a `PING`. */
  readonly isAnswered: (like: Raw, writes: boolean) => Effect.Effect<boolean>
  /** Milliseconds that an operation may take. */
  readonly patience: number
}

// So many time limits without anything are silence.
const limitsOfSilence = 3

const beatFor = (patience: number): number => Math.min(1000, Math.max(100, patience))

const beatsOf = (patience: number) => {
  const every = beatFor(patience)
  return { every, silence: Math.ceil(limitsOfSilence * patience / every) }
}

const eachBeat = <A>(
  every: number,
  beat: Effect.Effect<A, never, Scope.Scope>
): Effect.Effect<never, never, Scope.Scope> => Effect.forever(Effect.andThen(inRealTime(Effect.sleep(every)), beat))

/**
 * For a connection that listens: when it should hear something and does not, it is cut, and whoever made it makes
 * another.
 */
export const cutWhenSilent = (raw: Raw, patience: number): Effect.Effect<never, never, Scope.Scope> => {
  const { every, silence } = beatsOf(patience)
  const pulse = new Pulse(raw, () => raw.call("PING"))
  return eachBeat(
    every,
    Effect.sync(() => {
      pulse.beat()
      if (pulse.silent >= silence) cut(raw)
    })
  )
}

/** Each beat; where a connection is silent, and a new one would be answered, it is cut. */
const beating = (
  beat: Effect.Effect<ReadonlyArray<Lines>>,
  { isAnswered, patience }: Making
): Effect.Effect<void, never, Scope.Scope> => {
  const { every, silence } = beatsOf(patience)
  const tryOther = (lines: Lines, line: Line) =>
    Effect.map(
      // A script waits where writes are paused, and then a new connection would be no better.
      isAnswered(line.raw, line !== lines.reads),
      (better) => {
        if (better && line.pulse.silent >= silence) cut(line.raw)
      }
    )
  const once = Effect.flatMap(
    beat,
    (all) =>
      Effect.forEach(
        all,
        (lines) =>
          Effect.forEach(lines.beat(silence), (line) => Effect.forkScoped(tryOther(lines, line)), { discard: true }),
        {
          discard: true
        }
      )
  )
  return Effect.asVoid(Effect.forkScoped(eachBeat(every, once)))
}

const listeners = () => {
  const all = new Set<() => void>()
  return {
    call: () => {
      for (const listener of all) listener()
    },
    add: (listener: () => void) => {
      all.add(listener)
      return () => {
        all.delete(listener)
      }
    }
  }
}

/** Routes to one server. */
const toOne = (main: Way, own: boolean, making: Making): Effect.Effect<Routes, never, Scope.Scope> =>
  Effect.gen(function*() {
    const moved = listeners()
    // A connection of a client that was lent is cut, too: it would be told at each write that it has come to the wrong place.
    let connections = 0
    const connected = () => {
      connections++
    }
    const lines = new Lines({ moved: moved.call, demoted: (line) => cut(line.raw), connected })
    yield* Effect.addFinalizer(() => Effect.sync(() => lines.leave()))
    const writes = lines.addWrites(main.raw, own)
    let reads = main
    const connect = Effect.map(making.connect(main.raw), (made) => {
      reads = made
      lines.addReads(made.raw)
    })
    // Where the first one cannot be made, nobody waits for the second.
    yield* (main.raw.status === "ready" ? connect : Effect.forkScoped(connect))
    yield* beating(Effect.succeed([lines]), making)
    const way = (): Way => lines.reader === lines.reads ? reads : main
    return {
      way,
      get: async (keys) => {
        const line = lines.reader
        if (line === undefined) throw noPrimary(lines)
        const values = await getAll(way().raw, keys)
        if (line.run === undefined && !(await line.isOfPrimary())) throw noPrimary(lines)
        return values
      },
      time: () => way().raw.call("TIME"),
      settled: (answer) => writes.run === undefined ? writes.isOfPrimary().then(() => answer) : answer,
      add: ({ raw }) => {
        lines.addWrites(raw, true)
      },
      onMoved: moved.add,
      primary: () => lines.primary,
      connections: () => connections
    }
  })

/** A node of a cluster. */
interface Known {
  readonly lines: Lines
  readonly reads: Way
  readonly scope: Scope.Closeable
}

/** Routes to the primaries of a cluster. */
const toMany = (main: Way, making: Making): Effect.Effect<Routes, never, Scope.Scope> =>
  Effect.gen(function*() {
    const nodes = new Map<Raw, Known>()
    let connections = 0
    const connected = () => {
      connections++
    }
    const writers = [main]

    const know = (raw: Raw): Effect.Effect<void> =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const reads = yield* Scope.provide(making.connect(raw), scope)
        const lines = new Lines({ moved: () => {}, demoted: () => refresh(main.raw), connected })
        lines.addWrites(raw, false)
        lines.addReads(reads.raw)
        nodes.set(raw, { lines, reads, scope })
      })
    const forget = ({ lines, scope }: Known): Effect.Effect<void> => {
      lines.leave()
      return Scope.close(scope, Exit.void)
    }
    // Nodes come and go.
    const look = Effect.suspend(() => {
      const now = new Set(primariesOf(main.raw))
      const [gone, come] = [[...nodes].filter(([raw]) => !now.has(raw)), [...now].filter((raw) => !nodes.has(raw))]
      for (const [raw] of gone) nodes.delete(raw)
      return Effect.andThen(
        Effect.forEach(gone, ([, known]) => forget(known), { discard: true }),
        Effect.forEach(come, know, { concurrency: "unbounded", discard: true })
      )
    })
    yield* Effect.addFinalizer(() => Effect.forEach([...nodes.values()], forget, { discard: true }))
    yield* look
    yield* beating(Effect.map(look, () => [...nodes.values()].map(({ lines }) => lines)), making)

    const readsOf = (slot: number): Way | undefined => {
      const name = primaryOf(main.raw, slot)
      const node = name === undefined ? undefined : nodeNamed(main.raw, name)
      const known = node && nodes.get(node)
      return known !== undefined && known.lines.reader === known.lines.reads ? known.reads : undefined
    }

    const get = getTogether()

    const getOne = (key: string): Promise<unknown> => {
      const slot = slotOf(key)
      // One that was written to has been told where the slot is.
      const other = writers.find(({ raw }) => primaryOf(raw, slot) !== primaryOf(main.raw, slot))
      if (other !== undefined) {
        refresh(main.raw)
        return asString(other.raw.get(key))
      }
      const reads = readsOf(slot)
      return reads === undefined ?
        asString(main.raw.get(key)) :
        asString(get(reads.raw, key)).catch((error: unknown) => {
          if (/^(?:MOVED|ASK) /.test(bare(error).message)) refresh(main.raw)
          // The package knows how to follow a slot that has moved.
          return asString(main.raw.get(key))
        })
    }

    return {
      way: () => main,
      get: (keys) => Promise.all(keys.map(getOne)),
      time: () => {
        // Of those that are in the cluster now: one that has left answers nothing.
        const primaries = primariesOf(main.raw)
        const known = primaries.flatMap((primary) => nodes.get(primary) ?? [])[0]
        const raw = known === undefined ? primaries[0] : known.lines.reader?.raw ?? known.reads.raw
        return raw === undefined ? Promise.reject(new NotSent("no node of the cluster is known")) : raw.call("TIME")
      },
      settled: (answer) => answer,
      add: (writer) => {
        writers.push(writer)
      },
      onMoved: () => () => {},
      primary: () => undefined,
      connections: () => connections
    }
  })

/** `own` says whether the client was made here. */
export const make = (main: Way, own: boolean, making: Making): Effect.Effect<Routes, never, Scope.Scope> =>
  main.raw.isCluster ? toMany(main, making) : toOne(main, own, making)
