import { parseArgs } from "node:util"
import { programs } from "./programs.ts"
import { replay, search } from "./search.ts"
const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1" },
    from: { type: "string", default: "1" },
    stride: { type: "string", default: "1" },
    program: { type: "string" },
    seed: { type: "string" },
    step: { type: "string" }
  }
})
let failed = false
for (const p of programs) {
  if (values.program !== undefined && !p.name.includes(values.program)) continue
  if (values.step !== undefined) {
    console.log(
      p.name,
      (replay(p, Number(values.step), values.seed === undefined ? undefined : Number(values.seed)))?.what
    )
    continue
  }
  const seeds = [undefined, ...Array.from({ length: Number(values.seeds) }, (_, i) => Number(values.from) + i)]
  const t = performance.now()
  let total = 0
  for (const seed of seeds) {
    const { runs, left } = search(p, { seed, stride: Number(values.stride) })
    total += runs
    if (left) {
      failed = true
      console.log(JSON.stringify(left.step), left.seed, left.what.slice(0, 600))
    }
  }
  console.log(p.name, total, Math.round(performance.now() - t), "ms")
}
process.exitCode = failed ? 1 : 0
