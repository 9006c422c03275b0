/** The name of a script, by which servers remember it. */
import { createHash } from "node:crypto"

const names = new Map<string, string>()

/** Computed once for all worlds. */
export const shaOf = (source: string): string => {
  let sha = names.get(source)
  if (sha === undefined) names.set(source, sha = createHash("sha1").update(source, "latin1").digest("hex"))
  return sha
}
