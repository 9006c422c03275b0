/**
 * What TypeDoc does not do by itself, so that the pages are on the site what they are in the repository.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as url from "node:url"
import footnotes from "markdown-it-footnote"
import { Application, Comment, CommentTag, Converter, JSX, KindRouter, MinimalSourceFile, ReflectionKind, Renderer } from "typedoc"

const root = url.fileURLToPath(new URL("..", import.meta.url))
const categories = { guide: "Guide", modules: "Modules", project: "Project" }

const below = (file) => path.relative(root, file).replaceAll(path.sep, "/")
const titleOf = (text) => /^# (.+)$/m.exec(text)?.[1]?.replaceAll("`", "")
const text = (value) => ({ kind: "text", text: value })

/** Pages have the addresses that they have in the repository. */
class Router extends KindRouter {
  getIdealBaseName(reflection) {
    if (!reflection.isDocument()) return super.getIdealBaseName(reflection)
    const file = below(reflection.project.files.getReflectionPath(reflection)).replace(/\.md$/, "")
    return file.startsWith("docs/") ? file : `docs/${file}`
  }
}

/** A source file as a page, with an anchor for each line. */
const sourcePage = (file, highlighted) => {
  const up = "../".repeat(file.split("/").length)
  const lines = highlighted.split(/<br\/?>|\n/).map((line, i) => `<span id="L${i + 1}">${line}</span>`)
  return `<!DOCTYPE html>
<html class="default" lang="en" data-base="${up}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${file}</title>
<link rel="stylesheet" href="${up}assets/style.css">
<link rel="stylesheet" href="${up}assets/highlight.css">
<link rel="stylesheet" href="${up}assets/custom.css">
<script>document.documentElement.dataset.theme = localStorage.getItem("tsd-theme") || "os"</script>
</head>
<body>
<main class="source">
<h1>${file}</h1>
<p><a href="${up}index.html">effect-cache-algebra</a></p>
<pre><code>${lines.join("\n")}</code></pre>
</main>
</body>
</html>
`
}

/** The pages that stand in the sidebar, in the order of the table in README.md, which links to each of them last. */
const pagesInOrder = () => {
  const readme = fs.readFileSync(path.join(root, "README.md"), "utf8")
  const rank = (file) => (readme.lastIndexOf(`(${file})`) + readme.length) % readme.length
  const pages = fs.globSync(["docs/*.md", "docs/*/README.md"], { cwd: root }).map((file) => file.replaceAll(path.sep, "/"))
  return [...pages.toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1)), "CHANGELOG.md", "CONTRIBUTING.md"]
    .map((file) => path.join(root, file))
}

/** Anchors are made of the whole heading, also of what is code in it. */
const readCodeInHeadings = (parser) =>
  parser.core.ruler.push("code_in_headings", ({ tokens }) => {
    for (const [i, { type }] of tokens.entries()) {
      if (type !== "heading_open") continue
      for (const part of tokens[i + 1].children) {
        if (part.type === "code_inline") part.children = [{ type: "text", content: part.content }]
      }
    }
  })

/** @param {import("typedoc").Application} app */
export const load = (app) => {
  const { converter, renderer } = app

  // Options that are read from a file come after those of a plugin.
  app.on(Application.EVENT_BOOTSTRAP_END, () => {
    app.options.setValue("projectDocuments", pagesInOrder())
    app.options.setValue("markdownItLoader", (parser) => readCodeInHeadings(parser.use(footnotes)))
  })

  const addPage = (parent, file) => {
    const source = new MinimalSourceFile(fs.readFileSync(file, "utf8"), file)
    converter.addDocument(parent, source, path.basename(file, ".md"))
  }

  converter.on(Converter.EVENT_CREATE_DOCUMENT, (_, page) => {
    const { files } = page.project
    const file = files.getReflectionPath(page)
    page.name = titleOf(fs.readFileSync(file, "utf8")) ?? page.name
    if (page.parent.isProject()) {
      page.frontmatter.category = below(file).startsWith("docs/") ? categories.guide : categories.project
    }
    if (path.basename(file) !== "README.md") return
    // The pages of a folder are below its README.md, and a link to the folder shows it, as in a repository.
    const folder = path.dirname(file)
    for (const link of [folder, `${folder}/`]) files.registerReflectionPath(link, page)
    for (const name of fs.readdirSync(folder).toSorted()) {
      if (name.endsWith(".md") && name !== "README.md") addPage(page, path.join(folder, name))
    }
  })

  // The comment above the imports describes the module. TypeDoc takes it as such only with `@module` in it.
  converter.on(Converter.EVENT_CREATE_DECLARATION, (context, module) => {
    if (!module.kindOf(ReflectionKind.Module)) return
    const source = context.getSymbolFromReflection(module).declarations[0].getSourceFile()
    const block = /^\/\*\*\n([^]*?)\*\//.exec(source.text)?.[1].replaceAll(/^ \* ?/gm, "") ?? ""
    const [description, since] = block.split(/^@since (.+)\n/m)
    const { content } = converter.parseRawComment(
      new MinimalSourceFile(description, source.fileName),
      module.project.files
    )
    module.comment = new Comment(content, [
      new CommentTag("@category", [text(categories.modules)]),
      ...since === undefined ? [] : [new CommentTag("@since", [text(since)])]
    ])
  })

  renderer.defineRouter("repository", Router)

  // The guide and the list of the modules are open until somebody closes them.
  renderer.hooks.on("head.end", () => {
    const script = `for (const title of ${JSON.stringify([categories.guide, categories.modules])}) {
      const key = "tsd-accordion-" + title
      if (localStorage.getItem(key) === null) localStorage.setItem(key, "true")
    }`
    return JSX.createElement("script", null, JSX.createElement(JSX.Raw, { html: script }))
  })

  // A browser would download a `.ts` file, or take it for a film. So what pages link to is shown as a page.
  const sources = new Set()
  renderer.on(Renderer.EVENT_BEGIN, ({ project }) => {
    const linkToSources = (content, address) => {
      for (const part of content) {
        if (part.kind !== "relative-link" || typeof part.target !== "number") continue
        const target = project.files.resolve(part.target, project)
        if (typeof target !== "string" || !target.endsWith(".ts")) continue
        sources.add(below(target))
        Object.assign(part, text(`${"../".repeat(address.split("/").length - 1)}source/${below(target)}.html`))
      }
    }
    if (project.readme !== undefined) linkToSources(project.readme, "index.html")
    for (const page of project.getReflectionsByKind(ReflectionKind.Document)) {
      linkToSources(page.content, renderer.router.getFullUrl(page))
    }
    for (const reflection of Object.values(project.reflections)) {
      // What types of others have brought along is not defined here.
      reflection.sources = reflection.sources?.filter(({ fullFileName }) => below(fullFileName).startsWith("src/"))
      for (const { fullFileName } of reflection.sources ?? []) sources.add(below(fullFileName))
    }
  })

  // Before the styles of what is highlighted are written.
  renderer.on(Renderer.EVENT_END, ({ outputDirectory }) => {
    for (const file of sources) {
      const target = path.join(outputDirectory, "source", `${file}.html`)
      const highlighted = renderer.markedPlugin.getHighlighted(fs.readFileSync(path.join(root, file), "utf8"), "ts")
      fs.mkdirSync(path.dirname(target), { recursive: true })
      fs.writeFileSync(target, sourcePage(file, highlighted))
    }
  }, 1)
}
