import * as fs from "node:fs"
import * as path from "node:path"

/** Writes generated files, by their paths below the root, and says which. */
export const write = (files: Readonly<Record<string, string>>): void => {
  for (const [file, text] of Object.entries(files)) {
    const absolute = path.join(import.meta.dirname, "..", file)
    fs.mkdirSync(path.dirname(absolute), { recursive: true })
    fs.writeFileSync(absolute, text)
    console.log(file)
  }
}
