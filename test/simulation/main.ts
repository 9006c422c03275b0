/**
 * `npm run simulate`: worlds in virtual time, on the scripts and the whole
 * library, with faults, until so many keys were read.
 *
 *     npm run simulate -- --seed 7 --reads 200000
 *     npm run simulate -- --seeds 1..40 --reads 250000 --workers 2
 *     npm run simulate -- --mistake list
 *     npm run simulate -- --mistakes --reads 1000000 --workers 2
 */
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { type Found, found, isGood, keepsLittle, mistakeNamed, mistakes, tableOf } from "./mistakes.ts"
import { type Mode, modes } from "./plan.ts"
import { type Broken, hexOf, leastHits, nothingSeen, type Seen, series } from "./series.ts"
import { tellStory } from "./story.ts"

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seeds: { type: "string" },
    reads: { type: "string", default: "200000" },
    workers: { type: "string", default: "1" },
    mode: { type: "string" },
    mistake: { type: "string" },
    mistakes: { type: "boolean", default: false },
    twice: { type: "boolean", default: false },
    page: { type: "string", default: "simulation.html" },
    worker: { type: "boolean", default: false }
  }
})

const fail = (message: string): never => {
  console.error(message)
  process.exit(2)
}

const whole = (name: string, text: string): number => {
  const n = Number(text)
  return Number.isSafeInteger(n) && n >= 0 ? n : fail(`--${name} is a whole number, and not ${JSON.stringify(text)}`)
}

const reads = whole("reads", values.reads)

const modesOf = (text: string | undefined): ReadonlyArray<Mode> | undefined => {
  if (text === undefined) return undefined
  const all = text.split(",") as ReadonlyArray<Mode>
  const unknown = all.find((mode) => !modes.includes(mode))
  return unknown === undefined ? all : fail(`there is no mode ${JSON.stringify(unknown)}: ${modes.join(", ")}`)
}

const percent = (part: number, of: number): string => of === 0 ? "0" : (100 * part / of).toFixed(1)

const lineOf = (seen: Seen): string =>
  `${seen.reads} reads, ${percent(seen.hits, seen.reads)} % hits, ${seen.excused} excused, ` +
  `${seen.violations} violations, hash ${hexOf(seen.hash)}`

const progressTo = (what: string, of: number) => {
  let last = Date.now()
  return (seen: Seen): void => {
    if (Date.now() - last < 5000) return
    last = Date.now()
    console.error(`${what}: ${seen.reads} of ${of} reads, ${seen.worlds} worlds, ${seen.faults} faults`)
  }
}

// -----------------------------------------------------------------------------
// one seed
// -----------------------------------------------------------------------------

const optionsOf = (name: string | undefined) => {
  if (name === undefined) return undefined
  const mistake = mistakeNamed(name)
  return mistake ?? fail(`there is no mistake ${JSON.stringify(name)}: --mistake list`)
}

const explain = async (broken: Broken): Promise<void> => {
  const { chosen, result: { violations: [first] } } = broken
  console.error(`seed ${chosen.seed}, world ${chosen.world}: ${first!.guarantee}: ${first!.what}`)
  await tellStory(broken, {
    options: optionsOf(values.mistake)?.options,
    page: values.page,
    progress: (line) => console.error(line),
    print: (line) => console.log(line)
  })
}

const oneSeed = async (): Promise<never> => {
  const seed = whole("seed", values.seed)
  const mistake = optionsOf(values.mistake)
  const modes = modesOf(values.mode) ?? mistake?.modes
  const { broken, seen } = await series({
    seed,
    reads,
    modes,
    where: mistake?.where,
    twice: values.twice,
    ...(mistake === undefined ? {} : { options: mistake.options }),
    progress: progressTo(`seed ${seed}`, reads)
  })
  if (broken !== undefined) await explain(broken)
  console.log(lineOf(seen))
  if (broken === undefined && seen.hits < leastHits * seen.reads) {
    console.error(`fewer than ${100 * leastHits} % were hits`)
    process.exit(1)
  }
  if (broken === undefined && mistake !== undefined && await keepsLittle(mistake, { seed, seen, modes })) {
    console.error("many fewer were hits than without the mistake")
    process.exit(1)
  }
  process.exit(broken === undefined ? 0 : 1)
}

// -----------------------------------------------------------------------------
// many seeds
// -----------------------------------------------------------------------------

interface Report {
  readonly seed: number
  readonly seen: Seen
  readonly broken: string | undefined
}

/** Another process of this program, which answers each question that it is sent. */
const askOthers = async <Question, Answer>(
  args: ReadonlyArray<string>,
  questions: ReadonlyArray<Question>,
  hear: (answer: Answer) => void
): Promise<void> => {
  let next = 0
  const one = () =>
    new Promise<void>((resolve, reject) => {
      const child = fork(fileURLToPath(import.meta.url), ["--worker", ...args])
      const give = (): void => {
        if (next < questions.length) child.send(questions[next++]!)
        else child.kill()
      }
      child.on("message", (answer: Answer) => {
        hear(answer)
        give()
      })
      child.on(
        "exit",
        (code, signal) => signal === "SIGTERM" ? resolve() : reject(new Error(`a worker ended: ${code}`))
      )
      give()
    })
  await Promise.all(Array.from({ length: Math.max(1, whole("workers", values.workers)) }, one))
}

/** Runs the seeds, or looks for the mistakes, that it is sent, one after the other. */
const work = (): void => {
  process.on("message", (question: number | string) => {
    void (typeof question === "number" ? reportOf(question) : lookFor(question)).then((answer) => process.send!(answer))
  })
}

const reportOf = async (seed: number): Promise<Report> => {
  const { broken, seen } = await series({ seed, reads, modes: modesOf(values.mode) })
  return { seed, seen, broken: broken && `world ${broken.chosen.world}: ${broken.result.violations[0]!.what}` }
}

const sumOf = (reports: ReadonlyArray<Report>): Seen => {
  const sum = nothingSeen()
  for (const { seen } of reports.toSorted((a, b) => a.seed - b.seed)) {
    sum.reads += seen.reads
    sum.hits += seen.hits
    sum.loads += seen.loads
    sum.excused += seen.excused
    sum.faults += seen.faults
    sum.worlds += seen.worlds
    sum.violations += seen.violations
    sum.hash = Math.imul(sum.hash ^ seen.hash, 16_777_619)
  }
  return sum
}

const manySeeds = async (text: string): Promise<never> => {
  const [, first, last] = /^(\d+)\.\.(\d+)$/.exec(text) ?? fail("--seeds is two numbers, as 1..40")
  const [from, to] = [Number(first), Number(last)]
  const reports: Array<Report> = []
  const started = Date.now()
  const mode = values.mode === undefined ? [] : ["--mode", values.mode]
  const seeds = Array.from({ length: to - from + 1 }, (_, i) => from + i)
  await askOthers<number, Report>(["--reads", values.reads, ...mode], seeds, (report) => {
    reports.push(report)
    const { reads } = sumOf(reports)
    const rate = Math.round(reads / ((Date.now() - started) / 1000))
    console.error(`seed ${report.seed}: ${lineOf(report.seen)} (${reads} in all, ${rate} a second)`)
    if (report.broken !== undefined) console.error(`seed ${report.seed}, ${report.broken}`)
  })
  const sum = sumOf(reports)
  console.log(lineOf(sum))
  process.exit(sum.violations === 0 && sum.hits >= leastHits * sum.reads ? 0 : 1)
}

// -----------------------------------------------------------------------------
// mistakes
// -----------------------------------------------------------------------------

const lookFor = (name: string): Promise<Found> =>
  found(mistakeNamed(name)!, { seed: whole("seed", values.seed), reads })

const allMistakes = async (): Promise<never> => {
  const all = new Map<string, Found>()
  await askOthers<string, Found>(
    ["--seed", values.seed, "--reads", values.reads],
    mistakes.map(({ name }) => name),
    (one) => {
      all.set(one.name, one)
      console.error(`${one.reads ?? "never"}: ${one.name}`)
    }
  )
  const inOrder = mistakes.map(({ name }) => all.get(name)!)
  console.log(tableOf(inOrder))
  process.exit(inOrder.every(isGood) ? 0 : 1)
}

if (values.worker) work()
else if (values.mistakes) await allMistakes()
else if (values.mistake === "list") { for (const { breaks, name } of mistakes) console.log(`${name}: ${breaks}`) }
else if (values.seeds !== undefined) await manySeeds(values.seeds)
else await oneSeed()
