/**
 * Bundles a program for a browser, as `vite build` does.
 */
import * as path from "node:path"
import { gzipSync } from "node:zlib"
import { build, type Plugin } from "vite"

export interface Bundle {
  /** One minified module. */
  readonly code: string
  /** Every package and builtin that any module reached by the program imports, used or not. */
  readonly packages: ReadonlySet<string>
}

const isPath = (specifier: string): boolean => /^[./\0]/.test(specifier) || path.isAbsolute(specifier)

const nameOf = (specifier: string): string =>
  specifier.startsWith("node:") ? specifier : specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/")

export const bundle = async (
  file: string,
  root: string,
  external: ReadonlyArray<RegExp>
): Promise<Bundle> => {
  const packages = new Set<string>()
  // Asked before anything else, since Vite makes an empty module of an optional peer that is not installed.
  const listening: Plugin = {
    name: "imports",
    enforce: "pre",
    resolveId: (specifier) => {
      if (!isPath(specifier)) packages.add(nameOf(specifier))
    }
  }
  const built = await build({
    configFile: false,
    logLevel: "error",
    root,
    plugins: [listening],
    build: {
      write: false,
      target: "es2023",
      minify: true,
      rolldownOptions: { input: file, external: [...external], output: { format: "es" } }
    }
  })
  if (!("output" in built)) throw new Error("one program is built, and once")
  const [{ code }, ...others] = built.output
  if (others.length > 0) throw new Error(`more than one file: ${others.map(({ fileName }) => fileName).join(", ")}`)
  return { code, packages }
}

/** In bytes. */
export const gzipped = (code: string): number => gzipSync(code, { level: 9 }).length
