/**
 * A film as a fragment of HTML: its title and its year, nothing else.
 */
import { Effect } from "effect"
import * as Repository from "./Repository.ts"

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;" }

const escape = (text: string): string => text.replace(/[&<>"]/g, (letter) => escapes[letter] ?? letter)

export const render = (id: number) =>
  Effect.map(
    Repository.titled(id),
    ({ title, year }) => `<a href="/films/${id}"><b>${escape(title)}</b> (${year})</a>`
  )
