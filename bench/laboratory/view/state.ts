/**
 * What is looked at stands in the address, so that it can be handed on.
 */

const read = (): URLSearchParams => new URLSearchParams(location.hash.slice(1))

export const recall = (name: string): string | undefined => read().get(name) ?? undefined

/** Undefined forgets. The way back stays that of the pages, not of each step of a slider. */
export const remember = (values: Readonly<Record<string, string | undefined>>): void => {
  const all = read()
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) all.delete(name)
    else all.set(name, value)
  }
  history.replaceState(undefined, "", `#${all.toString()}`)
}
