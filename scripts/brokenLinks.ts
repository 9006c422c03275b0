/** Links between generated pages, followed as a browser follows them. */
import * as fs from "node:fs"
import * as path from "node:path"

const decoded = (attribute: string): string => decodeURI(attribute.replaceAll("&amp;", "&"))

const attributes = (html: string, name: RegExp): ReadonlyArray<string> =>
  [...html.matchAll(new RegExp(`\\s(?:${name.source})="([^"]*)"`, "g"))].map(([, value]) => decoded(value!))

/** The links between the files of a folder that lead nowhere, each with the page it is on. */
export const brokenLinks = (root: string): ReadonlyArray<string> => {
  const ids = new Map<string, ReadonlySet<string>>()
  const idsOf = (file: string): ReadonlySet<string> => {
    const known = ids.get(file) ?? new Set(attributes(fs.readFileSync(file, "utf8"), /id/))
    ids.set(file, known)
    return known
  }
  const leads = (page: string, link: string): boolean => {
    const [to, fragment] = link.split("#")
    const target = to === "" ? page : path.resolve(path.dirname(page), to!)
    const file = fs.existsSync(target) && fs.statSync(target).isDirectory() ? path.join(target, "index.html") : target
    return fs.existsSync(file) && (fragment === undefined || fragment === "" || idsOf(file).has(fragment))
  }
  return fs.readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".html"))
    .flatMap((file) => {
      const page = path.join(root, file)
      const links = attributes(fs.readFileSync(page, "utf8"), /href|src/)
      return [...new Set(links)]
        .filter((link) => !/^[a-z]+:/i.test(link) && !leads(page, link))
        .map((link) => `${file}: ${link}`)
    })
}
