/**
 * One process: it asks a cache when requests arrive, whether earlier ones were
 * answered or not, and writes down what came of them.
 */
import { Redis } from "ioredis"
import { type Arrival, changes, requests } from "../draw.ts"
import { failed, unanswered } from "../log.ts"
import { type Client, contenderOf } from "./contenders.ts"
import { clock, type LoadRecord, type Observed, type Part, sleep, type ToParent, type ToWorker } from "./messages.ts"
import type { Stretch } from "./scenarios.ts"

const send = (message: ToParent): void => {
  process.send!(message)
}

/** Commands that clients of `ioredis` sent: the server counts what scripts run there, too, and cannot tell them apart. */
let sent = 0
const { sendCommand } = Redis.prototype
Redis.prototype.sendCommand = function(...args) {
  sent++
  return sendCommand.apply(this, args)
}

/** How long is waited for what was not answered when the stretch ended. */
const patience = 15_000

/** Loads of one key that no request asks for, so that what is measured is not the first that is done. */
const warmUp = async ({ get, invalidate }: Client): Promise<void> => {
  const nobodys = 1_000_000
  for (let i = 0; i < 60; i++) {
    if (i % 20 === 0) await invalidate(nobodys)
    await get(nobodys)
  }
}

type Loading = { -readonly [P in keyof LoadRecord]: LoadRecord[P] }

/** Every load of this process, by its name. */
class Loads {
  started = 0
  /** From here on it is the origin that is asked. */
  warm = false
  private names = 0
  private now: () => number = () => 0
  private seen = new Map<number, Loading>()
  private readonly waiting = new Map<number, (good: boolean) => void>()

  begin(now: () => number): void {
    this.now = now
    this.seen = new Map()
  }

  /** Names begin at 1: there are libraries to which 0 is nothing. */
  readonly load = (process: number) => async (key: number): Promise<number> => {
    const name = process * 1_000_000 + ++this.names
    if (!this.warm) return name
    const one: Loading = { name, key, start: this.now(), end: Infinity, good: false, stored: false }
    this.seen.set(name, one)
    const good = await new Promise<boolean>((resolve) => {
      this.waiting.set(name, resolve)
      send({ _tag: "Load", name, key })
    })
    one.end = this.now()
    one.good = good
    one.stored = good
    if (!good) throw new Error("the origin failed")
    return name
  }

  loaded(name: number, good: boolean): void {
    this.waiting.get(name)?.(good)
    this.waiting.delete(name)
  }

  readonly refused = (name: number): void => {
    const one = this.seen.get(name)
    if (one !== undefined) one.stored = false
  }

  get running(): number {
    return this.waiting.size
  }

  get records(): ReadonlyArray<LoadRecord> {
    return [...this.seen.values()]
  }
}

/** Those that come to this process until then. */
const mine = (all: Generator<Arrival, never>, process: number, until: number): ReadonlyArray<Arrival> => {
  const found: Array<Arrival> = []
  for (const one of all) {
    if (one.at >= until) return found
    if (one.process === process) found.push(one)
  }
  return found
}

/** Does each when its time comes, or as soon after it as this process can. Ends with the last. */
const inTime = (all: ReadonlyArray<Arrival>, now: () => number, act: (one: Arrival) => void): Promise<void> =>
  new Promise((resolve) => {
    let next = 0
    const go = (): void => {
      for (; next < all.length && all[next]!.at <= now(); next++) act(all[next]!)
      if (next === all.length) resolve()
      else setTimeout(go, Math.max(1, all[next]!.at - now()))
    }
    go()
  })

class Playing {
  readonly client: Client
  private readonly part: Part
  private readonly loads: Loads

  constructor(client: Client, part: Part, loads: Loads) {
    this.client = client
    this.part = part
    this.loads = loads
  }

  async play(at: number, { from, until }: Stretch): Promise<Observed> {
    const { client, loads } = this
    const { process, scenario, seed } = this.part
    const now = (): number => clock() - at
    loads.begin(now)
    const keys: Array<number> = []
    const ats: Array<number> = []
    const ends: Array<number> = []
    const given: Array<number> = []
    const told: Array<Observed["changes"][number]> = []
    const open = new Set<object>()

    // Measured from when it should have been asked, so that what delays this process is not left out.
    const request = ({ at, key }: Arrival): void => {
      const i = ats.push(at) - 1
      keys.push(key)
      ends.push(NaN)
      given.push(unanswered)
      const answered = (load: number): void => {
        ends[i] = now()
        given[i] = load
        open.delete(answered)
      }
      open.add(answered)
      client.get(key).then(answered, () => answered(failed))
    }

    const change = async ({ key }: Arrival): Promise<void> => {
      const one = { key, at: now(), known: Infinity }
      told.push(one)
      open.add(one)
      try {
        // Committed here: loads that begin from now on see it.
        if (scenario.changes.invalidates) await client.invalidate(key)
        one.known = now()
      } catch {
        // The writer was never told that it is known, so nobody is owed it.
      } finally {
        open.delete(one)
      }
    }

    const counting = async (): Promise<number> => {
      await sleep(from - now())
      const before = sent
      await sleep(until - now())
      return sent - before
    }

    const [commands] = await Promise.all([
      counting(),
      inTime(mine(requests(scenario, seed), process, until), now, request),
      inTime(mine(changes(scenario, seed), process, until), now, (one) => void change(one))
    ])
    const limit = now() + patience
    while (open.size + loads.running > 0 && now() < limit) await sleep(5)
    for (let i = 0; i < ends.length; i++) if (given[i] === unanswered) ends[i] = now()
    return { process, loads: loads.records, keys, ats, ends, given, changes: told, commands }
  }
}

const loads = new Loads()
let playing: Playing | undefined

const prepare = async (part: Part): Promise<Playing> => {
  const { contender, prefix, process, scenario, timeLimit, url } = part
  const connection = { url, prefix, timeLimit, load: loads.load(process), refused: loads.refused }
  loads.warm = false
  const client = await contenderOf(contender).make(connection, scenario)
  await warmUp(client)
  loads.warm = true
  return new Playing(client, part, loads)
}

const receive = async (message: ToWorker): Promise<void> => {
  switch (message._tag) {
    case "Prepare":
      playing = await prepare(message.part)
      return send({ _tag: "Prepared" })
    case "Go":
      return send({ _tag: "Done", observed: await playing!.play(message.at, message.stretch) })
    case "Loaded":
      return loads.loaded(message.name, message.good)
    case "Close":
      await playing!.client.close()
      playing = undefined
      return send({ _tag: "Closed" })
  }
}

const fail = (error: unknown): void =>
  send({ _tag: "Failed", message: error instanceof Error ? error.stack ?? error.message : String(error) })

process.on("message", (message: ToWorker) => void receive(message).catch(fail))
process.on("uncaughtException", fail)
// Whoever started it is gone.
process.on("disconnect", () => process.exit())
send({ _tag: "Born" })
