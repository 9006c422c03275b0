/**
 * Links of Markdown pages, followed as a repository shows them: to files, to folders, and to headings.
 */
import * as fs from "node:fs"
import * as path from "node:path"

/** A page without what is code or a comment in it, line by line. */
const prose = (markdown: string): string => {
  const lines = markdown.replaceAll(/<!--[^]*?-->/g, (comment) => comment.replaceAll(/[^\n]/g, "")).split("\n")
  let fence: string | undefined
  return lines.map((line) => {
    const mark = /^\s*(`{3,}|~{3,})/.exec(line)?.[1]
    if (fence !== undefined) {
      if (mark?.startsWith(fence) === true) fence = undefined
      return ""
    }
    fence = mark
    return mark === undefined ? line : ""
  }).join("\n")
}

const withoutCode = (text: string): string => text.replaceAll(/(`+)(?!`)[^]*?[^`]\1(?!`)/g, "")

const forms = [
  // [text](target "title"), also of pictures
  /\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g,
  // [name]: target, but no footnote, which is [^name]: text
  /^ {0,3}\[(?!\^)[^\]]+\]:\s+<?([^\s>]+)/gm,
  // <a href="target">, <img src="target">, <source srcset="target">
  /<\w[^>]*\s(?:href|src|srcset)="([^"\s]+)"/g
]

/** The targets of all links and pictures of a page that lie in the repository. */
export const linksIn = (markdown: string): ReadonlyArray<string> => {
  const text = withoutCode(prose(markdown))
  return forms.flatMap((form) => [...text.matchAll(form)].map(([, target]) => target!))
    .filter((target) => !/^[a-z][a-z+.-]*:/i.test(target))
}

const slug = (heading: string): string =>
  heading
    .replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, "")
    .replaceAll(" ", "-")

/** The anchors of the headings of a page, by the rules of GitHub. */
export const anchorsIn = (markdown: string): ReadonlySet<string> => {
  const anchors = new Set<string>()
  for (const [, heading] of prose(markdown).matchAll(/^ {0,3}#{1,6}\s+(.+?)\s*#*$/gm)) {
    const first = slug(heading!)
    let anchor = first
    for (let i = 1; anchors.has(anchor); i++) anchor = `${first}-${i}`
    anchors.add(anchor)
  }
  return anchors
}

const anchorsOf = (file: string): ReadonlySet<string> => {
  const text = fs.readFileSync(file, "utf8")
  return file.endsWith(".md") ? anchorsIn(text) : new Set(text.split("\n").map((_, i) => `L${i + 1}`))
}

/** Why a link of a page leads nowhere, if it does not lead somewhere. */
const complaint = (page: string, link: string): string | undefined => {
  const [to, anchor] = decodeURI(link).split("#")
  const target = to === "" ? page : path.resolve(path.dirname(page), to!)
  if (!fs.existsSync(target)) return "there is no such file"
  if (anchor === undefined) return undefined
  const file = fs.statSync(target).isDirectory() ? path.join(target, "README.md") : target
  return fs.existsSync(file) && anchorsOf(file).has(anchor) ? undefined : "there is no such heading"
}

/** The links of a page that lead nowhere. */
export const brokenLinks = (page: string, markdown: string): ReadonlyArray<string> =>
  linksIn(markdown).flatMap((link) => {
    const why = complaint(page, link)
    return why === undefined ? [] : [`${link}: ${why}`]
  })
