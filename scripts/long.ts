/**
 * What runs before a release: wide searches, with seeds that no run before it had. It ends with code 1 if any of them
 * found something, and prints how to see it again.
 *
 *     npm run test:long                     an hour and a half
 *     npm run test:long -- --minutes 10
 *     npm run test:long -- --seed 5000      the seeds of another run again
 *     npm run test:long -- --only histories the parts whose name has this word
 *
 * Each part has its share of the time. It is run in rounds, each with seeds of its own, until its share is used up; the
 * last round is then cut off, which is no failure. What one part leaves over goes to those after it.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as path from "node:path"
import { parseArgs } from "node:util"

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "90" },
    seed: { type: "string", default: String(Math.floor(Date.now() / 1000) % 1_000_000) },
    only: { type: "string", default: "" }
  }
})

interface Part {
  readonly name: string
  /** How much of the time it is given, compared with the others. */
  readonly weight: number
  /** The command of a round. `seed` is the first of those that this round may use, a thousand in all. */
  readonly command: (seed: number) => ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
}

const node = (file: string, ...args: ReadonlyArray<string>) => ["node", file, ...args]

const history = (...args: ReadonlyArray<string>) => (seed: number) =>
  node("test/histories/main.ts", "--seed", `${seed}`, "--seconds", "5", ...args)

/** The files of tests that have properties. */
const properties = ["Catalogue", "Change", "Dependency", "Entity", "Invalidation", "Key", "Policy"]

const parts: ReadonlyArray<Part> = [
  {
    name: "properties, each ten times as often",
    weight: 4,
    env: { FC_RUNS: "10" },
    command: () => [
      ...["vitest", "run", "--reporter=dot", "--testTimeout=3600000"],
      ...properties.map((module) => `test/${module}/`)
    ]
  },
  {
    name: "interleavings in memory",
    weight: 4,
    command: (seed) => node("test/explore/main.ts", "--seeds", "1000", "--from", `${seed}`)
  },
  {
    name: "interleavings on Redis",
    weight: 6,
    command: (seed) => node("test/explore/redisMain.ts", "--seeds", "50", "--from", `${seed}`)
  },
  {
    name: "interruptions at every step",
    weight: 4,
    command: (seed) => node("test/interruptions/main.ts", "--seeds", "3", "--from", `${seed}`)
  },
  {
    name: "scripts on a real Redis and a simulated one",
    weight: 2,
    command: (seed) => node("test/simulation/compare/main.ts", "--states", "10000", "--seed", `${1000 * seed}`)
  },
  {
    name: "commands on a real Redis and a simulated one",
    weight: 1,
    command: (seed) =>
      node("test/simulation/compare/main.ts", "--commands", "--states", "10000", "--seed", `${1000 * seed}`)
  },
  {
    name: "worlds in virtual time",
    weight: 42,
    command: (seed) =>
      node("test/simulation/main.ts", "--seeds", `${seed}..${seed + 39}`, "--reads", "50000", "--workers", "2")
  },
  {
    name: "deliberate mistakes in virtual time",
    weight: 12,
    command: (seed) =>
      node("test/simulation/main.ts", "--mistakes", "--seed", `${seed}`, "--reads", "200000", "--workers", "2")
  },
  { name: "histories on a node, with faults", weight: 5, command: history("--rounds", "3") },
  { name: "histories on a cluster, with faults", weight: 5, command: history("--rounds", "3", "--cluster") },
  { name: "histories of a server that dies", weight: 2, command: history("--scenario", "death") },
  {
    name: "histories of a failover, acknowledged by replicas",
    weight: 2,
    command: history("--scenario", "failover", "--lag", "400", "--replicas")
  },
  {
    name: "the site of articles in memory",
    weight: 3,
    command: (seed) => node("test/articles/main.ts", "--seed", `${seed}`, "--rounds", "3", "--steps", "500")
  },
  {
    name: "the site of articles on Redis",
    weight: 3,
    command: (seed) => node("test/articles/main.ts", "--seed", `${seed}`, "--rounds", "3", "--on", "redis")
  }
]

const root = path.join(import.meta.dirname, "..")
const start = performance.now()
const budget = Number(values.minutes) * 60_000
if (!(budget > 0)) throw new Error(`--minutes is a number above 0, and not ${values.minutes}`)

const elapsed = (): number => performance.now() - start
const left = (): number => Math.max(0, budget - elapsed())

const clock = (millis: number): string => {
  const seconds = Math.round(millis / 1000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`
}

const say = (text: string): void => console.log(`[${clock(elapsed())}, ${clock(left())} left] ${text}`)

interface Round {
  readonly end: "passed" | "failed" | "cut off"
  readonly output: string
}

let running: ChildProcess | undefined

/** To a command and to what it has started. */
const signal = ({ pid }: ChildProcess, name: NodeJS.Signals): void => {
  try {
    process.kill(-pid!, name)
  } catch {
    // All of them have ended.
  }
}

/** Runs a command for so long at the most. What is cut off is asked to end, so that it stops the servers it has started. */
const run = (command: ReadonlyArray<string>, env: Part["env"], millis: number): Promise<Round> =>
  new Promise((resolve, reject) => {
    const [program, ...args] = command
    // Colours would make the output, which is searched for what failed, hard to read.
    // A group of its own: processes that it has started end with it.
    const child = spawn(program!, args, { cwd: root, detached: true, env: { ...process.env, NO_COLOR: "1", ...env } })
    running = child
    let output = ""
    const keep = (chunk: Buffer) => {
      output += chunk.toString()
    }
    child.stdout.on("data", keep)
    child.stderr.on("data", keep)
    let cut = false
    const stop = setTimeout(() => {
      cut = true
      signal(child, "SIGTERM")
    }, millis)
    // One that does not end when it is asked to is ended.
    const kill = setTimeout(() => signal(child, "SIGKILL"), millis + 10_000)
    child.on("error", reject)
    child.on("close", (code) => {
      clearTimeout(stop)
      clearTimeout(kill)
      running = undefined
      resolve({ end: cut ? "cut off" : code === 0 ? "passed" : "failed", output })
    })
  })

interface Failure {
  readonly part: string
  readonly command: string
  readonly output: string
}

const failures: Array<Failure> = []

const printed = (command: ReadonlyArray<string>, env: Part["env"] = {}): string =>
  [...Object.entries(env).map(([name, value]) => `${name}=${value}`), "npx", ...command].join(" ")

/** Tells whether a round came to its end: else the part has found nothing, and proved little. */
const runPart = async (part: Part, share: number): Promise<boolean> => {
  const until = elapsed() + share
  let [rounds, whole] = [0, 0]
  say(`${part.name}, for ${clock(share)}`)
  while (elapsed() < until) {
    const command = part.command(Number(values.seed) + 1000 * rounds++)
    const still = setInterval(() => say(`  round ${rounds} still runs`), 60_000)
    const { end, output } = await run(command, part.env, until - elapsed())
    clearInterval(still)
    if (end === "passed") whole++
    if (end !== "failed") continue
    say(`  FAILED in round ${rounds}`)
    failures.push({ part: part.name, command: printed(command, part.env), output })
    // The same mistake again says nothing new.
    return true
  }
  say(`  ${whole} whole rounds, seeds from ${values.seed}`)
  return whole > 0
}

const interrupted = (): void => {
  if (running !== undefined) signal(running, "SIGTERM")
  process.exitCode = 1
}
process.once("SIGINT", interrupted)
process.once("SIGTERM", interrupted)

const unfinished: Array<string> = []
const wanted = parts.filter(({ name }) => name.includes(values.only))
if (wanted.length === 0) throw new Error(`no part has "${values.only}" in its name`)

for (const [i, part] of wanted.entries()) {
  if (process.exitCode === 1) break
  const weights = wanted.slice(i).reduce((sum, { weight }) => sum + weight, 0)
  if (!await runPart(part, left() * part.weight / weights)) unfinished.push(part.name)
}

for (const { command, output, part } of failures) {
  console.log(`\n== ${part} FAILED; what it ended with:`)
  console.log(output.trimEnd().split("\n").slice(-60).join("\n"))
  console.log(`== again: ${command}`)
}
for (const name of unfinished) say(`no round came to its end: ${name} needs more minutes`)
say(failures.length === 0 ? "nothing was found" : `${failures.length} of ${wanted.length} parts failed`)
if (failures.length > 0) process.exitCode = 1
