/**
 * Deliberate mistakes: ways to get the protocol wrong, put in from outside one
 * at a time. Each must be found, or the table says why it does no harm.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import {
  type Address,
  type Begun,
  type CacheStore,
  type Draft,
  type Entry,
  type Fence,
  guard,
  type Outcome,
  type StoreError
} from "../../src/CacheStore.ts"
import * as Loading from "../../src/internal/interpreter/loading.ts"
import type { Argument, Client, Node, Value } from "../../src/internal/redis/client.ts"
import * as Scripts from "../../src/internal/redis/scripts.ts"
import * as Policy from "../../src/Policy.ts"
import { far, type Mode, rough, type Where } from "./plan.ts"
import type { Options } from "./run.ts"
import { type Seen, series } from "./series.ts"
import { fairWeather, type Weather } from "./world/network.ts"

export interface Mistake {
  readonly name: string
  /** The rule that it breaks. */
  readonly breaks: string
  /** Where it can show; everywhere, unless given. */
  readonly modes?: ReadonlyArray<Mode>
  /** What the worlds are like in which it shows soon; any, unless given. */
  readonly where?: Where
  /** Why it need not be found. */
  readonly harmless?: string
  /** Made anew for each world. */
  readonly options: () => Options
}

type Without = Pick<Mistake, "modes" | "options">

// The scripts of whole operations run on one node, those of single steps where it is split. What they share runs on both.
const plain: ReadonlyArray<Mode> = ["node", "split", "replicas", "cluster"]
const whole: ReadonlyArray<Mode> = ["node", "replicas"]
const steps: ReadonlyArray<Mode> = ["split", "cluster"]

// A single row, of which much is asked while it is written to.
const hot: Where = {
  processes: 3,
  rows: 1,
  journal: 10_000,
  remember: 0,
  failing: 0,
  slowest: 8,
  weather: fairWeather,
  lease: undefined,
  faults: [],
  every: 1500,
  faultEvery: 50_000,
  writes: 0.1
}

/** Every message takes about as long as the others. */
const still: Weather = { delay: 250, slow: 1, slowness: 0 }

/** Kinds that find in their values what they depend on. */
const ofFound: Where = { definitions: ["found", "partition", "waits"] }

// -----------------------------------------------------------------------------
// other scripts
// -----------------------------------------------------------------------------

/** In the scripts of these names (all, unless given), one text for another. */
interface Edit {
  readonly scripts?: ReadonlyArray<string>
  readonly from: string
  readonly to: string
}

type Rewrite = (script: Scripts.Script) => Scripts.Script

const edited = (edits: ReadonlyArray<Edit>): Rewrite => {
  const made = new Map<Scripts.Script, Scripts.Script>()
  for (const { from, scripts } of edits) {
    const some = Scripts.all.filter(({ name, source }) => (scripts?.includes(name) ?? true) && source.includes(from))
    // One that does not take would be looked for in vain.
    if (some.length < (scripts?.length ?? 1)) throw new Error(`not all scripts have the text ${from}`)
  }
  for (const script of Scripts.all) {
    let { source } = script
    for (const { from, scripts, to } of edits) {
      if (scripts?.includes(script.name) ?? true) source = source.replaceAll(from, () => to)
    }
    made.set(script, source === script.source ? script : { ...script, source })
  }
  return (script) => made.get(script) ?? script
}

const withScripts = (rewrite: Rewrite) => (client: Client): Client => ({
  ...client,
  script: (operation, script, ...rest) => client.script(operation, rewrite(script), ...rest),
  scriptAndWait: (operation, script, ...rest) => client.scriptAndWait(operation, rewrite(script), ...rest),
  beside: Effect.map(client.beside, withScripts(rewrite))
})

const inScripts = (...edits: ReadonlyArray<Edit>): Mistake["options"] => {
  let rewrite: Rewrite | undefined
  return () => ({ client: withScripts(rewrite ??= edited(edits)) })
}

/** What is in no step's script. */
const ofWhole = (...edits: ReadonlyArray<Edit>): Without => ({ modes: whole, options: inScripts(...edits) })
const ofSteps = (...edits: ReadonlyArray<Edit>): Without => ({ modes: steps, options: inScripts(...edits) })
const ofBoth = (...edits: ReadonlyArray<Edit>): Without => ({ modes: plain, options: inScripts(...edits) })

// -----------------------------------------------------------------------------
// another client
// -----------------------------------------------------------------------------

type Answer = Effect.Effect<unknown, StoreError>
type Run = (
  operation: string,
  script: Scripts.Script,
  keys: ReadonlyArray<string>,
  args: ReadonlyArray<Argument>
) => Answer

/** Runs scripts otherwise; `how` is made for each process. */
const running = (make: () => (run: Run, ...args: Parameters<Run>) => Answer): Mistake["options"] => {
  const over = (how: ReturnType<typeof make>) => (client: Client): Client => ({
    ...client,
    script: (...args) => how(client.script, ...args),
    scriptAndWait: (operation, script, keys, args, wait) =>
      Effect.suspend(() => {
        // What is not run is taken to be everywhere.
        let acknowledged: unknown = wait.replicas
        const run: Run = (...args) =>
          Effect.map(client.scriptAndWait(...args, wait), ([answer, count]) => {
            acknowledged = count
            return answer
          })
        return Effect.map(how(run, operation, script, keys, args), (answer) => [answer, acknowledged] as const)
      }),
    beside: Effect.map(client.beside, over(how))
  })
  return () => ({ client: (client) => over(make())(client) })
}

/** A client of which some parts are others; made for each process. */
const clientWith = (make: (client: Client) => Partial<Client>): Mistake["options"] => () => ({
  client: (client) => ({ ...client, ...make(client) })
})

type Get = (
  get: (keys: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Value>, StoreError>,
  keys: ReadonlyArray<string>
) => Effect.Effect<ReadonlyArray<Value>, StoreError>

/** Reads otherwise. */
const getting = (make: () => Get): Mistake["options"] =>
  clientWith((client) => {
    const how = make()
    return {
      get: (operation, keys) =>
        how((some) => client.get(operation, some) as Effect.Effect<ReadonlyArray<Value>, StoreError>, keys)
    }
  })

const isMarker = (key: string): boolean => /^[^:]*:[mk]:/.test(key)
const isEntry = (key: string): boolean => /^[^:]*:e:/.test(key)

const listOf = (answer: unknown): ReadonlyArray<unknown> => answer as ReadonlyArray<unknown>

// An answer of a script without a result: the server's time is asked for by others.
const nothing = (now: unknown): ReadonlyArray<unknown> => [now]

/** Runs something harmless in place of a script, for the time in its answer. */
const timeOnly = (run: Run, operation: string, keys: ReadonlyArray<string>): Effect.Effect<unknown, StoreError> =>
  Effect.map(run(operation, Scripts.lookAt, [keys[0]!], [0]), (answer) => listOf(answer)[0])

const skipping = (...names: ReadonlyArray<string>): Mistake["options"] =>
  running(() => (run, operation, script, keys, args) =>
    names.includes(script.name)
      ? Effect.map(timeOnly(run, operation, keys), nothing)
      : run(operation, script, keys, args)
  )

/** Answers of a script otherwise than the server did. */
const answering = (
  name: string,
  other: (answer: ReadonlyArray<unknown>) => ReadonlyArray<unknown>
): Mistake["options"] =>
  running(() => (run, operation, script, ...rest) =>
    Effect.map(
      run(operation, script, ...rest),
      (answer) => script.name === name ? other(listOf(answer)) : answer
    )
  )

/** The last look finds what was captured before; and it takes a while until what was looked up is stored. */
const noLastLook = running(() => {
  const captured = new Map<string, unknown>()
  return (run, operation, script, keys, args) =>
    Effect.flatMap(run(operation, script, keys, args), (answer) => {
      const [now, token] = listOf(answer)
      if (script.name === "capture") captured.set(keys[0]!, token)
      if (script.name === "quiet") return Effect.delay(Effect.succeed(answer), 8)
      return Effect.succeed(script.name === "look" ? [now, captured.get(keys[0]!) ?? token] : answer)
    })
})

/** Tokens of what is found in a value are captured when the journal was asked, and not before. */
const capturedLate = running(() => {
  // By the name of a dependency: where its marker is, and what was captured first.
  const early = new Map<string, { readonly marker: string; readonly args: ReadonlyArray<Argument>; token: unknown }>()
  const late = new Map<unknown, unknown>()
  return (run, operation, script, keys, args) =>
    Effect.gen(function*() {
      if (script.name === "store") {
        return yield* run(
          operation,
          script,
          keys,
          args.map((one) => late.get(one) as Argument ?? one)
        )
      }
      const answer = yield* run(operation, script, keys, args)
      const [now, token] = listOf(answer)
      if (script.name === "capture" && operation === "commit") early.set(keys[0]!, { marker: keys[0]!, args, token })
      if (script.name === "quiet") {
        for (const { args, marker, token } of early.values()) {
          const [, then] = listOf(yield* run(operation, Scripts.captureOne, [marker], args))
          late.set(token, then)
        }
        early.clear()
      }
      if (script.name !== "look") return answer
      // The last look is for what was captured.
      for (const [first, then] of late) if (then === token) return [now, first]
      return answer
    })
})

/** The position is that of before the lease was taken. */
const positionFirst = running(() => {
  let before: unknown
  return (run, operation, script, keys, args) =>
    Effect.gen(function*() {
      if (script.name === "take") {
        const places = [`${keys[0]!.split(":")[0]}:j:{journal}`, `${keys[0]!.split(":")[0]}:f:{journal}`]
        before = yield* run(operation, Scripts.positionNow, places, [`early${Math.abs(moments++)}`, 3_600_000])
      }
      return script.name === "position" && operation === "begin" && before !== undefined
        ? before
        : yield* run(operation, script, keys, args)
    })
})
let moments = 0

// What a fence that is opened notes in the journal: its arguments end with the names.
const notedFrom = 7

/** Replaces markers first, and notes in the journal when that is done. */
const markersFirst = running(() => {
  let note: Effect.Effect<unknown, StoreError> = Effect.void
  return (run, operation, script, keys, args) => {
    if (script.name === "open") {
      const [nonce, , journalLife, limit] = args.slice(3)
      note = run(operation, Scripts.noteDown, keys, [nonce!, journalLife!, limit!, ...args.slice(notedFrom)])
      return run(operation, script, keys, [...args.slice(0, notedFrom), 0])
    }
    const ran = run(operation, script, keys, args)
    return script.name === "replace" ? Effect.tap(ran, () => Effect.ignore(note)) : ran
  }
})

/** Opens a fence that notes nothing in the journal. */
const openingOnly = running(() => (run, operation, script, keys, args) =>
  run(operation, script, keys, script.name === "open" ? [...args.slice(0, notedFrom), 0] : args)
)

const stepsAreNoFence = running(() => (run, operation, script, keys, args) =>
  Effect.map(run(operation, script, keys, args), (answer) => {
    const [now, ...rest] = listOf(answer)
    if (script.name === "stand" || script.name === "lift") return [now, 1]
    return script.name === "position" ? [now, rest[0], rest[1], []] : answer
  })
)

/** Markers as this process saw them first. */
const markersOnce = getting(() => {
  const seen = new Map<string, Value>()
  return (get, keys) =>
    Effect.map(get(keys), (values) =>
      values.map((value, i) => {
        const key = keys[i]!
        if (!isMarker(key)) return value
        const first = seen.get(key) ?? value
        if (first !== null) seen.set(key, first)
        return first
      }))
})

/** A marker that is missing is taken for the one that the entry was loaded under. */
const missingIsFine = getting(() => (get, keys) =>
  Effect.map(get(keys), (values) => {
    // Reads are sent together: an entry is followed by its markers.
    let vector: ReadonlyArray<string> = []
    let at = 0
    return values.map((value, i) => {
      if (isEntry(keys[i]!)) {
        vector = value?.split("\n")[1]?.split(",") ?? []
        at = 0
        return value
      }
      return value ?? vector[at++] ?? null
    })
  })
)

/** What was read a moment ago is not read again. */
const shortCopies = (millis: number) =>
  getting(() => {
    const seen = new Map<string, { readonly value: Value; readonly until: number }>()
    return (get, keys) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const missing = keys.filter((key) => (seen.get(key)?.until ?? 0) < now)
        const all = () => keys.map((key) => seen.get(key)!.value)
        if (missing.length === 0) return Effect.sync(all)
        return Effect.map(get(missing), (values) => {
          for (const [i, key] of missing.entries()) seen.set(key, { value: values[i]!, until: now + millis })
          return all()
        })
      })
  })

/** Where the server does not answer a read, what it said before. */
const lastKnown = getting(() => {
  const seen = new Map<string, Value>()
  return (get, keys) =>
    get(keys).pipe(
      Effect.tap((values) =>
        Effect.sync(() => {
          for (const [i, key] of keys.entries()) seen.set(key, values[i]!)
        })
      ),
      Effect.catch(() => Effect.succeed(keys.map((key) => seen.get(key) ?? null)))
    )
})

/** Of reads that are sent together, each is given the answer of the next. */
const shifted = getting(() => (get, keys) =>
  Effect.map(get(keys), (values) => {
    const entries = keys.flatMap((key, i) => isEntry(key) ? [i] : [])
    const from = new Map(entries.map((at, i) => [at, entries[(i + 1) % entries.length]!]))
    return values.map((value, i) => values[from.get(i) ?? i] ?? value)
  })
)

// -----------------------------------------------------------------------------
// another store
// -----------------------------------------------------------------------------

/** A store of which some operations are others; made for each process. */
const storeWith = (make: (store: CacheStore) => Partial<CacheStore>): Mistake["options"] => () => ({
  store: (store) => ({ ...store, ...make(store) })
})

/** The same of what is guarded, which sees also what took too long. */
const guardWith = (make: (store: CacheStore) => Partial<CacheStore>): Mistake["options"] => () => ({
  guard: (store, options) => {
    const guarded = guard(store, options)
    return { ...guarded, ...make(guarded) }
  }
})

const committing = (outcome: (outcome: Outcome, draft: Draft) => Outcome): Mistake["options"] =>
  storeWith((store) => ({
    commit: (address, lease, draft) => Effect.map(store.commit(address, lease, draft), (one) => outcome(one, draft))
  }))

const drafting = (change: (draft: Draft) => Draft): Mistake["options"] =>
  storeWith((store) => ({ commit: (address, lease, draft) => store.commit(address, lease, change(draft)) }))

const reading = (change: (entry: Entry) => Entry): Mistake["options"] =>
  storeWith((store) => ({
    read: (address) => Effect.map(store.read(address), (entry) => entry && change(entry))
  }))

/** What of an entry a reader is told otherwise. */
const told = (entry: Entry, other: Partial<Entry>): Entry => ({
  token: entry.token,
  payload: entry.payload,
  stamp: entry.stamp,
  expiresAt: entry.expiresAt,
  changed: entry.changed,
  softened: entry.softened,
  memo: undefined,
  ...other
})

const placeOf = ({ key, version = "" }: Address): string => `${key}#${version}`

/** A cache as most are: what is loaded is stored, whatever happened meanwhile. */
const naive = storeWith((store) => ({
  commit: (address, lease, draft) =>
    Effect.gen(function*() {
      const request = { token: `${lease.token}.late`, seen: undefined, drop: false, force: true, leaseFor: 10_000 }
      const begun: Begun = yield* store.begin(address, request)
      return begun._tag === "Leased"
        ? yield* store.commit(address, begun.lease, { ...draft, token: request.token })
        : "lost"
    })
}))

/** A process remembers the load that it has under way, and asks nobody whether it still counts. */
const joinsAnything = storeWith((store) => {
  const under = new Map<string, string>()
  const ended = (address: Address) => Effect.sync(() => under.delete(placeOf(address)))
  return {
    begin: (address, request) =>
      Effect.suspend((): Effect.Effect<Begun, StoreError> => {
        const token = under.get(placeOf(address))
        if (token !== undefined && !request.force) return Effect.succeed({ _tag: "Busy", token })
        return Effect.tap(store.begin(address, request), ({ _tag }) =>
          Effect.sync(() => _tag === "Leased" && under.set(placeOf(address), request.token)))
      }),
    commit: (address, lease, draft) => Effect.ensuring(store.commit(address, lease, draft), ended(address)),
    discard: (address, lease, known) => Effect.ensuring(store.discard(address, lease, known), ended(address)),
    abandon: (address, token) => Effect.ensuring(store.abandon(address, token), ended(address))
  }
})

/** A copy in front of the store, which goes when something is invalidated here, and is filled by reads. */
const filledCopies = storeWith((store) => {
  const copies = new Map<string, Entry>()
  const clearing = <A>(effect: Effect.Effect<A, StoreError>) =>
    Effect.andThen(Effect.sync(() => copies.clear()), effect)
  return {
    read: (address) =>
      Effect.suspend(() => {
        const copy = copies.get(placeOf(address))
        if (copy !== undefined) return Effect.succeed(copy)
        return Effect.tap(
          store.read(address),
          (entry) => Effect.sync(() => entry && copies.set(placeOf(address), entry))
        )
      }),
    begin: (address, request) =>
      Effect.suspend(() => {
        copies.delete(placeOf(address))
        return store.begin(address, request)
      }),
    invalidate: (batch) => clearing(store.invalidate(batch)),
    fence: (fence) => clearing(store.fence(fence))
  }
})

const lateInvalidations = storeWith((store) => ({
  invalidate: (batch) =>
    Effect.as(Effect.forkDetach(Effect.ignore(Effect.delay(store.invalidate(batch), 2))), undefined)
}))

/** An entry is as old as this process has known it. */
const agesAsSeen = storeWith((store) => {
  const first = new Map<string, number>()
  return {
    read: (address) =>
      Effect.flatMap(Clock.Clock, (clock) =>
        Effect.map(store.read(address), (entry) => {
          if (entry === undefined) return undefined
          const storedAt = first.get(entry.token) ?? store.now!(clock)
          first.set(entry.token, storedAt)
          const moved = storedAt - entry.stamp.storedAt
          return told(entry, {
            stamp: { ...entry.stamp, storedAt, beganAt: entry.stamp.beganAt + moved },
            expiresAt: entry.expiresAt + moved
          })
        }))
  }
})

const allFences = storeWith((store) => {
  const open: Array<Fence> = []
  return {
    fence: (fence) => {
      open.push(fence)
      return store.fence(fence)
    },
    lift: (fence) =>
      Effect.tap(
        store.lift(fence),
        () => Effect.forEach(open.splice(0), (other) => Effect.ignore(store.lift(other)), { discard: true })
      )
  }
})

// -----------------------------------------------------------------------------
// the mistakes
// -----------------------------------------------------------------------------

const leaseOfCommit = "if held(KEYS[2]) ~= token then return { now, 'lost' } end"
const noting = "note(KEYS[1], names, limit, nonce, journalLife)"
const expectedInCommit = "elseif get(KEYS[4 + i]) ~= expected[i] then return { now, 'invalidated' } end"

const ofLoads: ReadonlyArray<Mistake> = [
  {
    name: "whatever was loaded is stored",
    breaks: "G1: a load in flight stores the old value",
    modes: plain,
    options: naive
  },
  {
    name: "commit does not ask for the lease",
    breaks: "a load in flight re-inserts after invalidate",
    ...ofWhole({ scripts: ["commit"], from: leaseOfCommit, to: "" })
  },
  {
    name: "store does not ask for the lease",
    breaks: "a load in flight re-inserts after invalidate",
    ...ofSteps({
      scripts: ["store"],
      from: "if held(KEYS[2]) ~= token then return { now, 'lost', 0, first } end",
      to: ""
    })
  },
  {
    name: "discard does not ask for the lease",
    breaks: "a lease is given up by whoever has it",
    where: { ...hot, definitions: ["found", "tag"], faults: ["interrupt"], failing: 0.3, slowest: 30 },
    ...ofWhole({ scripts: ["discard"], from: "if held(KEYS[1]) ~= token then return { now, 'lost' } end", to: "" })
  },
  {
    name: "a lease is given up by whoever had it once",
    breaks: "G5: the token is checked by the store",
    where: { ...hot, definitions: ["found", "tag"], faults: ["interrupt"], failing: 0.3, slowest: 30 },
    ...ofBoth({ scripts: ["abandon"], from: "if held(KEYS[1]) ~= token then return { now, 0 } end", to: "" })
  },
  {
    name: "markers are not compared when a load ends",
    breaks: "capture before the load, compare after it",
    where: { ...hot, definitions: ["released"] },
    ...ofWhole({ scripts: ["commit"], from: expectedInCommit, to: "end" })
  },
  {
    name: "markers are captured after the load",
    breaks: "capture before the load",
    ...ofWhole({ scripts: ["commit"], from: expectedInCommit, to: "else expected[i] = get(KEYS[4 + i]) or '' end" })
  },
  {
    name: "found tags are not looked up in the journal",
    breaks: "what is found late must have been quiet",
    ...ofWhole({
      scripts: ["commit"],
      from: "if not quiet(KEYS[3], epoch, sequence, found) then return { now, 'invalidated' } end",
      to: ""
    })
  },
  {
    name: "found tags are captured when the journal was asked",
    breaks: "capture first, ask the journal second",
    where: { ...hot, ...ofFound, weather: far, slowest: 2 },
    modes: steps,
    options: capturedLate
  },
  {
    name: "the last look is left out",
    breaks: "G3: those who joined look again",
    where: { ...hot, definitions: ["found"], bys: [["found", 1]], soft: 0, slowest: 2, every: 1000, writes: 0.05 },
    modes: ["cluster"],
    options: noLastLook
  },
  {
    name: "the position is read before the lease is taken",
    breaks: "G7: an invalidation by key is seen by one of them",
    where: { ...hot, definitions: ["page", "tag"], weather: far },
    modes: steps,
    options: positionFirst
  },
  {
    name: "a load that failed is shared with whoever waits for it",
    breaks: "G3: what is not stored is shared as what is",
    where: { ...hot, definitions: ["negative", "found"], failing: 0.3, slowest: 30 },
    ...ofWhole({ scripts: ["discard"], from: "'invalidated'", to: "'unstored'" })
  },
  {
    name: "a load that failed is shared with whoever waits for it, in steps",
    breaks: "G3: what is not stored is shared as what is",
    where: { ...hot, definitions: ["negative", "found"], failing: 0.3, slowest: 30 },
    modes: steps,
    options: storeWith((store) => ({
      discard: (...args) => Effect.map(store.discard(...args), () => "unstored" as const)
    }))
  },
  {
    name: "what is not known did not happen",
    breaks: "G3: a load that failed has no value in which tags could be found",
    where: { ...hot, ...ofFound, failing: 0.3, slowest: 30 },
    ...ofWhole({
      scripts: ["discard"],
      from: "if unknown and not unmoved(KEYS[2], epoch, sequence) then return { now, 'invalidated' } end",
      to: ""
    })
  },
  {
    name: "who joins late counts as early",
    breaks: "G3: the position says whether anything was invalidated",
    where: { ...hot, definitions: ["negative", "found"], failing: 0.3, slowest: 30 },
    modes: plain,
    options: storeWith((store) => ({
      begin: (address, request) =>
        Effect.map(store.begin(address, request), (begun): Begun =>
          begun._tag === "Leased"
            ? { ...begun, lease: { ...begun.lease, position: "" } }
            : begun._tag === "Busy"
            ? { ...begun, position: "" }
            : begun)
    }))
  },
  {
    name: "a refused load is given to whoever waits for it",
    breaks: "G3: those who joined look again",
    modes: plain,
    options: committing((outcome) => outcome === "invalidated" || outcome === "lost" ? "stored" : outcome)
  },
  {
    name: "a process joins whatever load of a key it has",
    breaks: "G3: join only what the store says still stands",
    modes: plain,
    options: joinsAnything
  },
  {
    name: "a refused write-through is taken for done",
    breaks: "G6: an older value over a newer one",
    modes: plain,
    options: committing((outcome) => outcome === "lost" ? "unstored" : outcome)
  },
  {
    name: "the dead are not dropped",
    breaks: "G6: a write-through empties the key before it writes",
    where: { ...hot, definitions: ["forever"], faults: ["crash"], faultEvery: 20_000, slowest: 30 },
    ...ofBoth({ from: "if drop then redis.call('DEL', entry) end", to: "" })
  },
  {
    name: "a value made of what is stale is as good as any",
    breaks: "G1: what is made of an old value is old",
    modes: plain,
    options: () => ({ inside: (reads) => Effect.provideService(reads, Loading.Current, undefined) })
  },
  {
    name: "found tags are not kept with the entry",
    breaks: "an entry names all that it depends on",
    where: { ...hot, ...ofFound },
    modes: plain,
    options: drafting((draft) => ({
      ...draft,
      stamp: { ...draft.stamp, dependencies: draft.stamp.dependencies.filter((one) => !draft.found.includes(one)) }
    }))
  },
  {
    name: "stored failures depend on nothing",
    breaks: "G1: that a row is missing ends as a row does",
    where: { ...hot, definitions: ["negative"] },
    modes: plain,
    options: drafting((draft) =>
      draft.stamp.failure ? { ...draft, stamp: { ...draft.stamp, dependencies: [] } } : draft
    )
  }
]

const ofLeases: ReadonlyArray<Mistake> = [
  {
    name: "a lease is taken though another has it",
    breaks: "G5: one load across processes",
    ...ofBoth({ from: "if other and other ~= token and not force then", to: "if false then" })
  },
  {
    name: "every load takes the lease by force",
    breaks: "G5: one load of a key at a time",
    modes: plain,
    options: storeWith((store) => ({ begin: (address, request) => store.begin(address, { ...request, force: true }) }))
  },
  {
    name: "any two leases differ",
    breaks: "G5: only a lease that is surely void is stolen",
    ...ofBoth({ from: "if not differs(value, vector) then return 'busy', other end", to: "" })
  },
  {
    name: "a lease says nothing of what it was taken under",
    breaks: "a doomed load is not waited for",
    ...ofBoth({ from: "for i = 1, #names do lines[i + 1] = names[i] .. ' ' .. tokens[i] .. '\\n' end", to: "" })
  },
  {
    name: "which tokens are the older ones is told by their times",
    breaks: "no clock decides",
    where: {
      ...hot,
      processes: 2,
      definitions: ["tag"],
      bys: [["known", 1]],
      soft: 0,
      slowest: 30,
      weather: still,
      faults: ["serverClock", "cut"],
      faultEvery: 20_000,
      writes: 0.05
    },
    ...ofWhole({
      scripts: ["begin"],
      from: "if name and vector[name] and vector[name] ~= token then return true end",
      to:
        "if name and vector[name] and vector[name] ~= token and string.sub(token, 1, 16) <= string.sub(vector[name], 1, 16) then return true end"
    })
  },
  {
    name: "a lease is stolen by who saw less",
    breaks: "tokens that were captured before a lease are not newer than its own",
    where: {
      ...hot,
      definitions: ["tag"],
      bys: [["known", 1]],
      soft: 0,
      weather: still,
      faults: ["stall", "pause"],
      faultEvery: 15_000,
      slowest: 15,
      writes: 0.03,
      lasting: [50]
    },
    ...ofSteps({ scripts: ["take"], from: "if before and other ~= before then return 'differs', other end", to: "" })
  },
  {
    name: "a lease is over at once",
    breaks: "G5: a lease lasts as long as a load",
    ...ofBoth({
      from: "redis.call('SET', lease, table.concat(lines), 'PX', length)",
      to: "redis.call('SET', lease, table.concat(lines), 'PX', 1)"
    })
  },
  {
    name: "a lease lasts for ever",
    breaks: "G10: a process that dies holds nobody up",
    where: { ...hot, definitions: ["tag", "found"], faults: ["crash"], slowest: 30, lease: 15 },
    ...ofBoth({
      from: "redis.call('SET', lease, table.concat(lines), 'PX', length)",
      to: "redis.call('SET', lease, table.concat(lines))"
    })
  },
  {
    name: "an interrupted load keeps its lease",
    breaks: "G10: who goes gives up its lease",
    where: { ...hot, definitions: ["tag", "found"], faults: ["interrupt"], slowest: 30 },
    modes: plain,
    options: skipping("abandon")
  },
  {
    name: "a load that has ended keeps its lease",
    breaks: "G10: a lease is over when its load is",
    ...ofWhole({ scripts: ["commit"], from: "release(KEYS[2], channel)\nlocal found", to: "local found" })
  },
  {
    name: "nobody is told that a lease is over",
    breaks: "G10: who waits for a load is woken",
    ...ofBoth({ from: "if token and string.sub(value, 1, 1) == '1' then", to: "if false then" })
  },
  {
    name: "nobody says that a lease is waited for",
    breaks: "G10: who waits for a load is woken",
    ...ofBoth({ scripts: ["await"], from: "if standing then redis.call('SETRANGE', KEYS[1], 0, '1') end", to: "" })
  },
  {
    name: "an entry whose key was invalidated is in the way",
    breaks: "what is over is not found",
    where: { ...hot, definitions: ["released"] },
    ...ofBoth({ from: "if versioned then dropIfOver(entry, tokens[1]) end", to: "" })
  },
  {
    name: "a load does not ask whether another has stored meanwhile",
    breaks: "what is found is not loaded",
    harmless: "it loads once more, and has the lease",
    ...ofBoth({ from: "if stored and not force and stored ~= seen then return 'found', '' end", to: "" })
  }
]

const ofMarkers: ReadonlyArray<Mistake> = [
  {
    name: "markers are counters",
    breaks: "tokens never repeat",
    ...ofBoth(
      {
        from: "token = us .. nonce\n  redis.call('SET', key, token, 'PX'",
        to: "token = '1'\n  redis.call('SET', key, token, 'PX'"
      },
      {
        from: "local token = us .. nonce\n  local old = get(key)",
        to: "local old = get(key)\n  local token = string.format('%.0f', (tonumber(old) or 0) + 1)"
      }
    )
  },
  {
    name: "captured markers all begin alike",
    breaks: "an evicted marker comes back with an old token",
    ...ofBoth({
      from: "token = us .. nonce\n  redis.call('SET', key, token, 'PX'",
      to: "token = '1'\n  redis.call('SET', key, token, 'PX'"
    })
  },
  {
    name: "tokens are milliseconds",
    breaks: "tokens never repeat",
    where: { ...hot, definitions: ["tag"], faults: ["evict"], faultEvery: 5000, every: 300, slowest: 1, writes: 0.02 },
    ...ofBoth({ from: "token = us .. nonce", to: "token = now" })
  },
  {
    name: "tokens are named by the caller alone",
    breaks: "a script may run twice, and makes another token",
    harmless: "no client here sends a script again that may have run; what is tried again has another name",
    where: { ...hot, definitions: ["tag"], faults: ["cut", "cutAll", "evict"], faultEvery: 5000 },
    ...ofBoth({ from: "token = us .. nonce", to: "token = nonce" })
  },
  {
    name: "a marker that is missing counts as unchanged",
    breaks: "missing is unknown",
    modes: plain,
    options: missingIsFine
  },
  {
    name: "a missing marker is not made",
    breaks: "missing is unknown",
    where: { ...hot, definitions: ["tag"], every: 300, writes: 0.002 },
    ...ofBoth({
      from: "  token = us .. nonce\n  redis.call('SET', key, token, 'PX', string.format('%.0f', life))\n  return token",
      to: "  return 'none'"
    })
  },
  {
    name: "markers are read once and remembered",
    breaks: "G1: a marker is read when the read has begun",
    modes: plain,
    options: markersOnce
  },
  {
    name: "markers are not read",
    breaks: "G1: an entry is valid while its tokens are the current ones",
    modes: plain,
    options: reading((entry) => told(entry, { changed: undefined }))
  },
  {
    name: "all that changed has changed softly",
    breaks: "G1: only a soft invalidation leaves something to serve",
    modes: plain,
    options: reading((entry) =>
      told(entry, { changed: entry.changed && new Map([...entry.changed.keys()].map((name) => [name, "soft"])) })
    )
  },
  {
    name: "a hard invalidation after a soft one is soft",
    breaks: "a hard token replaces all of it",
    ...ofBoth({ from: "if old and mode == 'soft' then token = hard(old)", to: "if old then token = hard(old)" })
  },
  {
    name: "a soft invalidation of a tag leaves its marker",
    breaks: "G1: not as fresh after a soft invalidation",
    ...ofBoth({ from: "token = hard(old) .. '/' .. token", to: "token = old" })
  },
  {
    name: "on a full server a marker stays as it was",
    breaks: "a full server lets delete",
    where: { ...hot, definitions: ["tag", "found"], faults: ["full"] },
    ...ofBoth({
      from: "if failed(done) then redis.call('DEL', key) end\nend\n\nlocal function tokenOf",
      to: "end\n\nlocal function tokenOf"
    })
  },
  {
    name: "an invalidation replaces no markers",
    breaks: "journal first, marker second",
    ...ofWhole({
      scripts: ["invalidate"],
      from: "for i = 1, #names do replace(KEYS[2 + 3 * #keyModes + i], modes[i], nonce, life) end",
      to: ""
    })
  },
  {
    name: "of several markers the last one stays",
    breaks: "an invalidation is of all that it names",
    ...ofWhole({
      scripts: ["invalidate", "fence"],
      from: "for i = 1, #names do replace(",
      to: "for i = 1, #names - 1 do replace("
    })
  },
  {
    name: "the marker of a key stays",
    breaks: "what has a version ends by the marker of its key",
    where: { ...hot, definitions: ["released"] },
    ...ofBoth({
      from: "if mode == 'hard' then return redis.call('DEL', marker) == 1 end",
      to: "if mode == 'hard' then return false end"
    })
  },
  {
    name: "the marker of a key is not softened",
    breaks: "G1: not as fresh after a soft invalidation",
    where: { ...hot, definitions: ["released"] },
    ...ofBoth({
      from: "if not get(marker) then return false end\n  replace(marker, mode, nonce, 0)\n  return true",
      to: "return false"
    })
  },
  {
    name: "a write leaves what other versions hold",
    breaks: "G6: a write ends what is stored of its key in other versions",
    where: { ...hot, definitions: ["released"] },
    ...ofBoth(
      { from: "if ends then endOthers(KEYS[#KEYS - 2], KEYS[#KEYS - 1], KEYS[#KEYS], channel) end\n", to: "" },
      {
        scripts: ["commit", "store"],
        from: "endOthers(KEYS[#KEYS - 2], KEYS[#KEYS - 1], KEYS[#KEYS], channel)\n",
        to: "\n"
      }
    )
  }
]

const ofJournal: ReadonlyArray<Mistake> = [
  {
    name: "invalidate notes nothing in the journal",
    breaks: "tags in the value are looked up in the journal",
    ...ofWhole({ scripts: ["invalidate"], from: noting, to: "" })
  },
  {
    name: "a fence notes nothing in the journal",
    breaks: "tags in the value are looked up in the journal",
    ...ofWhole({ scripts: ["fence"], from: noting, to: "" })
  },
  {
    name: "a fence notes nothing in the journal, in steps",
    breaks: "tags in the value are looked up in the journal",
    modes: steps,
    options: openingOnly
  },
  {
    name: "markers are replaced before the journal has noted it",
    breaks: "journal first, marker second",
    where: {
      ...hot,
      definitions: ["found"],
      bys: [["found", 1]],
      weather: rough,
      slowest: 2,
      every: 20_000,
      writes: 0.03
    },
    modes: steps,
    options: markersFirst
  },
  {
    name: "a lost journal begins where it was",
    breaks: "missing is unknown",
    where: { ...hot, ...ofFound, faults: ["evict"], faultEvery: 5000 },
    ...ofBoth({ from: "'@' .. us .. nonce", to: "'@'" })
  },
  {
    name: "the epoch of the journal is not compared",
    breaks: "missing is unknown",
    where: { ...hot, ...ofFound, faults: ["evict"], faultEvery: 5000 },
    ...ofBoth({
      from: "if first.err or first[1] ~= epoch then return false end\n  local forgotten",
      to: "local forgotten"
    })
  },
  {
    name: "a missing journal is a quiet one",
    breaks: "missing is unknown",
    where: { ...hot, ...ofFound, faults: ["evict"], faultEvery: 5000 },
    ...ofBoth({
      from: "if first.err or first[1] ~= epoch then return false end\n  local forgotten",
      to:
        "if not first[1] then return true end\n  if first.err or first[1] ~= epoch then return false end\n  local forgotten"
    })
  },
  {
    name: "what the journal has forgotten did not happen",
    breaks: "forgotten is unknown",
    where: { ...hot, ...ofFound, journal: 2, slowest: 30 },
    ...ofBoth({ from: "if not forgotten or tonumber(forgotten) > tonumber(sequence) then return false end", to: "" })
  },
  {
    name: "the journal forgets without a word",
    breaks: "forgotten is unknown",
    where: { ...hot, ...ofFound, journal: 2, slowest: 30 },
    ...ofBoth({ from: "redis.call('ZADD', journal, last[2], '!')\nend", to: "\nend" })
  },
  {
    name: "the journal forgets one more than it says",
    breaks: "forgotten is unknown",
    where: { ...hot, ...ofFound, journal: 2, slowest: 30 },
    ...ofBoth({
      from: "redis.call('ZRANGE', journal, over + 1, over + 1, 'WITHSCORES')",
      to: "redis.call('ZRANGE', journal, over, over, 'WITHSCORES')"
    })
  },
  {
    name: "the journal does not count on",
    breaks: "what is noted later has a greater number",
    ...ofBoth({
      from: "redis.call('ZADD', journal, sequence + i, '=' .. names[i])",
      to: "redis.call('ZADD', journal, sequence, '=' .. names[i])"
    })
  },
  {
    name: "the journal keeps when a name was first noted",
    breaks: "what is noted later has a greater number",
    where: { ...hot, ...ofFound },
    ...ofBoth({
      from: "redis.call('ZADD', journal, sequence + i, '=' .. names[i])",
      to: "redis.call('ZADD', journal, 'NX', sequence + i, '=' .. names[i])"
    })
  },
  {
    name: "one invalidation since is none",
    breaks: "what is found late must have been quiet",
    ...ofBoth({
      from: "if last and tonumber(last) > tonumber(sequence) then return false end",
      to: "if last and tonumber(last) > tonumber(sequence) + 1 then return false end"
    })
  },
  {
    name: "only the first of the found tags is looked up",
    breaks: "what is found late must have been quiet",
    where: { ...hot, definitions: ["partition"], slowest: 30 },
    ...ofBoth({
      from: "  for i = 1, #names do\n    local last = redis.call('ZSCORE'",
      to: "  for i = 1, 1 do\n    local last = redis.call('ZSCORE'"
    })
  },
  {
    name: "a full server keeps the journal that it cannot write to",
    breaks: "what was not noted is unknown",
    where: { ...hot, ...ofFound, faults: ["full"], slowest: 30 },
    ...ofBoth({
      from: "if not pcall(attempt, journal, names, limit, nonce, life) then redis.call('DEL', journal) end",
      to: "pcall(attempt, journal, names, limit, nonce, life)"
    })
  }
]

const ofFences: ReadonlyArray<Mistake> = [
  {
    name: "mutate only invalidates before the write",
    breaks: "G7: a load between invalidation and write",
    modes: plain,
    options: storeWith((store) => ({
      fence: (fence) => Effect.tap(store.fence(fence), () => store.lift(fence)),
      lift: () => Effect.succeed(true)
    }))
  },
  {
    name: "loads under a fence are stored",
    breaks: "G7: a load between invalidation and write",
    ...ofWhole({ scripts: ["commit"], from: "if #over > 0 then return { now, 'fenced' } end", to: "" })
  },
  {
    name: "a load does not ask which fences stand",
    breaks: "G7: a load between invalidation and write",
    ...ofWhole({ scripts: ["begin"], from: "tokens, standing(KEYS[4]) }", to: "tokens, {} }" })
  },
  {
    name: "a load does not ask which fences stand, in steps",
    breaks: "G7: a load between invalidation and write",
    modes: steps,
    options: answering("position", ([now, epoch, at]) => [now, epoch, at, []])
  },
  {
    name: "what was loaded under a lifted fence is shared",
    breaks: "G7: only while the fence stands",
    ...ofWhole({
      scripts: ["commit"],
      from: "if not allStand(KEYS[4], over) then return { now, 'invalidated' } end",
      to: ""
    })
  },
  {
    name: "what was loaded under a lifted fence is shared, in steps",
    breaks: "G7: only while the fence stands",
    modes: steps,
    options: answering("stand", ([now]) => [now, 1])
  },
  {
    name: "a failure under a lifted fence is shared",
    breaks: "G7: only while the fence stands",
    where: { ...hot, definitions: ["negative", "tag"], failing: 0.3, slowest: 30 },
    ...ofWhole({
      scripts: ["discard"],
      from: "if not allStand(KEYS[3], over) then return { now, 'invalidated' } end",
      to: ""
    })
  },
  {
    name: "lifting one fence lifts all",
    breaks: "G7: fences overlap",
    where: { ...hot, definitions: ["tag", "forever"], faults: ["crash"], faultEvery: 10_000, slowest: 30, writes: 0.3 },
    ...ofBoth({ scripts: ["lift"], from: "redis.call('HDEL', KEYS[1], id)", to: "redis.call('DEL', KEYS[1])" })
  },
  {
    name: "a process that lifts a fence lifts all that it has opened",
    breaks: "G7: fences overlap",
    where: { ...hot, definitions: ["tag", "forever"], faults: ["crash"], faultEvery: 10_000, slowest: 30, writes: 0.3 },
    modes: plain,
    options: allFences
  },
  {
    name: "a fence that ran out or was lost is lifted without a word",
    breaks: "G7: a lost fence protected nothing",
    where: { ...hot, definitions: ["tag", "negative"], faults: ["evict"], faultEvery: 5000, slowest: 30 },
    ...ofWhole({ scripts: ["lift"], from: "stood and 1 or 0", to: "1" })
  },
  {
    name: "a fence that ran out or was lost is lifted without a word, in steps",
    breaks: "G1: a lost fence protected nothing",
    where: { ...hot, definitions: ["tag", "page"], faults: ["evict"], faultEvery: 5000, slowest: 30 },
    ...ofSteps({ scripts: ["lift"], from: "stood and 1 or 0", to: "1" })
  },
  {
    name: "a fence is never lifted",
    breaks: "a fence stands as long as its write",
    ...ofBoth({ scripts: ["lift"], from: "redis.call('HDEL', KEYS[1], id)", to: "" })
  },
  {
    name: "a fence stands for no time",
    breaks: "G7: a fence stands until it is lifted, or its time is over",
    where: { ...hot, definitions: ["tag", "forever"], faults: ["crash"], slowest: 30 },
    ...ofBoth({
      from: "string.format('%.0f', ms + length) .. ' ' .. over",
      to: "string.format('%.0f', ms) .. ' ' .. over"
    })
  },
  {
    name: "a fence that is over stands",
    breaks: "a process that dies holds nobody up",
    where: {
      ...hot,
      definitions: ["tag"],
      bys: [["known", 1]],
      soft: 0,
      faults: ["crash"],
      faultEvery: 20_000,
      slowest: 30,
      fence: 10,
      writes: 0.15
    },
    ...ofBoth({ from: "if till and tonumber(till) > ms then", to: "if till then" }, {
      from: "return till ~= nil and tonumber(till) > ms",
      to: "return till ~= nil"
    })
  },
  {
    name: "a fence leaves the markers",
    breaks: "G7: a fence invalidates what it is over",
    ...ofWhole({
      scripts: ["fence"],
      from: "for i = 1, #names do replace(KEYS[2 + 3 * #keyModes + i], modes[i], nonce, life) end",
      to: ""
    })
  },
  {
    name: "a fence leaves the keys",
    breaks: "G7: a fence invalidates what it is over",
    ...ofWhole({
      scripts: ["fence"],
      from: "local count, more = removeAll(3, keyModes, channel, nonce)",
      to: "local count, more = 0, 0"
    })
  },
  {
    name: "several steps of an invalidation are no fence",
    breaks: "G1: nothing is stored that was loaded between two steps",
    modes: steps,
    options: stepsAreNoFence
  }
]

const ofInvalidations: ReadonlyArray<Mistake> = [
  {
    name: "invalidating a key leaves its lease",
    breaks: "commit needs the token",
    ...ofBoth({ from: "  release(lease, channel)\n  local more = replaceKey", to: "  local more = replaceKey" })
  },
  {
    name: "a soft invalidation of a key leaves its entry",
    breaks: "G1: not as fresh after a soft invalidation",
    ...ofBoth({ from: "if failed(redis.pcall('SETRANGE', entry, 0, 'b')) then redis.call('DEL', entry) end", to: "" })
  },
  {
    name: "on a full server an entry stays as it was",
    breaks: "a full server lets delete",
    harmless: "the lease was deleted before, and a script that has written is not refused any more",
    where: { ...hot, definitions: ["tag", "found"], faults: ["full"], bys: [["key", 1]], soft: 0.7 },
    ...ofBoth({
      from: "if failed(redis.pcall('SETRANGE', entry, 0, 'b')) then redis.call('DEL', entry) end",
      to: "redis.pcall('SETRANGE', entry, 0, 'b')"
    })
  },
  {
    name: "of several keys the last one stays",
    breaks: "an invalidation is of all that it names",
    ...ofWhole({
      scripts: ["invalidate"],
      from: "for i = 1, #modes do\n    local at",
      to: "for i = 1, #modes - 1 do\n    local at"
    })
  },
  {
    name: "that an entry is softened is not read",
    breaks: "G1: not as fresh after a soft invalidation",
    modes: plain,
    options: reading((entry) => told(entry, { softened: false }))
  },
  {
    name: "a sweep leaves leases",
    breaks: "commit needs the token",
    modes: plain,
    options: skipping("release")
  },
  {
    name: "a sweep leaves the markers of keys",
    breaks: "what has a version ends by the marker of its key",
    harmless: "each entry and lease of such a key is found as well, and ends by itself",
    where: { ...hot, definitions: ["released"], bys: [["pattern", 1], ["everything", 1]] },
    modes: plain,
    options: skipping("replaceKey")
  },
  {
    name: "invalidations return before they have happened",
    breaks: "G8: acknowledged means done",
    modes: plain,
    options: lateInvalidations
  },
  {
    name: "an invalidation that was not answered counts as done",
    breaks: "G8: acknowledged means done",
    where: { ...hot, definitions: ["tag", "found"], faults: ["restart"], faultEvery: 500_000, every: 20_000 },
    modes: plain,
    options: guardWith((store) => ({
      invalidate: (batch) => Effect.catch(store.invalidate(batch), () => Effect.succeed(0)),
      fence: (fence) => Effect.catch(store.fence(fence), () => Effect.succeed(0)),
      lift: (fence) => Effect.catch(store.lift(fence), () => Effect.succeed(true))
    }))
  },
  {
    name: "an invalidation does not wait for replicas",
    breaks: "G8: what was acknowledged is not lost",
    where: { ...hot, definitions: ["tag", "found"], acknowledge: "replicas", faults: ["failover"], faultEvery: 20_000 },
    modes: ["replicas"],
    options: () => ({
      client: (client) => {
        const hasty = (client: Client): Client => ({
          ...client,
          scriptAndWait: (operation, script, keys, args, { replicas }) =>
            Effect.map(client.script(operation, script, keys, args), (answer) => [answer, replicas] as const),
          beside: Effect.map(client.beside, hasty)
        })
        return hasty(client)
      }
    })
  },
  {
    name: "a walk is of one server",
    breaks: "G1: a pattern ends what it matches wherever it lies",
    where: { ...hot, rows: 3, definitions: ["tag", "found"], bys: [["pattern", 1], ["everything", 1]] },
    modes: ["cluster"],
    options: clientWith((client) => ({
      primaries: () =>
        client.primaries().map((node, i): Node => ({
          ...node,
          command: (operation, ...command) =>
            i > 0 && command[0] === "SCAN" ? Effect.succeed(["0", []]) : node.command(operation, ...command)
        }))
    }))
  }
]

const ofReads: ReadonlyArray<Mistake> = [
  {
    name: "reads of a moment ago are not read again",
    breaks: "G1: a read begins after what it must see",
    modes: plain,
    options: shortCopies(5)
  },
  {
    name: "a copy in front of the store is filled without asking",
    breaks: "a fill of any tier obeys the same check",
    modes: plain,
    options: filledCopies
  },
  {
    name: "where the server does not answer, what it said before is served",
    breaks: "G10: reads load where the store fails",
    where: { ...hot, definitions: ["tag", "found"], faults: ["cut", "freeze"] },
    modes: plain,
    options: lastKnown
  },
  {
    name: "of reads that are sent together, each has the answer of the next",
    breaks: "G10: what is served is of its key",
    modes: plain,
    options: shifted
  },
  {
    name: "ages are told by the clock of the process",
    breaks: "G4: wall clocks of processes take no part",
    where: { ...hot, definitions: ["or", "ttl"], faults: ["wallClock"] },
    modes: plain,
    options: () => ({
      store: (store) => ({ ...store, now: (clock) => clock.currentTimeMillisUnsafe() })
    })
  },
  {
    name: "an entry is as old as the process has known it",
    breaks: "G4: ages count from the load",
    where: { ...hot, definitions: ["or", "ttl"] },
    modes: plain,
    options: agesAsSeen
  },
  {
    name: "a frozen server is waited for",
    breaks: "G10: reads end in bounded time",
    where: { ...hot, definitions: ["tag", "found"], faults: ["freeze"] },
    modes: plain,
    options: () => ({ guard: (store) => store })
  },
  {
    name: "a version is asked for once",
    breaks: "G1: a read asks for the version that is",
    where: { ...hot, definitions: ["versioned"] },
    modes: plain,
    options: () => {
      const first = new Map<number, number>()
      return {
        kind: (kind, origin) =>
          kind.name !== "versioned" ? kind : {
            ...kind,
            policy: Policy.versioned((row: number) =>
              Effect.sync(() => {
                const version = first.get(row) ?? origin.versions[row]!
                first.set(row, version)
                return version
              }), { name: "row" })
          }
      }
    }
  },
  {
    name: "what lies in between is not covered",
    breaks: "G1: if the invalidation covers everything in between",
    modes: plain,
    options: () => ({ kind: (kind) => kind.name === "tag" ? { ...kind, policy: Policy.forever } : kind })
  },
  {
    name: "nothing is kept",
    breaks: "a cache that keeps nothing is always right",
    modes: plain,
    options: storeWith((store) => ({
      commit: (address, lease, draft) => store.discard(address, lease, draft.stamp.dependencies)
    }))
  }
]

export const mistakes: ReadonlyArray<Mistake> = [
  ...ofLoads,
  ...ofLeases,
  ...ofMarkers,
  ...ofJournal,
  ...ofFences,
  ...ofInvalidations,
  ...ofReads
]

export const mistakeNamed = (name: string): Mistake | undefined => mistakes.find((mistake) => mistake.name === name)

export interface Found {
  readonly name: string
  /** How many keys were read until it was found; nothing, if it was not. */
  readonly reads: number | undefined
  /** The guarantee that was broken, or that it has no hits. */
  readonly guarantee: string | undefined
  readonly what: string | undefined
}

// Of the usual hits, after so many reads.
const leastShare = 0.85
const readsForHits = 20_000

/** A cache that keeps little is right. So what is kept is compared with what is kept without the mistake. */
export const keepsLittle = async (
  { modes: own = plain, where }: Mistake,
  { modes = own, seed, seen: { hits, reads } }: {
    readonly seed: number
    readonly seen: Seen
    readonly modes?: ReadonlyArray<Mode> | undefined
  }
): Promise<boolean> => {
  const usual = await series({ seed, reads, modes, where })
  return hits < leastShare * usual.seen.hits
}

/** Looks for a mistake: for a promise that is broken, and for hits that are missing. */
export const found = async (
  mistake: Mistake,
  { modes = mistake.modes ?? plain, reads, seed }: {
    readonly seed: number
    readonly reads: number
    readonly modes?: ReadonlyArray<Mode>
  }
): Promise<Found> => {
  const { name, options, where } = mistake
  const run = (reads: number, options?: Mistake["options"]) => series({ seed, reads, modes, where, options })
  const violationIn = ({ broken, seen }: Awaited<ReturnType<typeof run>>): Found | undefined => {
    const first = broken?.result.violations[0]
    return first && { name, reads: seen.reads, guarantee: first.guarantee, what: first.what }
  }
  const soon = await run(Math.min(reads, readsForHits), options)
  const violated = violationIn(soon)
  if (violated !== undefined) return violated
  const { seen } = soon
  if (await keepsLittle(mistake, { seed, modes, seen })) {
    return { name, reads: seen.reads, guarantee: "too few hits", what: undefined }
  }
  return (reads > readsForHits ? violationIn(await run(reads, options)) : undefined) ??
    { name, reads: undefined, guarantee: undefined, what: undefined }
}

/** Found, or known to do no harm. */
export const isGood = ({ name, reads }: Found): boolean =>
  reads !== undefined || mistakeNamed(name)?.harmless !== undefined

export const tableOf = (all: ReadonlyArray<Found>): string =>
  [
    "| mistake | breaks | found after reads | as |",
    "|---|---|---|---|",
    ...all.map(({ guarantee, name, reads }) => {
      const { breaks, harmless } = mistakeNamed(name)!
      return `| ${name} | ${breaks} | ${reads ?? `never: ${harmless ?? "**it survives**"}`} | ${guarantee ?? ""} |`
    })
  ].join("\n")
