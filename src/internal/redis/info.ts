/** What a server says of itself. */

/** The facts of an answer to `INFO` or `CLUSTER INFO`: a name and a value on each line. */
export const factsIn = (text: unknown): Readonly<Record<string, string>> =>
  Object.fromEntries(
    String(text).split(/\r?\n/).flatMap((line) => {
      const at = line.indexOf(":")
      return at < 0 || line.startsWith("#") ? [] : [[line.slice(0, at), line.slice(at + 1)] as const]
    })
  )

/** The name that a server gives to its run. */
export const runIn = (info: unknown): string | undefined => factsIn(info)["run_id"]
