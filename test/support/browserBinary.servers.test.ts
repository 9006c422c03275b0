/**
 * The browser that other tests drive is found, or installed where nobody is asked, or else one line says what to do.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it, onTestFinished } from "vitest"
import { decide, findOrInstall, look, type Machine } from "./browserBinary.ts"
import { NotInstalled } from "./install.ts"

const bare: Machine = { named: undefined, installed: [], managers: [], root: false, sudo: false, systemd: false }
const chromium = (version: number | undefined, at = "/usr/bin/chromium") => ({ path: at, version })

const why = (machine: Machine): string => {
  const decision = decide(machine)
  assert(decision._tag === "Refuse", `it is ${decision._tag}`)
  assert.notInclude(decision.why, "\n")
  return decision.why
}

const ways = (machine: Machine): ReadonlyArray<string> => {
  const decision = decide(machine)
  assert(decision._tag === "Install", `it is ${decision._tag}`)
  return decision.ways.map((way) => way.map((command) => command.join(" ")).join("; "))
}

describe("what to run", () => {
  it("the first that is new enough", () => {
    const installed = [chromium(122), chromium(123, "/usr/bin/google-chrome")]
    assert.deepStrictEqual(decide({ ...bare, installed }), { _tag: "Use", binary: installed[1]! })
  })

  it("the named one, or none", () => {
    const machine: Machine = { ...bare, installed: [chromium(150)], root: true, managers: ["apt-get"] }
    const named = chromium(140, "/opt/chrome")
    assert.deepStrictEqual(decide({ ...machine, named }), { _tag: "Use", binary: named })
    assert.match(why({ ...machine, named: chromium(99, "/opt/old") }), /CHROMIUM is 99: \/opt\/old$/)
    assert.match(why({ ...machine, named: chromium(undefined, "/bin/true") }), /CHROMIUM is not one: \/bin\/true$/)
  })

  it("installs where nobody is asked, and letters with it", () => {
    const [first, second] = ways({ ...bare, root: true, managers: ["apt-get"], systemd: true })
    assert.match(first!, /^apt-get .*update; env .* --no-install-recommends install chromium fonts-dejavu-core$/)
    assert.match(second!, /install chromium-browser fonts-dejavu-core$/)
    assert.match(ways({ ...bare, sudo: true, managers: ["dnf"] })[0]!, /^sudo -n dnf .* chromium dejavu-sans-fonts$/)
  })

  it("a stand-in that only says where to get it is none", () => {
    assert.lengthOf(ways({ ...bare, installed: [chromium(undefined)], root: true, managers: ["apt-get"] }), 2)
  })

  it("says what to do where somebody would be asked, or where there is only an old one", () => {
    assert.match(why(bare), /^Chromium 123 or later, or Chrome, is needed: install chromium, or say in CHROMIUM/)
    assert.match(why({ ...bare, managers: ["apt-get"] }), /^Chromium 123 or later.*: install chromium/)
    assert.match(
      why({ ...bare, root: true, managers: ["apt-get"], installed: [chromium(90)] }),
      /\/usr\/bin\/chromium is 90: install chromium/
    )
  })
})

describe("on a machine that is made up", () => {
  const script = (folder: string, name: string, ...lines: ReadonlyArray<string>): string => {
    const file = path.join(folder, name)
    fs.writeFileSync(file, ["#!/bin/sh", ...lines, ""].join("\n"), { mode: 0o755 })
    return file
  }
  const machine = (...installs: ReadonlyArray<string>) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "effect-cache-algebra-test-"))
    onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }))
    script(folder, "env", "shift", "exec \"$@\"")
    script(folder, "sudo", "shift", "exec \"$@\"")
    script(folder, "apt-get", ...installs)
    const said: Array<string> = []
    return { folder, said, find: () => findOrInstall({ PATH: folder }, (line) => said.push(line), []) }
  }

  it("reads the version of both", () => {
    const { folder } = machine()
    const one = script(folder, "chromium", "echo Chromium 140.0.7339.80 built on Debian")
    const other = script(folder, "google-chrome", "echo Google Chrome 141.0.1.2")
    assert.deepStrictEqual(look({ PATH: folder }, []).installed, [chromium(140, one), chromium(141, other)])
    assert.deepStrictEqual(look({ PATH: folder, CHROMIUM: other }, []).named, chromium(141, other))
  })

  it("installs, says so, and uses it", () => {
    const { find, folder, said } = machine(
      "case \"$*\" in *\"install chromium fonts\"*) PATH=/bin:/usr/bin; cd \"$(dirname \"$0\")\"; "
        + "printf '#!/bin/sh\\necho \"Chromium 140.0.1.1\"\\n' > chromium; chmod +x chromium;; esac"
    )
    assert.deepStrictEqual(find(), chromium(140, path.join(folder, "chromium")))
    assert.strictEqual(said.length, 1)
  })

  it("fails with one line", () => {
    const { find } = machine("echo E: no network >&2", "exit 100")
    let error: unknown
    try {
      find()
    } catch (thrown) {
      error = thrown
    }
    assert(error instanceof NotInstalled)
    assert.match(error.message, /^Chromium 123 .* failed: E: no network; install chromium.*CHROMIUM where it is$/)
    assert.strictEqual(error.stack, `NotInstalled: ${error.message}`)
  })
})
