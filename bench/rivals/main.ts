/**
 * `npm run rivals`: what this library promises, asked of other caches by the
 * same programs, and what each did. `docs/comparison.md` is the table of it.
 *
 *   npm run rivals                    in memory, and on a Redis that it starts
 *   npm run rivals -- memory          one of the two: `memory` or `redis`
 *   npm run rivals -- --redis URL     on a server of your own
 */
import { startServer } from "../../test/support/redis.ts"
import { versionOf } from "../measure/report.ts"
import { libraries, type Library, packages } from "./caches.ts"
import type { Claim } from "./claim.ts"
import { memoryClaims } from "./memory.ts"
import { redisClaims } from "./redis.ts"

const flags = process.argv.slice(2)
const urlAt = flags.indexOf("--redis") + 1
const givenUrl = urlAt > 0 ? flags[urlAt] : undefined
const parts = flags.filter((flag) => flag === "memory" || flag === "redis")
const wanted = (part: "memory" | "redis"): boolean => parts.length === 0 || parts.includes(part)

const nameOf = (library: Library): string =>
  library === "ours" ? "this library" : `${packages[library]} ${versionOf(packages[library])}`

const width = Math.max(...libraries.map((library) => nameOf(library).length))

const show = async (claims: ReadonlyArray<Claim>): Promise<void> => {
  for (const { programs, title } of claims) {
    console.log(`\n${title}`)
    for (const library of libraries) {
      const { verdict, what } = await programs[library]()
      console.log(`  ${nameOf(library).padEnd(width)}  ${verdict.padEnd(6)}  ${what}`)
    }
  }
}

if (wanted("memory")) await show(memoryClaims)
if (wanted("redis")) {
  const server = givenUrl === undefined ? await startServer() : undefined
  try {
    await show(redisClaims(givenUrl ?? server!.url))
  } finally {
    await server?.stop()
  }
}
// Some libraries keep timers.
process.exit()
