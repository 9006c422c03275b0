import { small, large } from "./cases.ts"
import { exhaust, sample } from "./search.ts"
const only = process.argv[2]
for (const c of small) { if (only && !c.name.includes(only)) continue
  const t = Date.now(); const f = exhaust(c, 300000)
  console.log(c.name.padEnd(60), f.schedules, f.complete, Date.now() - t, "ms", f.violation ? JSON.stringify(f.violation) : "") }
for (const c of large) { if (only && !c.name.includes(only)) continue
  const t = Date.now(); const f = sample(c, 2000)
  console.log(c.name.padEnd(60), f.schedules, Date.now() - t, "ms", f.violation ? JSON.stringify(f.violation) : "") }
