/**
 * Policies from their text.
 */
import * as Result from "effect/Result"
import { InvalidInput } from "../../InvalidInput.ts"
import * as Crons from "../cron.ts"
import { and, or } from "./compose.ts"
import { conditional, forever, never, tagged, ttl, until, versioned, xfetch } from "./leaves.ts"
import type { Scope, Tree } from "./node.ts"
import * as Text from "./text.ts"

type Syntax<Tag extends Text.Syntax["_tag"]> = Extract<Text.Syntax, { readonly _tag: Tag }>

const fromUntil = ({ and, cron, overlap, severity, spread, timeZone }: Syntax<"Until">): Tree =>
  until(Crons.remake(Crons.fromText("Policy.until", cron), { onDstOverlap: overlap, ...(and ? { and } : {}) }), {
    severity,
    spread,
    ...(timeZone === null ? {} : { timeZone })
  })

const scopeOf = ({ partition, scope }: Syntax<"Conditional">): Scope => {
  switch (scope) {
    case "Row":
      return { _tag: "Row", ids: undefined }
    case "Partition":
      return { _tag: "Partition", partition, values: undefined }
    case "Type":
      return { _tag: "Type" }
  }
}

const fromSyntax = (syntax: Text.Syntax): Tree => {
  switch (syntax._tag) {
    case "Forever":
      return forever
    case "Never":
      return never(syntax.because ?? undefined)
    case "Ttl":
      return ttl(syntax.fresh, syntax)
    case "Until":
      return fromUntil(syntax)
    case "Versioned":
      return versioned(syntax.current, syntax)
    case "Tagged":
      return tagged(syntax.tags, syntax.severity)
    case "Conditional":
      return conditional(syntax.entity, syntax.fields ?? undefined, scopeOf(syntax), syntax.severity)
    case "XFetch":
      return xfetch(syntax.beta)
    case "And":
      return and(fromSyntax(syntax.left), fromSyntax(syntax.right))
    case "Or":
      return or(fromSyntax(syntax.left), fromSyntax(syntax.right))
  }
}

/** Reads back what a policy without functions prints as; refuses anything else. */
export const parse = (text: string): Result.Result<Tree, InvalidInput> => {
  try {
    return Result.succeed(fromSyntax(Text.parse(text)))
  } catch (error) {
    if (error instanceof InvalidInput) return Result.fail(error)
    throw error
  }
}
