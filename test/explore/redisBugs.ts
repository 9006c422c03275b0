/**
 * Deliberate mistakes in the store on Redis, put in from outside: a script that
 * is another, or a transport that does other than it was asked.
 */
import { Effect } from "effect"
import type { Value } from "../../src/internal/redis/client.ts"
import * as Scripts from "../../src/internal/redis/scripts.ts"
import type { Transport } from "../../src/internal/redis/transport.ts"
import type { Lab, Mistake } from "./redis.ts"
import { onRedis, quick } from "./redisCases.ts"
import { type Case, exhaustIn, type Found, type Run, sampleIn } from "./search.ts"

export interface RedisMistake extends Mistake {
  readonly name: string
  /** The rule that it breaks. */
  readonly breaks: string
  /** A case in which it shows soon. */
  readonly seenIn: string
  /** Only where an operation is several commands. */
  readonly split: boolean
}

const isMarker = (key: string): boolean => key.includes(":m:{")

/** Runs a script otherwise. */
const running =
  (how: (run: Transport["run"], ...args: Parameters<Transport["run"]>) => ReturnType<Transport["run"]>) =>
  (transport: Transport): Transport => ({
    ...transport,
    run: (...args) => how(transport.run, ...args),
    runAcknowledged: (...args) => how(transport.runAcknowledged, ...args)
  })

const done = Effect.succeed(["0"])

/** The last look finds what was captured before. */
const noLastLook = (transport: Transport): Transport => {
  const captured = new Map<string, unknown>()
  return running((run, operation, script, keys, args) => {
    if (script.name === "look") {
      return Effect.map(run(operation, script, keys, args), ([now, token]) => [now, captured.get(keys[0]!) ?? token])
    }
    return Effect.tap(run(operation, script, keys, args), ([, token]) =>
      Effect.sync(() => {
        if (script.name === "capture") captured.set(keys[0]!, token)
      }))
  })(transport)
}

/** Markers as a read of this process saw them first. */
const markersOnce = (transport: Transport): Transport => {
  const seen = new Map<string, Value>()
  return {
    ...transport,
    get: (operation, keys) =>
      Effect.map(transport.get(operation, keys), (values) =>
        values.map((value, i) => {
          const key = keys[i]!
          if (!isMarker(key)) return value
          const first = seen.get(key) ?? value
          if (first !== null) seen.set(key, first)
          return first
        }))
  }
}

/** A marker that is missing is taken for the one that the entry was loaded under. */
const missingIsFine = (transport: Transport): Transport => ({
  ...transport,
  get: (operation, keys) =>
    Effect.map(transport.get(operation, keys), (values) => {
      const vector = values[0]?.split("\n")[1]?.split(",") ?? []
      return values.map((value, i) => isMarker(keys[i]!) ? value ?? vector[i - 1] ?? null : value)
    })
})

// What a fence that is opened notes in the journal: its arguments end with the names.
const noted = 7

/** Opens a fence that notes nothing in the journal. */
const openingOnly = running((run, operation, script, keys, args) =>
  run(operation, script, keys, script.name === "open" ? [...args.slice(0, noted), 0] : args)
)

/** Replaces markers first, and notes in the journal when that is done. */
const markersFirst = (transport: Transport): Transport => {
  let note: Effect.Effect<unknown, unknown> = Effect.void
  return running((run, operation, script, keys, args) => {
    if (script.name === "open") {
      const [nonce, , journalLife, limit, ...names] = args.slice(3)
      note = run(operation, Scripts.noteDown, [keys[0]!, keys[1]!], [nonce!, journalLife!, limit!, ...names])
    }
    const ran = run(operation, script, keys, args)
    return script.name === "replace" ? Effect.tap(ran, () => Effect.ignore(note)) : ran
  })(openingOnly(transport))
}

const skipping = (...names: ReadonlyArray<string>) =>
  running((run, operation, script, keys, args) =>
    names.includes(script.name) ? done : run(operation, script, keys, args)
  )

export const redisMistakes: ReadonlyArray<RedisMistake> = [
  {
    name: "commit does not ask for the lease",
    breaks: "a load in flight re-inserts after invalidate",
    seenIn: "key: reader, writer",
    split: false,
    edits: [{ scripts: ["commit"], from: "if held(KEYS[2]) ~= token then return { now, 'lost' } end", to: "" }]
  },
  {
    name: "store does not ask for the lease",
    breaks: "a load in flight re-inserts after invalidate",
    seenIn: "key: reader, writer",
    split: true,
    edits: [{ scripts: ["store"], from: "if held(KEYS[2]) ~= token then return { now, 'lost', 0, first } end", to: "" }]
  },
  {
    name: "invalidating a key leaves its lease",
    breaks: "commit needs the token",
    seenIn: "key: reader, writer",
    split: false,
    edits: [{
      scripts: ["invalidate", "fence", "remove"],
      from: "  release(lease, channel)\n  local more = replaceKey",
      to: "  local more = replaceKey"
    }]
  },
  {
    name: "nothing is noted in the journal",
    breaks: "what is found late must have been quiet",
    seenIn: "tag from the value: reader, writer",
    split: false,
    edits: [{ scripts: ["invalidate", "fence"], from: "note(KEYS[1], names, limit, nonce, journalLife)", to: "" }]
  },
  {
    name: "nothing is noted in the journal, in steps",
    breaks: "what is found late must have been quiet",
    seenIn: "tag from the value: reader, writer",
    split: true,
    between: openingOnly
  },
  {
    name: "markers are replaced before the journal has noted it",
    breaks: "journal first, marker second",
    seenIn: "tag from the value: reader, writer",
    split: true,
    between: markersFirst
  },
  {
    name: "markers are captured after the load",
    breaks: "capture before the load",
    seenIn: "tag from the key: reader, writer",
    split: false,
    edits: [{
      scripts: ["commit"],
      from: "elseif get(KEYS[4 + i]) ~= expected[i] then return { now, 'invalidated' } end",
      to: "else expected[i] = get(KEYS[4 + i]) or '' end"
    }]
  },
  {
    name: "the last look is left out",
    breaks: "G3: those who joined look again",
    seenIn: "tag from the value: reader, writer then reader",
    split: true,
    between: noLastLook
  },
  {
    name: "a write-through that was refused is taken for done",
    breaks: "G6: an older value over a newer one",
    seenIn: "key: write-throughs, a writer, readers",
    split: false,
    edits: [{
      scripts: ["commit"],
      from: "if held(KEYS[2]) ~= token then return { now, 'lost' } end",
      to: "if held(KEYS[2]) ~= token then return { now, 'unstored' } end"
    }]
  },
  {
    name: "markers are read once and remembered",
    breaks: "G1: a marker is read when the read has begun",
    seenIn: "tag from the key: two processes read, one writes",
    split: false,
    between: markersOnce
  },
  {
    name: "a marker that is missing counts as unchanged",
    breaks: "missing is unknown",
    seenIn: "tag from the key: reader, writer, evictor of markers",
    split: false,
    between: missingIsFine
  },
  {
    name: "markers are counters",
    breaks: "tokens never repeat",
    seenIn: "tag from the key: two writers, the marker is evicted twice",
    split: false,
    edits: [
      {
        from: "token = us .. nonce\n  redis.call('SET', key, token, 'PX'",
        to: "token = '1'\n  redis.call('SET', key, token, 'PX'"
      },
      {
        from: "local token = us .. nonce\n  local old = get(key)",
        to: "local old = get(key)\n  local token = string.format('%d', (tonumber(old) or 0) + 1)"
      }
    ]
  },
  {
    name: "a lost journal begins where it was",
    breaks: "missing is unknown",
    seenIn: "tag from the value: reader, two writers, evictor of the journal",
    split: false,
    edits: [{ from: "'@' .. us .. nonce", to: "'@'" }]
  },
  {
    name: "loads under a fence are stored",
    breaks: "G7: a load between invalidation and write",
    seenIn: "key: reader, mutate",
    split: false,
    edits: [{ scripts: ["commit"], from: "if #over > 0 then return { now, 'fenced' } end", to: "" }]
  },
  {
    name: "lifting one fence lifts all",
    breaks: "G7: fences overlap",
    seenIn: "key: mutate crashes beside a quick one",
    split: false,
    edits: [{ scripts: ["lift"], from: "redis.call('HDEL', KEYS[1], id)", to: "redis.call('DEL', KEYS[1])" }]
  },
  {
    name: "a fence that ran out or was lost is lifted without a word",
    breaks: "G7: a lost fence protected nothing",
    seenIn: "key: reader, mutate, evictor of fences",
    split: false,
    edits: [{ scripts: ["lift"], from: "stood and 1 or 0", to: "1" }]
  },
  {
    name: "a load does not ask which fences stand",
    breaks: "G7: a load between invalidation and write",
    seenIn: "key: reader, mutate",
    split: true,
    between: running((run, operation, script, keys, args) => {
      const ran = run(operation, script, keys, args)
      return script.name === "position" ? Effect.map(ran, ([now, epoch, at]) => [now, epoch, at, []]) : ran
    })
  },
  {
    name: "an interrupted load keeps its lease",
    breaks: "a holder that goes gives up its lease",
    seenIn: "key: refreshes, interruptions, a writer",
    split: false,
    between: skipping("abandon")
  },
  {
    name: "a lease is taken though another has it",
    breaks: "G5: one load across processes",
    seenIn: "one load: three readers of a cold key",
    split: false,
    edits: [{
      from: "if other and other ~= token and not force then",
      to: "if false then"
    }]
  },
  {
    name: "which tokens are the older ones is told by their times",
    breaks: "no clock decides",
    seenIn: "tag from the key: no commit is answered, the clock is set back",
    split: false,
    edits: [{
      scripts: ["begin"],
      from: "if name and vector[name] and vector[name] ~= token then return true end",
      to:
        "if name and vector[name] and vector[name] ~= token and string.sub(token, 1, 16) <= string.sub(vector[name], 1, 16) then return true end"
    }]
  },
  {
    name: "steps are no fence",
    breaks: "G1: nothing is stored that was loaded between two steps",
    seenIn: "nested, a tag from the value: page, writer in steps",
    split: true,
    between: (transport) => {
      const opened = running((run, operation, script, keys, args) =>
        script.name === "stand" || script.name === "lift"
          ? Effect.succeed(["0", 1])
          : run(operation, script, keys, args)
      )(transport)
      return running((run, operation, script, keys, args) =>
        Effect.map(
          run(operation, script, keys, args),
          (answer) => script.name === "position" ? [...answer.slice(0, 3), []] : answer
        )
      )(opened)
    }
  },
  {
    name: "a fence that was lost between two steps is not noticed",
    breaks: "G1: a lost fence protected nothing",
    seenIn: "nested, keys: page, writer, the fences are evicted",
    split: true,
    edits: [{ from: "stood and 1 or 0", to: "1" }]
  },
  {
    name: "a load that failed is shared with whoever waits for it",
    breaks: "G3: what is not stored is shared as what is",
    seenIn: "nested, key: no row yet: reader, mutate then reader",
    split: false,
    between: running((run, operation, script, keys, args) =>
      Effect.map(run(operation, script, keys, args), (answer) => script.name === "discard" ? ["0", "unstored"] : answer)
    )
  }
]

export const caseOf = ({ name, seenIn }: RedisMistake): Case => {
  const found = onRedis.find((one) => one.name === seenIn)
  if (found === undefined) throw new Error(`"${name}" is to be seen in "${seenIn}", which is no case`)
  return found
}

/** Looks for a mistake where it shows soon: through all schedules, if they are few, else by seed. */
export const search = (lab: Lab, mistake: RedisMistake): Run<Found> => {
  const of = caseOf(mistake)
  const worlds = lab.worlds({ mistake, split: mistake.split })
  return quick(mistake.split).includes(of) ? exhaustIn(worlds, of, 5000) : sampleIn(worlds, of, 1500)
}
