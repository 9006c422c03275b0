/** Writes the parts of files that the pages show anew: `npm run docs`. */
import * as fs from "node:fs"
import * as path from "node:path"
import { pages, renewed } from "../test/support/excerpts.ts"
import { root } from "../test/support/modules.ts"

for (const page of pages()) {
  const file = path.join(root, page)
  const text = fs.readFileSync(file, "utf8")
  const now = renewed(page, text)
  if (now === text) continue
  fs.writeFileSync(file, now)
  console.log(page)
}
