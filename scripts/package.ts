/**
 * The package as its users get it: packed, looked over by `publint` and
 * `attw`, installed into an empty project, type-checked with nothing skipped,
 * bundled for a browser, and run on the oldest Node that is promised and on the
 * one that development uses.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { isBuiltin } from "node:module"
import * as os from "node:os"
import * as path from "node:path"
import { bundle } from "../bench/size/bundle.ts"

const root = path.resolve(import.meta.dirname, "..")
const bin = path.join(root, "node_modules/.bin")

/** What stands on PATH without this project: the Node that is installed, and its npm. */
const outside = (process.env.PATH ?? "").split(path.delimiter)
  .filter((folder) => !folder.includes(`node_modules${path.sep}`))
  .join(path.delimiter)

const run = (cwd: string, command: string, ...args: ReadonlyArray<string>): string => {
  // What npm tells its scripts of this project does not hold in another; its settings do.
  const inherited = Object.entries(process.env)
    .filter(([name]) => !/^npm_(?!config_)|^npm_config_local_prefix$/.test(name))
  const env = { ...Object.fromEntries(inherited), PATH: outside }
  try {
    return execFileSync(command, args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
  } catch (error) {
    const { stderr, stdout } = error as { readonly stdout?: string; readonly stderr?: string }
    throw new Error([`${[path.basename(command), ...args].join(" ")} failed`, stdout, stderr].join("\n"), {
      cause: error
    })
  }
}

const fail = (message: string): never => {
  throw new Error(message)
}

const check = (what: string, holds: boolean, detail: string = ""): void => {
  if (!holds) fail(`not so: ${what}${detail === "" ? "" : `\n${detail}`}`)
  console.log(`  ok  ${what}`)
}

const installedVersion = (name: string): string =>
  JSON.parse(fs.readFileSync(path.join(root, "node_modules", name, "package.json"), "utf8")).version

/** Packs as publishing would, with the build that `prepack` runs, and says where the tarball is. */
const pack = (folder: string): string => {
  run(root, "npm", "pack", "--pack-destination", folder)
  const [tarball] = fs.readdirSync(folder).filter((file) => file.endsWith(".tgz"))
  return tarball === undefined ? fail("npm pack made no tarball") : path.join(folder, tarball)
}

const listed = (tarball: string): ReadonlyArray<string> =>
  run(root, "tar", "-tzf", tarball).trim().split("\n").map((name) => name.replace(/^package\//, ""))

const checkContents = (names: ReadonlyArray<string>): void => {
  const modules = fs.readdirSync(path.join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => file.replace(/\.ts$/, ""))
  const missing = modules.flatMap((name) =>
    [`dist/${name}.js`, `dist/${name}.d.ts`, `dist/${name}.js.map`, `dist/${name}.d.ts.map`, `src/${name}.ts`]
      .filter((file) => !names.includes(file))
  )
  check("every module is in the tarball, with types, maps and source", missing.length === 0, missing.join("\n"))
  const stray = names.filter((name) =>
    !/^(dist|src|docs)\/|^(package\.json|README\.md|CHANGELOG\.md|LICENSE)$/.test(name)
  )
  check("nothing else is but the documentation: no tests, no benchmarks", stray.length === 0, stray.join("\n"))
  const stale = names.filter((name) => name.startsWith("dist/"))
    .filter((name) => !modules.includes(name.slice("dist/".length).replace(/(\.d)?\.(js|ts)(\.map)?$/, "")))
  check("nothing is left of an earlier build", stale.length === 0, stale.join("\n"))
}

/** Run by the Node of development: its tools need not run on the oldest. */
const tool = (name: string, ...args: ReadonlyArray<string>): string =>
  run(root, path.join(bin, "node"), path.join(bin, name), ...args)

/** What a package says of itself, and where its types are found. */
const checkManifest = (tarball: string): void => {
  tool("publint", "run", tarball, "--strict")
  check("publint has nothing to say", true)
  const modules = fs.readdirSync(path.join(root, "src")).filter((file) => file.endsWith(".ts"))
    .map((file) => file.replace(/\.ts$/, "")).filter((name) => name !== "index")
  // A wildcard in the exports is not resolved there, so each module is named.
  tool("attw", tarball, "--profile", "esm-only", "--format", "ascii", "--include-entrypoints", ...modules)
  check(`types are found from ESM and by bundlers, for the index and ${modules.length} modules`, true)
}

const filesBelow = (folder: string): ReadonlyArray<string> =>
  fs.readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))

const checkPaths = (installed: string): void => {
  const places = [root, os.homedir(), os.tmpdir(), "file://"].filter((place) => place.length > 1)
  const telling = filesBelow(installed).filter((file) => {
    const text = fs.readFileSync(file, "utf8")
    return places.some((place) => text.includes(place))
  })
  check("no file names a path of this machine", telling.length === 0, telling.join("\n"))
}

const consumerProject = (folder: string, tarball: string): void => {
  fs.cpSync(path.join(root, "test/fixtures/consumer"), folder, { recursive: true })
  fs.writeFileSync(
    path.join(folder, "package.json"),
    JSON.stringify({ name: "consumer", private: true, type: "module" })
  )
  fs.writeFileSync(
    path.join(folder, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        target: "ES2023",
        // Effect's own types speak of `CryptoKey`.
        lib: ["ES2023", "DOM"],
        module: "NodeNext",
        types: ["node"],
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        verbatimModuleSyntax: true,
        skipLibCheck: false,
        outDir: "out"
      },
      include: ["*.ts"]
    })
  )
  // The cache is asked first, and the registry for what it lacks.
  const packages = ["effect", "@types/node"].map((name) => `${name}@${installedVersion(name)}`)
  run(
    folder,
    "npm",
    "install",
    "--prefer-offline",
    "--no-audit",
    "--no-fund",
    "--no-package-lock",
    tarball,
    ...packages
  )
}

const checkImports = (folder: string): void => {
  const attempt = "import(process.argv[1]).then(() => console.log('imported'), (error) => console.log(error.code))"
  const outcome = (specifier: string) => run(folder, "node", "-e", attempt, specifier).trim()
  check("effect-cache-algebra/Policy is importable", outcome("effect-cache-algebra/Policy") === "imported")
  const inner = outcome("effect-cache-algebra/internal/escape")
  check("effect-cache-algebra/internal/escape is not", inner === "ERR_PACKAGE_PATH_NOT_EXPORTED", inner)
}

/** The minimal program of `npm run size`, as a user has it. */
const checkBrowser = async (consumer: string): Promise<void> => {
  const folder = path.join(consumer, "minimal")
  fs.mkdirSync(folder)
  const text = fs.readFileSync(path.join(root, "bench/size/program.ts"), "utf8")
  const file = path.join(folder, "program.ts")
  fs.writeFileSync(file, text.replace("../../src/index.ts", "effect-cache-algebra"))
  const { code, packages } = await bundle(file, consumer, [])
  const bundled = path.join(folder, "bundled.mjs")
  fs.writeFileSync(bundled, code)
  check("a program in memory is bundled for a browser, and runs", run(folder, "node", bundled).trim() === "Hello, Ada")
  const unwanted = [...packages].filter((name) => name === "ioredis" || isBuiltin(name))
  check("it imports no client of Redis and nothing of Node", unwanted.length === 0, unwanted.join(", "))
}

const runOn = (folder: string, node: string): void => {
  const version = run(folder, node, "--version").trim()
  for (const file of fs.readdirSync(path.join(folder, "out")).filter((name) => name.endsWith(".js"))) {
    const output = run(folder, node, path.join("out", file)).trim()
    check(`${file} runs on Node ${version}`, true)
    console.log(output.replace(/^/gm, "      | "))
  }
}

const main = async (folder: string): Promise<void> => {
  const tarball = pack(folder)
  const names = listed(tarball)
  const consumer = path.join(folder, "consumer")
  consumerProject(consumer, tarball)
  const installed = path.join(consumer, "node_modules/effect-cache-algebra")
  const unpacked = filesBelow(installed).reduce((sum, file) => sum + fs.statSync(file).size, 0)
  const kB = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`
  console.log(
    `${path.basename(tarball)}: ${kB(fs.statSync(tarball).size)}, ${kB(unpacked)} unpacked, ${names.length} files`
  )
  checkContents(names)
  checkManifest(tarball)
  checkPaths(installed)
  checkImports(consumer)
  for (const compiler of ["typescript-6", "typescript"]) {
    run(
      consumer,
      process.execPath,
      path.join(root, "node_modules", compiler, "bin/tsc"),
      "-p",
      ".",
      "--pretty",
      "false"
    )
    check(`a strict project compiles with TypeScript ${installedVersion(compiler)}, libraries included`, true)
  }
  runOn(consumer, "node")
  runOn(consumer, path.join(bin, "node"))
  await checkBrowser(consumer)
}

const temporary = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cache-algebra-"))
try {
  await main(fs.realpathSync(temporary))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  fs.rmSync(temporary, { recursive: true, force: true })
}
