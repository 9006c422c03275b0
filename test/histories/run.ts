/**
 * Runs a history: starts the processes, is their origin, hurts them and the
 * servers by a schedule that a seed decides, and collects what they wrote down.
 */
import { Cluster, type Redis } from "ioredis"
import { type ChildProcess, fork, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { connect, type Server } from "../support/redis.ts"
import { makeFolder } from "../support/redisFolder.ts"
import { check, type Verdict } from "./check.ts"
import { type Fact, type Fault, type History, now } from "./history.ts"
import type { CacheKind, Job, Storm, StormResult, ToParent, ToWorker } from "./messages.ts"
import { allDependencies, type Dice, dice, foundTags, limits, names, rowKeys, storedKey } from "./workload.ts"

export const sleep = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

// -----------------------------------------------------------------------------
// processes
// -----------------------------------------------------------------------------

interface Row {
  v: number
  tag: string
}

/** A process that waits for work. */
class Worker {
  readonly child: ChildProcess
  onMessage: (message: ToParent) => void = () => {}
  onExit: () => void = () => {}
  private readonly born: Promise<void>

  constructor() {
    const env = { ...process.env }
    delete env["NODE_OPTIONS"]
    this.child = fork(fileURLToPath(new URL("worker.ts", import.meta.url)), [], { env, execArgv: [] })
    this.born = new Promise((resolve, reject) => {
      this.child.on("message", (message: ToParent) => {
        if (message._tag === "Born") resolve()
        else this.onMessage(message)
      })
      this.child.once("exit", (code, signal) => {
        reject(new Error(`a process ended before it began: ${code} ${signal}`))
        this.onExit()
      })
    })
  }

  get isAlive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  async ready(): Promise<void> {
    await this.born
  }

  send(message: ToWorker): void {
    if (this.child.connected) this.child.send(message, () => undefined)
  }

  async end(): Promise<void> {
    if (!this.isAlive) return
    const exited = once(this.child, "exit")
    this.child.kill("SIGKILL")
    await exited
  }
}

/** Processes that are used by one history after another. */
export class Crew {
  private workers: Array<Worker> = []

  async take(count: number): Promise<ReadonlyArray<Worker>> {
    this.workers = this.workers.filter(({ isAlive }) => isAlive)
    while (this.workers.length < count) this.workers.push(new Worker())
    const taken = this.workers.slice(0, count)
    await Promise.all(taken.map((worker) => worker.ready()))
    return taken
  }

  async end(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.end()))
    this.workers = []
  }
}

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

export const faultKinds = ["evict", "pause", "drop", "flush", "stall", "skew", "step", "crash"] as const
export type FaultKind = typeof faultKinds[number]

export interface Options {
  readonly seed: number
  /** It lasts so long, and until so many writes have been made: longer where the machine is slow. */
  readonly seconds: number
  readonly commits?: number
  readonly cache: CacheKind
  /** The nodes that are hurt. */
  readonly servers: ReadonlyArray<Server>
  readonly faults: ReadonlyArray<FaultKind>
  readonly readers?: number
  readonly writers?: number
  readonly acknowledge?: "primary" | "replicas"
  /** What happens besides, while the processes run. */
  readonly during?: (run: During) => Promise<void>
}

export interface During {
  readonly note: (fault: Omit<Fault, "t">) => void
  /** What the processes have written down until now. */
  readonly facts: () => ReadonlyArray<Fact>
}

export interface Outcome {
  readonly history: History
  readonly verdict: Verdict
  readonly troubles: ReadonlyArray<string>
}

const patience = { timeLimit: 300, failures: 10, openFor: 150 }

const prefixOf = (seed: number): string => `history-${process.pid}-${seed}-${now()}`

// -----------------------------------------------------------------------------
// the origin
// -----------------------------------------------------------------------------

/** One row a key. It lives in this process, so what is asked of it happens in one order. */
class Origin {
  readonly commits: Array<Fact> = []
  readonly loads: Array<string> = []
  private readonly rows = new Map<string, Row>()
  private awaited: { readonly commits: number; readonly resolve: () => void } | undefined

  /** Until so many writes have been made. */
  written(commits: number): Promise<void> {
    if (this.commits.length >= commits) return Promise.resolve()
    return new Promise((resolve) => {
      this.awaited = { commits, resolve }
    })
  }

  answer({ key, move, n, p, write }: Extract<ToParent, { readonly _tag: "Ask" }>): ToWorker {
    let row = this.rows.get(key)
    if (row === undefined) this.rows.set(key, row = { v: 0, tag: foundTags[0]! })
    const before = row.tag
    if (write) {
      row.v++
      row.tag = move ?? row.tag
      this.commits.push({ t: "commit", p, key, v: row.v, at: now() })
      if (this.awaited !== undefined && this.commits.length >= this.awaited.commits) this.awaited.resolve()
    } else this.loads.push(key)
    return { _tag: "Answer", n, v: row.v, tag: row.tag, before }
  }
}

// -----------------------------------------------------------------------------
// faults
// -----------------------------------------------------------------------------

/** Those who arrange faults, by connections of their own. */
class Saboteur {
  readonly facts: Array<Fault> = []
  private readonly admins: ReadonlyArray<Redis>
  private readonly cluster: Cluster | undefined
  private readonly prefix: string
  private readonly dice: Dice

  private constructor(admins: ReadonlyArray<Redis>, cluster: Cluster | undefined, prefix: string, seed: number) {
    this.admins = admins
    this.cluster = cluster
    this.prefix = prefix
    this.dice = dice(seed + 77)
  }

  static async start(options: Options, prefix: string): Promise<Saboteur> {
    const admins = await Promise.all(options.servers.map(({ url }) => connect(url)))
    const { cache } = options
    const cluster = cache._tag === "cluster" ? new Cluster([...cache.nodes]) : undefined
    cluster?.on("error", () => undefined)
    return new Saboteur(admins, cluster, prefix, options.seed)
  }

  note(fault: Omit<Fault, "t">): void {
    this.facts.push({ t: "fault", ...fault })
  }

  /** Does something to a server, and notes it if it was done. */
  private async hurt(kind: Fault["kind"], what: string, deed: () => Promise<unknown>): Promise<void> {
    const from = now()
    const done = await deed().catch(() => undefined)
    if (done !== 0 && done !== undefined) this.note({ kind, what, from, to: now() })
  }

  private evict(): Promise<void> {
    const { pick } = this.dice
    const stored = storedKey(pick(names), pick(rowKeys))
    const dependency = pick(allDependencies)
    const [what, key] = pick([
      [stored, `e:{${stored}}`],
      [stored, `l:{${stored}}`],
      [dependency, `m:{${dependency}}`],
      ["journal", "j:{journal}"],
      ["fences", "f:{journal}"]
    ])
    const admin = this.cluster ?? this.admins[0]!
    return this.hurt("evict", what!, () => admin.del(`${this.prefix}:${key}`))
  }

  private async drop(): Promise<void> {
    const admin = this.dice.pick(this.admins)
    const type = this.dice.pick(["normal", "normal", "pubsub"] as const)
    const all = this.dice.happens(0.5)
    await this.hurt("drop", type, async () => {
      if (all) return await admin.call("CLIENT", "KILL", "TYPE", type, "SKIPME", "yes")
      const list = String(await admin.call("CLIENT", "LIST", "TYPE", type)).trim().split("\n").filter(Boolean)
      const mine = String(await admin.call("CLIENT", "ID"))
      const ids = list.map((line) => /id=(\d+)/.exec(line)![1]!).filter((id) => id !== mine)
      return ids.length === 0 ? 0 : await admin.call("CLIENT", "KILL", "ID", this.dice.pick(ids))
    })
  }

  private pause(workers: ReadonlyArray<Worker>): void {
    const i = this.dice.below(workers.length)
    const { pid } = workers[i]!.child
    const seconds = 0.3 + this.dice.next() * 0.3
    const from = now()
    // One that outlives this process also wakes whom it put to sleep.
    const script = "kill -STOP $0 && sleep $1 && kill -CONT $0"
    spawn("sh", ["-c", script, String(pid), seconds.toFixed(2)], { stdio: "ignore" }).once("exit", () => {
      this.note({ kind: "pause", p: nameOf(i), from, to: now() })
    })
  }

  private async once(kind: FaultKind, workers: ReadonlyArray<Worker>): Promise<void> {
    const admin = this.dice.pick(this.admins)
    switch (kind) {
      case "evict":
        return this.evict()
      case "pause":
        return this.pause(workers)
      case "drop":
        return this.drop()
      case "flush":
        return this.hurt("flush", "scripts", () => admin.call("SCRIPT", "FLUSH"))
      case "stall": {
        const millis = this.dice.pick([20, 60, 60, 400])
        return this.hurt("stall", `${millis} ms`, () => admin.call("CLIENT", "PAUSE", millis, "ALL"))
      }
      default:
        return undefined
    }
  }

  /** One fault after another, until the time is up; and so many at least, or on a slow machine some kinds never come. */
  async work(options: Options, workers: ReadonlyArray<Worker>, until: number): Promise<void> {
    const heavy = options.faults.filter((kind) => !["evict", "skew", "step", "crash"].includes(kind))
    const least = options.seconds * 20
    for (let done = 0; done < least || now() < until; done++) {
      // Evictions cost little; the others would leave nothing to be seen if they came as often.
      if (options.faults.includes("evict")) await this.once("evict", workers)
      if (heavy.length > 0 && this.dice.happens(0.1)) await this.once(this.dice.pick(heavy), workers)
      await sleep(10 + this.dice.next() * 30)
    }
  }

  end(): void {
    for (const admin of this.admins) admin.disconnect()
    this.cluster?.disconnect()
  }
}

const nameOf = (i: number): string => `P${i + 1}`

const minutes = 60_000

const clockOf = ({ faults, seconds }: Options, i: number): Job["clock"] => {
  const skewed = faults.includes("skew") ? [{ after: 0, by: [0, 5, -5, 0, -3, 7][i % 6]! * minutes }] : []
  const stepped = faults.includes("step") && i % 3 === 0
    ? [{ after: seconds * 400, by: (i % 2 === 0 ? -4 : 6) * minutes }, { after: seconds * 700, by: minutes }]
    : []
  return [...skewed, ...stepped]
}

const readFacts = (file: string): ReadonlyArray<Fact> =>
  fs.readFileSync(file, "utf8").split("\n").filter(Boolean).flatMap((line) => {
    try {
      return [JSON.parse(line) as Fact]
    } catch {
      // The last line of a process that was killed.
      return []
    }
  })

// -----------------------------------------------------------------------------
// a run
// -----------------------------------------------------------------------------

/** Processes that are prepared, with an origin that answers them. */
class Company {
  readonly origin = new Origin()
  readonly troubles: Array<string> = []
  readonly results: Array<StormResult> = []
  readonly workers: ReadonlyArray<Worker>
  onLost: (worker: Worker) => void = () => {}
  private waiting: { readonly tag: ToParent["_tag"]; left: number; readonly resolve: () => void } | undefined
  private expected: number

  constructor(workers: ReadonlyArray<Worker>) {
    this.workers = workers
    this.expected = workers.length
    for (const worker of workers) {
      worker.onMessage = (message) => this.hear(worker, message)
      worker.onExit = () => {
        this.expected--
        this.onLost(worker)
        this.arrived("Done")
      }
    }
  }

  private arrived(tag: ToParent["_tag"]): void {
    const { waiting } = this
    if (waiting?.tag !== tag) return
    if (--waiting.left <= 0) waiting.resolve()
  }

  private hear(worker: Worker, message: ToParent): void {
    switch (message._tag) {
      case "Ask":
        return worker.send(this.origin.answer(message))
      case "Trouble":
        this.troubles.push(message.what)
        return
      case "Stormed":
        this.results.push(message.result)
        break
      default:
        break
    }
    this.arrived(message._tag)
  }

  /** Says something to all, and waits until all have answered. */
  async all(messages: (i: number) => ToWorker, answer: ToParent["_tag"], limit = 20_000): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const answered = new Promise<void>((resolve) => {
      this.waiting = { tag: answer, left: this.expected, resolve }
    })
    this.workers.forEach((worker, i) => worker.send(messages(i)))
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`after ${limit} ms ${this.waiting?.left} processes are still not ${answer}: ${this.troubles}`))
      }, limit)
    })
    await Promise.race([answered, late]).finally(() => clearTimeout(timer))
  }

  tell(message: ToWorker): void {
    for (const worker of this.workers) worker.send(message)
  }
}

const historyLimits: History["limits"] = {
  ...limits,
  // Half a round trip is all by which two estimates of the server's clock may differ.
  clockSlack: 100,
  // What is more is the machine's, which may stall, and so may whoever answers loads.
  read: limits.waitLimit + 3 * patience.timeLimit + 8_000
}

const jobOf = (options: Options, prefix: string, folder: string, count: number) => (i: number): ToWorker => {
  const { acknowledge = "primary", cache, readers = 4, seed, seconds } = options
  const isReader = i < readers
  const job: Job = {
    ...patience,
    p: nameOf(i),
    file: path.join(folder, `${nameOf(i)}.jsonl`),
    cache,
    prefix,
    seed: seed * 1000 + i,
    acknowledge,
    readers: isReader || cache._tag === "memory" ? 4 : 0,
    writers: !isReader || cache._tag === "memory" ? 1 : 0,
    clock: clockOf(options, i),
    crashAfter: options.faults.includes("crash") && i === count - 1 ? seconds * 600 : undefined
  }
  return { _tag: "Prepare", job }
}

/** Readers and writers for so many seconds, and what the checker says of it. */
export const runHistory = async (crew: Crew, options: Options): Promise<Outcome> => {
  const { commits = 0, readers = 4, seconds, seed, writers = 2 } = options
  const folder = makeFolder()
  const count = options.cache._tag === "memory" ? 1 : readers + writers
  const workers = await crew.take(count)
  const prefix = prefixOf(seed)
  const saboteur = await Saboteur.start(options, prefix)
  try {
    const company = new Company(workers)
    company.onLost = (worker) => {
      saboteur.note({ kind: "crash", p: nameOf(workers.indexOf(worker)), from: now(), to: now() })
    }
    await company.all(jobOf(options, prefix, folder, count), "Prepared")
    const millis = seconds * 1000
    company.tell({ _tag: "Go" })
    const begun = now()
    const files = workers.map((_, i) => path.join(folder, `${nameOf(i)}.jsonl`))
    await Promise.all([
      sleep(millis),
      company.origin.written(commits),
      saboteur.work(options, workers, begun + (millis - 300) * 1000),
      options.during?.({ note: (fault) => saboteur.note(fault), facts: () => files.flatMap(readFacts) })
    ])
    await company.all(() => ({ _tag: "Stop" }), "Done")
    const facts = [...files.flatMap(readFacts), ...company.origin.commits, ...saboteur.facts]
    const history: History = { facts, limits: historyLimits }
    return { history, verdict: check(history), troubles: company.troubles }
  } catch (error) {
    // What has stopped answering is of no use to the next history.
    await crew.end()
    throw error
  } finally {
    saboteur.end()
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

// -----------------------------------------------------------------------------
// storms
// -----------------------------------------------------------------------------

export interface Storms {
  /** All processes call at once; gives what each of them got, and how often the origin was asked. */
  readonly run: (storm: Storm) => Promise<{ readonly results: ReadonlyArray<StormResult>; readonly loads: number }>
}

/** Processes that do nothing but call one key all at once, as often as they are told. */
export const withStorms = async <A>(
  crew: Crew,
  options: Pick<Options, "cache" | "seed"> & { readonly processes: number },
  use: (storms: Storms) => Promise<A>
): Promise<A> => {
  const folder = makeFolder()
  const workers = await crew.take(options.processes)
  try {
    const company = new Company(workers)
    const prefix = prefixOf(options.seed)
    const job = (i: number): ToWorker => ({
      _tag: "Prepare",
      job: {
        ...patience,
        timeLimit: 2_000,
        p: nameOf(i),
        file: path.join(folder, `${nameOf(i)}.jsonl`),
        cache: options.cache,
        prefix,
        seed: options.seed,
        acknowledge: "primary",
        readers: 0,
        writers: 0,
        clock: [],
        crashAfter: undefined
      }
    })
    await company.all(job, "Prepared")
    company.tell({ _tag: "Go" })
    const result = await use({
      run: async (storm) => {
        const { loads } = company.origin
        const before = loads.length
        company.results.length = 0
        await company.all(() => ({ _tag: "Storm", storm }), "Stormed")
        return { results: [...company.results], loads: loads.length - before }
      }
    })
    await company.all(() => ({ _tag: "Stop" }), "Done")
    return result
  } catch (error) {
    await crew.end()
    throw error
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}
