/**
 * Watches a run, and writes down what happens in lines that a person can read:
 * what processes are asked for, what loads do, what the store decides and when it
 * decides it, and what goes wrong.
 *
 * It stands around the parts of a world and changes nothing of what they do: the
 * run is the same one. What the store answers is told at the moment at which the
 * server has executed it, since that, and not when the answer arrived, is when
 * it happened.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Cached from "../../src/Cached.ts"
import * as CacheStore from "../../src/CacheStore.ts"
import * as Dependency from "../../src/Dependency.ts"
import type * as Invalidation from "../../src/Invalidation.ts"
import type { Invalidation as Called, Load } from "./judge.ts"
import type { Options, World } from "./run.ts"
import { actInWords, callInWords, endInWords, faultInWords, keyName, listOf, timeOf, writeInWords } from "./words.ts"

export type Kind = "ask" | "given" | "load" | "origin" | "store" | "memory" | "call" | "returned" | "failed" | "fault"

/** Something that happened. */
export interface Line {
  /** Microseconds from the first step on. */
  readonly at: number
  /** A process, `origin`, a server, or `world`. */
  readonly where: string
  readonly what: string
  readonly kind: Kind
  /** The load that it is about. */
  readonly load: number | undefined
  /** What led to it. */
  readonly from: Line | undefined
  /** Where something ends: the line with which it began. */
  readonly since: Line | undefined
  /** The guarantee that is broken here. */
  breaks: string | undefined
}

type Details = Partial<Pick<Line, "load" | "from" | "since" | "at">>

/** That keys were asked for. */
interface Ask {
  readonly line: Line
  readonly names: ReadonlySet<string>
}

interface Command {
  readonly at: number
  readonly server: string
  /** All of it, for looking something up in it. */
  readonly text: string
}

// What a store answers is asked for not long before.
const mostCommands = 500

const loadIn = (payload: unknown): number | undefined => {
  const found = /"load":(\d+)/.exec(typeof payload === "string" ? payload : JSON.stringify(payload) ?? "")
  return found === null ? undefined : Number(found[1])
}

const failureOf = (cause: Cause.Cause<CacheStore.StoreError>): string => {
  if (Cause.hasInterruptsOnly(cause)) return "it was interrupted"
  const { mayHaveHappened, reason } = CacheStore.StoreError.fromCause("", cause)
  return `${reason._tag}${mayHaveHappened ? ", it may have happened" : ""}`
}

const invalidationInWords = (all: Invalidation.Invalidation): string =>
  all.toString().replaceAll(/\bkey ([\w.-]+:\w+)/g, (_, key: string) => keyName(key))

export class Watch {
  readonly lines: Array<Line> = []
  private readonly world: World
  private readonly commands: Array<Command> = []
  /** When the first step was due: found with it. */
  private zero: number
  private hasBegun = false
  private readonly asked: Array<Ask> = []
  private readonly began = new Map<number, Line>()
  private readonly calls = new Map<Called, Line>()
  /** Of a process: the invalidation that it called last, and what its store did of it. */
  private readonly calling = new Map<string, Line>()
  /** By process and key: the line with which it was given the lease. */
  private readonly leases = new Map<string, Line>()
  /** The last line about a load. */
  private readonly latest = new Map<number, Line>()
  private readonly holders = new Map<string, string>()

  constructor(world: World) {
    this.world = world
    this.zero = world.sim.us
    this.watchSteps()
    this.watchJudge()
    this.watchServers()
  }

  policyOf(definition: string): string {
    const { cached } = this.world.stages[0]!.definitions.get(definition)!
    return Cached.describe(cached).policy
  }

  private get now(): number {
    return this.world.sim.us - this.zero
  }

  private get process(): string {
    return this.world.sim.current?.name ?? "world"
  }

  private tell(kind: Kind, where: string, what: string, { at, from, load, since }: Details = {}): Line {
    const line: Line = { at: at ?? this.now, where, what, kind, load, from, since, breaks: undefined }
    this.lines.push(line)
    if (load !== undefined) this.latest.set(load, line)
    return line
  }

  // --------------------------------------------------------------------------
  // steps and faults
  // --------------------------------------------------------------------------

  private watchSteps(): void {
    const { world } = this
    const { plan } = world
    const act = world.act.bind(world)
    const happen = world.happen.bind(world)
    const tell = world.tell.bind(world)
    const begin = (): void => {
      if (!this.hasBegun) this.zero = world.sim.us - (plan.steps[0]?.at ?? 0)
      this.hasBegun = true
    }
    world.act = (seat, step) => {
      begin()
      const what = actInWords(step.act)
      if (seat.context !== undefined && what !== undefined) {
        const rows = step.act.do === "getMany" ? step.act.rows : [step.act.row]
        const line = this.tell("ask", seat.name, what)
        this.asked.push({ line, names: new Set(rows.map((row) => `${step.act.of}(${row})`)) })
      }
      act(seat, step)
    }
    let told = 0
    world.happen = (fault) => {
      begin()
      const before = told
      happen(fault)
      if (told === before) {
        const [where, what] = faultInWords(fault, plan)
        this.tell("fault", where, what)
      }
    }
    world.tell = (where, what) => {
      told++
      this.tell("fault", where, what)
      tell(where, what)
    }
    const { origin } = world.stages[0]!
    const write = origin.write.bind(origin)
    origin.write = (row, field) => {
      const written = write(row, field)
      this.tell("origin", "origin", writeInWords(row, field, origin.versions[row]!), {
        from: this.calling.get(this.process)
      })
      return written
    }
  }

  // --------------------------------------------------------------------------
  // loads, reads and invalidations
  // --------------------------------------------------------------------------

  private watchJudge(): void {
    const { judge } = this.world
    const begin = judge.begin.bind(judge)
    const end = judge.end.bind(judge)
    const saw = judge.saw.bind(judge)
    const call = judge.call.bind(judge)
    const returned = judge.returned.bind(judge)
    const unsure = judge.unsure.bind(judge)
    const read = judge.read.bind(judge)
    const violate = judge.violate.bind(judge)
    // What is wrong with a load or an answer is said of it, and not by a line of its own.
    let isTold = false
    judge.begin = (...args) => {
      const before = judge.violations.length
      isTold = true
      const load = begin(...args)
      isTold = false
      const { id, of, process, row } = load
      const from = this.leases.get(`${process} ${of}(${row})`) ?? this.askOf(process, `${of}(${row})`)
      const line = this.tell("load", process, `begins load ${id} of ${of}(${row})`, { load: id, from })
      line.breaks = judge.violations[before]?.guarantee
      this.began.set(id, line)
      return load
    }
    judge.saw = (load, version) => {
      saw(load, version)
      this.tell("origin", "origin", `load ${load.id} reads row ${load.row}, at version ${version}`, {
        load: load.id,
        from: this.began.get(load.id)
      })
    }
    judge.end = (load, interrupted) => {
      end(load, interrupted)
      const { id, parts, process } = load
      const of = parts.length === 0 ? "" : `, made of ${listOf([...new Set(parts.map((part) => `load ${part.id}`))])}`
      this.tell("load", process, `load ${id} ends${of}`, {
        load: id,
        from: this.latest.get(id),
        since: this.began.get(id)
      })
    }
    judge.call = (what, process, targets) => {
      const called = call(what, process, targets)
      const line = this.tell("call", process, callInWords(what))
      this.calls.set(called, line)
      this.calling.set(process, line)
      return called
    }
    const over = (called: Called, kind: Kind, word: string): void => {
      const { process, what } = called
      this.tell(kind, process, `${endInWords(what)} has ${word}`, {
        since: this.calls.get(called),
        from: this.calling.get(process)
      })
    }
    judge.returned = (called) => {
      returned(called)
      over(called, "returned", "returned")
    }
    judge.unsure = (called) => {
      unsure(called)
      over(called, "failed", "failed")
    }
    judge.violate = (guarantee, what) => {
      violate(guarantee, what)
      if (isTold) return
      const last = this.lines.at(-1)
      if (last?.kind === "given" && last.at === this.now) last.breaks ??= guarantee
      else this.tell("failed", "world", what).breaks = guarantee
    }
    judge.read = (asked, id) => {
      const before = judge.violations.length
      isTold = true
      read(asked, id)
      isTold = false
      const { fresh, of, process, row, startedAt } = asked
      const name = `${of}(${row})`
      const asks = this.asks(process, name)
      const ask = asks.findLast(({ line }) => line.at <= startedAt - this.zero)
      const which = ask === undefined || asks.length === 1 ? "" : `, for its read of ${timeOf(ask.line.at)}`
      const what = `is given ${this.nameOf(judge.loads[id], id)}${fresh ? ", as fresh" : ""}${which}`
      const line = this.tell("given", process, what, { load: id, from: this.latest.get(id), since: ask?.line })
      line.breaks = judge.violations[before]?.guarantee
    }
  }

  private nameOf(load: Load | undefined, id: number | undefined): string {
    return load === undefined ? `load ${id}` : `load ${id} of ${load.of}(${load.row})`
  }

  private asks(process: string, name: string): ReadonlyArray<Ask> {
    return this.asked.filter(({ line, names }) => line.where === process && names.has(name))
  }

  private askOf(process: string, name: string): Line | undefined {
    return this.asks(process, name).at(-1)?.line
  }

  // --------------------------------------------------------------------------
  // the store
  // --------------------------------------------------------------------------

  private watchServers(): void {
    for (const { server } of this.world.servers.places) {
      const open = server.open.bind(server)
      server.open = (peer) => {
        const session = open(peer)
        return {
          receive: (command, answer) => {
            this.commands.push({ at: this.world.sim.us, server: server.id, text: command.join(" ") })
            if (this.commands.length > mostCommands) this.commands.shift()
            session.receive(command, answer)
          },
          close: () => session.close()
        }
      }
    }
  }

  /** Where and when what holds one of these texts was executed, since then. */
  private executed(texts: ReadonlyArray<string>, since: number): Command | undefined {
    return this.commands.findLast(({ at, text }) => at >= since && texts.some((one) => text.includes(one)))
  }

  /** Tells what an operation came to, when it is over. */
  private answer<A>(
    process: string,
    what: string,
    texts: ReadonlyArray<string>,
    operation: () => Effect.Effect<A, CacheStore.StoreError>,
    answered: (value: A, at: { readonly where: string; readonly at: number; readonly isRemote: boolean }) => void
  ): Effect.Effect<A, CacheStore.StoreError> {
    const since = this.world.sim.us
    const over = (exit: Exit.Exit<A, CacheStore.StoreError>): void => {
      if (Exit.isFailure(exit)) {
        if (!Cause.hasInterruptsOnly(exit.cause)) {
          this.tell("failed", process, `${what}: no answer (${failureOf(exit.cause)})`)
        }
        return
      }
      const done = this.executed(texts, since)
      answered(exit.value, {
        where: done?.server ?? process,
        at: (done?.at ?? this.world.sim.us) - this.zero,
        isRemote: done !== undefined
      })
    }
    const effect = operation()
    // One that has its answer already must stay one that has.
    if (Exit.isExit(effect)) {
      over(effect as Exit.Exit<A, CacheStore.StoreError>)
      return effect
    }
    return Effect.onExit(effect, (exit) => Effect.sync(() => over(exit)))
  }

  /** The store of a process, which tells of what it is asked. */
  store(store: CacheStore.CacheStore, process: string): CacheStore.CacheStore {
    return CacheStore.wrap(store, (inner) => ({
      ...inner,
      read: (address) => this.read(inner, process, address),
      begin: (address, request) => this.begin(inner, process, address, request),
      commit: (address, lease, draft) => this.commit(inner, process, address, lease, draft),
      discard: (address, lease, dependencies) => {
        const key = keyName(address.key)
        return this.answer(
          process,
          `ends a load of ${key} that stores nothing`,
          [lease.token],
          () => inner.discard(address, lease, dependencies),
          (outcome, { at, where }) => {
            const may = outcome === "invalidated" || outcome === "lost" ? "may not be shared" : "may be shared"
            this.tell("store", where, `ends the lease of ${key} (${process}): what it came to ${may}`, { at })
          }
        )
      },
      abandon: (address, token) =>
        this.answer(
          process,
          `gives up the lease of ${keyName(address.key)}`,
          [token],
          () => inner.abandon(address, token),
          (_, {
            at,
            where
          }) => {
            this.tell("store", where, `${process} gives up the lease of ${keyName(address.key)}`, { at })
          }
        ),
      invalidate: (batch) => {
        const what = invalidationInWords(batch)
        return this.answer(
          process,
          `invalidates ${what}`,
          [...batch.keys.keys(), ...batch.dependencies.keys(), ...batch.patterns.keys()],
          () => inner.invalidate(batch),
          (_, { at, where }) => this.called(process, where, `invalidates ${what} for ${process}`, at)
        )
      },
      fence: (fence) => {
        const what = invalidationInWords(fence.over)
        return this.answer(
          process,
          `raises a fence over ${what}`,
          [fence.id],
          () => inner.fence(fence),
          (_, { at, where }) =>
            this.called(process, where, `raises a fence of ${process} over ${what}, and invalidates that`, at)
        )
      },
      lift: (fence) =>
        this.answer(
          process,
          "takes its fence away",
          [fence.id],
          () => inner.lift(fence),
          (stood, { at, where }) =>
            this.called(
              process,
              where,
              `takes the fence of ${process} away${stood ? "" : ", which had not stood all the time"}`,
              at
            )
        )
    }))
  }

  private called(process: string, where: string, what: string, at: number): void {
    this.calling.set(process, this.tell("store", where, what, { at, from: this.calling.get(process) }))
  }

  private read(inner: CacheStore.CacheStore, process: string, address: CacheStore.Address) {
    const key = keyName(address.key)
    return this.answer(process, `asks for ${key}`, [`{${address.key}}`], () => inner.read(address), (
      entry,
      { at, isRemote, where }
    ) => {
      // Whoever finds nothing asks for the lease next, and that is told.
      if (entry === undefined) return
      const load = loadIn(entry.payload)
      const changed = entry.changed === undefined ? [] : [...entry.changed.keys()].map(Dependency.format)
      const but = changed.length > 0
        ? `, under a token of ${listOf(changed)} that is old by now`
        : entry.softened
        ? ", softly invalidated"
        : ""
      const from = this.askOf(process, key)
      const what = this.nameOf(this.world.judge.loads[load ?? -1], load)
      if (isRemote) this.tell("store", where, `gives ${process} ${what}${but}`, { at, load, from })
      else this.tell("memory", process, `remembers ${what}${but}`, { at, load, from })
    })
  }

  private begin(inner: CacheStore.CacheStore, process: string, address: CacheStore.Address, request: CacheStore.Begin) {
    const key = keyName(address.key)
    return this.answer(process, `asks for the lease of ${key}`, [request.token], () => inner.begin(address, request), (
      begun,
      { at, where }
    ) => {
      const from = this.askOf(process, key) ?? this.calling.get(process)
      if (begun._tag === "Leased") {
        this.holders.set(begun.lease.token, process)
        this.leases.set(
          `${process} ${key}`,
          this.tell("store", where, `gives ${process} the lease of ${key}`, { at, from })
        )
      } else if (begun._tag === "Busy") {
        const who = this.holders.get(begun.token) ?? "another"
        this.tell("store", where, `tells ${process} that ${who} has the lease of ${key}`, { at, from })
      } else {
        const load = loadIn(begun.entry.payload)
        const what = this.nameOf(this.world.judge.loads[load ?? -1], load)
        this.tell("store", where, `gives ${process} ${what}, and not the lease`, { at, load, from })
      }
    })
  }

  private commit(
    inner: CacheStore.CacheStore,
    process: string,
    address: CacheStore.Address,
    lease: CacheStore.Lease,
    draft: CacheStore.Draft
  ) {
    const load = loadIn(draft.payload)
    const what = this.nameOf(this.world.judge.loads[load ?? -1], load)
    return this.answer(process, `stores ${what}`, [lease.token], () => inner.commit(address, lease, draft), (
      outcome,
      { at, where }
    ) => {
      this.tell("store", where, `${outcomeWords[outcome](what)}`, {
        at,
        load,
        from: load === undefined ? undefined : this.latest.get(load)
      })
    })
  }
}

const outcomeWords: Record<CacheStore.Outcome, (load: string) => string> = {
  stored: (load) => `stores ${load}`,
  fenced: (load) => `does not store ${load}: a fence stands over it`,
  unstored: (load) => `cannot store ${load}`,
  invalidated: (load) => `refuses ${load}: what it depends on was invalidated`,
  lost: (load) => `refuses ${load}: its lease is gone`
}

export interface Watched {
  readonly options: Options
  /** What was seen once it has run, in the order of time. */
  readonly lines: () => ReadonlyArray<Line>
  /** What can be said of a definition: its policy, in words. */
  readonly policyOf: (definition: string) => string
}

/** Options for one run that is watched. */
export const watched = (options: Options): Watched => {
  let watch: Watch | undefined
  return {
    options: {
      ...options,
      attach: (world) => {
        watch = new Watch(world)
        options.attach?.(world)
      },
      store: (store, process) => watch!.store(options.store?.(store, process) ?? store, process.name)
    },
    // Sorting is stable: what happened at once stays in the order in which it was told.
    lines: () => watch === undefined ? [] : [...watch.lines].sort((a, b) => a.at - b.at),
    policyOf: (definition) => watch?.policyOf(definition) ?? ""
  }
}
