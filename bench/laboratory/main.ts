/**
 * The page without a report, to be played with: `npm run laboratory`.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { buildPage } from "./build.ts"

const file = new URL("../results/laboratory.html", import.meta.url)
mkdirSync(new URL(".", file), { recursive: true })
writeFileSync(file, await buildPage(undefined))
console.log(fileURLToPath(file))
