/**
 * What the cached values of the example depend on, as a page and as a picture: `node scripts/catalogue.ts`. Both are
 * generated from the policies; a test compares them.
 */
import * as Model from "../examples/articles/Model.ts"
import { approximate, reads } from "../examples/articles/Site.ts"
import * as Catalogue from "../src/Catalogue.ts"
import { draw } from "./catalogueSvg.ts"
import { write } from "./write.ts"

const entities = [
  Model.Articles,
  Model.Categories,
  Model.Authors,
  Model.Tags,
  Model.Users,
  Model.UsersSettings,
  Model.Products,
  Model.Orders,
  Model.Settings
]

/** The files, by their paths below the root. */
export const files = (): Readonly<Record<string, string>> => {
  const catalogue = Catalogue.make([...reads, ...approximate].map(({ cached }) => cached), { entities })
  const [values, changes] = catalogue.markdown.split("\n\n")
  return {
    "docs/strategies/catalogue.svg": `${draw(catalogue)}\n`,
    "docs/strategies/catalogue.md": `# The catalogue of the site

What each cached value of [the example](../../examples/articles/Site.ts) depends on. The page is
generated from the policies by \`Catalogue.make\`, and a test fails when it is not what they say.
[Observing](../observing.md#ask-about-a-whole-program) says how to make one of your own.

![What changes on the left, cached values on the right, a curve for each dependency](catalogue.svg)

## What ends each value

${values}

## What a change invalidates

"Perhaps" is said of a policy with alternatives: the value ends unless another alternative still holds.

${changes}

## The same as a graph

\`\`\`mermaid
${catalogue.mermaid}
\`\`\`
`
  }
}

if (import.meta.main) write(files())
