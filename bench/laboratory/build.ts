/**
 * One page that needs nothing else: no network, no other file. Whoever has it sees all of it.
 */
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { build } from "vite"
import type { Report } from "../stampede/report.ts"

const inView = (name: string): string => fileURLToPath(new URL(`view/${name}`, import.meta.url))

/** What runs in the browser, as one script that imports nothing. */
const bundle = async (): Promise<string> => {
  const built = await build({
    configFile: false,
    logLevel: "warn",
    root: inView(""),
    build: {
      write: false,
      target: "es2023",
      rolldownOptions: {
        input: inView("main.ts"),
        // The index of the library names a store on Redis. Nothing of it is used here, so nothing of it is left.
        external: ["ioredis", /^node:/],
        output: { format: "iife" }
      }
    }
  })
  if (!("output" in built)) throw new Error("one page is built, and once")
  const [script, ...others] = built.output
  if (others.length > 0 || script.imports.length > 0) {
    throw new Error(`the page would need ${[...others.map(({ fileName }) => fileName), ...script.imports].join(", ")}`)
  }
  return script.code
}

/** Nothing in a script may look like its end, or like a comment of HTML. */
const inScript = (code: string): string => code.replaceAll(/<\/(script)/gi, "<\\/$1").replaceAll("<!--", "\\x3c!--")

const inJson = (value: unknown): string => JSON.stringify(value).replaceAll("<", "\\u003c")

/** The page is refused whatever is not in it, also by a mistake. */
const policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"

let bundled: Promise<string> | undefined

/** The page with what was measured, or without a report only with what can be played with. */
export const buildPage = async (report: Report | undefined): Promise<string> => {
  const [script, style] = await Promise.all([bundled ??= bundle(), readFile(inView("style.css"), "utf8")])
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="color-scheme" content="light dark">
<title>Cache stampedes, and what stops them</title>
<link rel="icon" href="data:,">
<style>
${style}</style>
</head>
<body>
<noscript>This page draws what it shows by a script.</noscript>
<script type="application/json" id="report">${inJson(report ?? null)}</script>
<script>
${inScript(script)}</script>
</body>
</html>
`
}
