/**
 * Deliberate mistakes: ways to get the protocol wrong, put in from outside one
 * at a time. Each must be found, or the table says why it does no harm.
 */
import * as Effect from "effect/Effect"
import type { Client } from "../../src/internal/redis/client.ts"
import { all as allScripts, type Script } from "../../src/internal/redis/scripts.ts"
import type { Mode } from "./plan.ts"
import type { Options } from "./run.ts"
import { series } from "./series.ts"

export interface Mistake {
  readonly name: string
  /** The rule that it breaks. */
  readonly breaks: string
  /** Where it can show; everywhere, unless given. */
  readonly modes?: ReadonlyArray<Mode>
  /** Why it need not be found. */
  readonly harmless?: string
  /** Made anew for each world. */
  readonly options: () => Options
}

/** In the scripts of these names (all, unless given), one text for another. */
interface Edit {
  readonly scripts?: ReadonlyArray<string>
  readonly from: string
  readonly to: string
}

const edited = (edits: ReadonlyArray<Edit>): (script: Script) => Script => {
  const made = new Map<Script, Script>()
  for (const { from, scripts } of edits) {
    const some = allScripts.filter(({ name, source }) => (scripts?.includes(name) ?? true) && source.includes(from))
    // One that does not take would be looked for in vain.
    if (some.length === 0) throw new Error(`no script has the text ${from}`)
  }
  for (const script of allScripts) {
    let { source } = script
    for (const { from, scripts, to } of edits) {
      if (scripts?.includes(script.name) ?? true) source = source.replaceAll(from, () => to)
    }
    made.set(script, source === script.source ? script : { ...script, source })
  }
  return (script) => made.get(script)!
}

const withScripts = (rewrite: (script: Script) => Script) => (client: Client): Client => ({
  ...client,
  script: (operation, script, ...rest) => client.script(operation, rewrite(script), ...rest),
  scriptAndWait: (operation, script, ...rest) => client.scriptAndWait(operation, rewrite(script), ...rest),
  beside: Effect.map(client.beside, withScripts(rewrite))
})

const inScripts = (...edits: ReadonlyArray<Edit>): Mistake["options"] => {
  let rewrite: ((script: Script) => Script) | undefined
  return () => ({ client: withScripts(rewrite ??= edited(edits)) })
}

const plain: ReadonlyArray<Mode> = ["node", "split", "replicas", "cluster"]

export const mistakes: ReadonlyArray<Mistake> = [
  {
    name: "commit does not ask for the lease",
    breaks: "a load in flight re-inserts after invalidate",
    modes: ["node", "replicas"],
    options: inScripts({
      scripts: ["commit"],
      from: "if held(KEYS[2]) ~= token then return { now, 'lost' } end",
      to: ""
    })
  },
  {
    name: "invalidate notes nothing in the journal",
    breaks: "tags in the value are looked up in the journal",
    modes: ["node", "replicas"],
    options: inScripts({
      scripts: ["invalidate", "fence"],
      from: "note(KEYS[1], names, limit, nonce, journalLife)",
      to: ""
    })
  },
  {
    name: "tokens are counters",
    breaks: "an evicted marker comes back with an old token",
    modes: plain,
    options: inScripts({
      from: "token = us .. nonce\n  redis.call('SET', key, token, 'PX'",
      to: "token = '1'\n  redis.call('SET', key, token, 'PX'"
    })
  }
]

export const mistakeNamed = (name: string): Mistake | undefined => mistakes.find((mistake) => mistake.name === name)

export interface Found {
  readonly mistake: Mistake
  /** How many keys were read until it was found; nothing, if it was not. */
  readonly reads: number | undefined
  readonly guarantee: string | undefined
}

export const found = async (
  mistake: Mistake,
  { reads, seed }: { readonly seed: number; readonly reads: number }
): Promise<Found> => {
  const { broken, seen } = await series({ seed, reads, modes: mistake.modes ?? plain, options: mistake.options })
  return {
    mistake,
    reads: broken === undefined ? undefined : seen.reads,
    guarantee: broken?.result.violations[0]!.guarantee
  }
}

export const tableOf = (all: ReadonlyArray<Found>): string =>
  [
    "| mistake | breaks | found after reads | as |",
    "|---|---|---|---|",
    ...all.map(({ guarantee, mistake: { breaks, harmless, name }, reads }) =>
      `| ${name} | ${breaks} | ${reads ?? `never: ${harmless ?? "**it survives**"}`} | ${guarantee ?? ""} |`
    )
  ].join("\n")
