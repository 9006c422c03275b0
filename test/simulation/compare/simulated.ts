/** The simulated server as it is compared, right or wrong. */
import { compile as translated, type Compiled, compiler } from "../redis/lua/engine.ts"
import { runtime } from "../redis/lua/runtime.ts"
import type { Reply } from "../redis/reply.ts"
import { shaOf } from "../redis/scripts.ts"
import { Server } from "../redis/server.ts"
import { randomOf } from "../world/random.ts"
import { channels, places } from "./calls.ts"
import type { Simulated } from "./compare.ts"
import type { Mutant } from "./mutants.ts"
import { layingOut, looking, readLook, scripts, sendingOf, type Timing } from "./real.ts"

export interface Options {
  /** What runs scripts; the translator unless given. */
  readonly compile?: (source: string) => Compiled
  readonly mutant?: Mutant
}

/** A server for one state after the other; each has a new one. */
export class Simulation implements Simulated {
  private readonly timing: Timing
  private readonly compile: (source: string) => Compiled
  private readonly mutant: Mutant | undefined
  private readonly sending: ReturnType<typeof sendingOf>
  private us = 0
  private server: Server
  private messages: Array<readonly [string, string]> = []

  constructor(timing: Timing, { compile, mutant }: Options = {}) {
    this.timing = timing
    this.compile = compile ?? (mutant?.lua === undefined ? translated : compiler({ ...runtime, ...mutant.lua }))
    this.mutant = mutant
    this.sending = sendingOf(timing)
    this.server = this.start()
  }

  private start(): Server {
    const server = new Server({ id: "simulated", now: () => this.us, random: randomOf(1) })
    for (const script of scripts) {
      const source = this.sending.source(script)
      server.scripts.set(shaOf(source), this.wrapped(source, server))
    }
    const ear = server.open({
      push: (message) => {
        const [kind, channel, text] = message as ReadonlyArray<Reply>
        if (kind === "message") this.messages.push([String(channel), String(text)])
      }
    })
    ear.receive(["SUBSCRIBE", ...channels], () => {})
    return server
  }

  /** A script whose commands are run as the mutant runs them. */
  private wrapped(source: string, server: Server): Compiled {
    const script = this.compile(source)
    const commands = this.mutant?.commands
    if (commands === undefined) return script
    return { run: (host, keys, args) => script.run({ run: commands(host.run, () => server.full) }, keys, args) }
  }

  layOut(us: number, placed: Parameters<Simulated["layOut"]>[1]): void {
    this.us = us
    this.server = this.start()
    for (const { key, life, stored } of placed) {
      const [name, ...args] = layingOut(key, stored)
      this.server.run(name!, args)
      if (life !== undefined) this.server.run("PEXPIRE", [key, String(life)])
    }
  }

  run(
    us: number,
    full: boolean,
    { args, keys, script }: Parameters<Simulated["run"]>[2]
  ): ReturnType<Simulated["run"]> {
    // Where the scripts are told the time, the server's own stands still.
    if (this.timing === "told to the server") this.us = us
    this.messages = []
    this.server.full = full
    const sha = shaOf(this.sending.source(script))
    const reply = this.server.run("EVALSHA", [sha, String(keys.length), ...keys, ...this.sending.args(us, args)])
    const { messages } = this
    const keyspace = readLook(this.server.run("EVAL", [looking, String(places.length), ...places]))
    return { reply, keyspace, messages }
  }

  /** Any script. */
  evaluate(source: string, keys: ReadonlyArray<string>, args: ReadonlyArray<string>): Reply {
    return this.server.run("EVAL", [source, String(keys.length), ...keys, ...args])
  }
}
