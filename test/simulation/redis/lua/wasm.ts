/**
 * Lua 5.1 itself, compiled to WebAssembly, as another engine: what the translator makes of a script can be compared with
 * what Lua makes of it. It is several times slower.
 *
 * All is done on Lua's stack by its C functions, since strings are bytes, which the convenient way would decode.
 */
import { Lua } from "wasmoon-lua5.1"
import { Failure, Raised, type Reply, Status } from "../reply.ts"
import type { Compiled, Host } from "./engine.ts"
import { general } from "./numbers.ts"
import { runtime, Table, type Value } from "./runtime.ts"

/** What is used of C, by its name in the module. */
interface Module {
  readonly HEAPU8: Uint8Array
  readonly _malloc: (size: number) => number
  readonly _free: (at: number) => void
  readonly addFunction: (f: (state: number) => number, signature: string) => number
  readonly _luaL_newstate: () => number
  readonly _luaL_openlibs: (state: number) => void
  readonly _luaL_loadbuffer: (state: number, at: number, length: number, name: number) => number
  readonly _luaL_ref: (state: number, table: number) => number
  readonly _lua_pcall: (state: number, args: number, results: number, handler: number) => number
  readonly _lua_gettop: (state: number) => number
  readonly _lua_settop: (state: number, top: number) => void
  readonly _lua_type: (state: number, index: number) => number
  readonly _lua_toboolean: (state: number, index: number) => number
  readonly _lua_tonumber: (state: number, index: number) => number
  readonly _lua_tolstring: (state: number, index: number, length: number) => number
  readonly _lua_pushlstring: (state: number, at: number, length: number) => void
  readonly _lua_pushnumber: (state: number, value: number) => void
  readonly _lua_pushboolean: (state: number, value: number) => void
  readonly _lua_pushcclosure: (state: number, f: number, upvalues: number) => void
  readonly _lua_createtable: (state: number, values: number, fields: number) => void
  readonly _lua_rawgeti: (state: number, table: number, index: number) => void
  readonly _lua_rawseti: (state: number, table: number, index: number) => void
  readonly _lua_getfield: (state: number, table: number, name: number) => void
  readonly _lua_setfield: (state: number, table: number, name: number) => void
}

const registry = -10_000
const globals = -10_002
const types = { boolean: 1, number: 3, string: 4, table: 5 }

// `redis` and `pcall` as Redis makes them: an error is a table, and raised as one; caught, it is a text.
const prelude = `
local raw, try = __raw, pcall
local function caught(done, ...)
  if done then return true, ... end
  local e = ...
  if type(e) == 'table' then e = e.err end
  return false, e
end
pcall = function(...) return caught(try(...)) end
redis = {
  call = function(...)
    local failed, value = raw(...)
    if failed then error(value, 0) end
    return value
  end,
  pcall = function(...)
    local _, value = raw(...)
    return value
  end,
  error_reply = function(message)
    if type(message) ~= 'string' then return { err = 'ERR wrong number or type of arguments' } end
    if string.sub(message, 1, 1) == '-' then message = string.sub(message, 2) end
    if not string.find(message, ' ', 1, true) then message = 'ERR ' .. message end
    return { err = message }
  end
}
`

/** Texts of JavaScript as bytes in the memory of the module. */
class Memory {
  private readonly module: Module
  private readonly names = new Map<string, number>()
  private readonly cell: number
  private size = 1 << 16
  private buffer: number

  constructor(module: Module) {
    this.module = module
    this.cell = module._malloc(8)
    this.buffer = module._malloc(this.size)
  }

  private copy(text: string, to: number): number {
    const heap = this.module.HEAPU8
    for (let i = 0; i < text.length; i++) heap[to + i] = text.charCodeAt(i)
    heap[to + text.length] = 0
    return to
  }

  /** Where it stands until the next is written. */
  write(text: string): number {
    if (text.length >= this.size) {
      this.module._free(this.buffer)
      this.size = 2 * text.length
      this.buffer = this.module._malloc(this.size)
    }
    return this.copy(text, this.buffer)
  }

  /** One that stays. */
  name(text: string): number {
    let at = this.names.get(text)
    if (at === undefined) this.names.set(text, at = this.copy(text, this.module._malloc(text.length + 1)))
    return at
  }

  read(state: number, index: number): string {
    const at = this.module._lua_tolstring(state, index, this.cell)
    const heap = this.module.HEAPU8
    const length = new DataView(heap.buffer).getUint32(this.cell, true)
    let text = ""
    for (let i = at; i < at + length; i++) text += String.fromCharCode(heap[i]!)
    return text
  }
}

const badArguments = new Failure("ERR Lua redis lib command arguments must be strings or integers")
const noArguments = new Failure("ERR Please specify at least one argument for this redis.call()")

class Engine {
  private readonly module: Module
  private readonly state: number
  private readonly memory: Memory
  private readonly compiled = new Map<string, Compiled>()
  /** Of the script that runs. */
  private host: Host | undefined

  constructor(module: Module) {
    this.module = module
    this.memory = new Memory(module)
    this.state = module._luaL_newstate()
    module._luaL_openlibs(this.state)
    module._lua_pushcclosure(this.state, module.addFunction(() => this.raw(), "ii"), 0)
    this.setGlobal("__raw")
    this.load(prelude)
    if (module._lua_pcall(this.state, 0, 0, 0) !== 0) throw new Error(this.memory.read(this.state, -1))
  }

  private load(source: string): void {
    const { memory, module, state } = this
    const name = memory.name("@user_script")
    if (module._luaL_loadbuffer(state, memory.write(source), source.length, name) !== 0) {
      throw new Error(memory.read(state, -1))
    }
  }

  private setGlobal(name: string): void {
    this.module._lua_setfield(this.state, globals, this.memory.name(name))
  }

  private pushText(text: string): void {
    this.module._lua_pushlstring(this.state, this.memory.write(text), text.length)
  }

  private push(reply: Reply): void {
    const { memory, module, state } = this
    if (typeof reply === "string") this.pushText(reply)
    else if (typeof reply === "number") module._lua_pushnumber(state, reply)
    else if (reply === null) module._lua_pushboolean(state, 0)
    else if (reply instanceof Failure || reply instanceof Status) {
      module._lua_createtable(state, 0, 1)
      this.pushText(reply instanceof Failure ? reply.err : reply.ok)
      module._lua_setfield(state, -2, memory.name(reply instanceof Failure ? "err" : "ok"))
    } else {
      module._lua_createtable(state, reply.length, 0)
      for (const [i, one] of reply.entries()) {
        this.push(one)
        module._lua_rawseti(state, -2, i + 1)
      }
    }
  }

  /** What stands at the top of the stack, as far as it can be answered. */
  private take(): Value {
    const value = this.valueAt(-1)
    this.module._lua_settop(this.state, -2)
    return value
  }

  private valueAt(index: number): Value {
    const { memory, module, state } = this
    const type = module._lua_type(state, index)
    if (type === types.boolean) return module._lua_toboolean(state, index) !== 0
    if (type === types.number) return module._lua_tonumber(state, index)
    if (type === types.string) return memory.read(state, index)
    if (type !== types.table) return undefined
    const at = module._lua_gettop(state)
    const list: Array<Value> = []
    for (;;) {
      module._lua_rawgeti(state, at, list.length + 1)
      const value = this.take()
      if (value === undefined) break
      list.push(value)
    }
    const table = new Table(list)
    for (const field of ["err", "ok"]) {
      module._lua_getfield(state, at, memory.name(field))
      table.set(field, this.take())
    }
    return table
  }

  /** A command: its arguments are on the stack. Leaves whether it failed, and the answer. */
  private raw(): number {
    const { memory, module, state } = this
    const args: Array<string> = []
    const count = module._lua_gettop(state)
    for (let i = 1; i <= count; i++) {
      const type = module._lua_type(state, i)
      if (type === types.string) args.push(memory.read(state, i))
      else if (type === types.number) args.push(general(module._lua_tonumber(state, i), 17))
    }
    const [name, ...rest] = args
    const reply = count === 0
      ? noArguments
      : args.length < count || name === undefined
      ? badArguments
      : this.host!.run(name, rest)
    module._lua_pushboolean(state, reply instanceof Failure ? 1 : 0)
    this.push(reply)
    return 2
  }

  private run(script: number, host: Host, keys: ReadonlyArray<string>, args: ReadonlyArray<string>): Reply {
    const { module, state } = this
    this.host = host
    this.push(keys)
    this.setGlobal("KEYS")
    this.push(args)
    this.setGlobal("ARGV")
    module._lua_rawgeti(state, registry, script)
    const ended = module._lua_pcall(state, 0, 1, 0)
    const value = this.take()
    if (ended === 0) return runtime.toReply(value)
    return new Raised(value instanceof Table ? String(value.get("err")) : `ERR ${String(value)}`)
  }

  compile(source: string): Compiled {
    let one = this.compiled.get(source)
    if (one === undefined) {
      this.load(source)
      const script = this.module._luaL_ref(this.state, registry)
      one = { run: (host, keys, args) => this.run(script, host, keys, args) }
      this.compiled.set(source, one)
    }
    return one
  }
}

/** Starts it; what it gives is as `compile` of `engine.ts`. */
export const startWasm = async (): Promise<(source: string) => Compiled> => {
  const { global } = await Lua.create()
  const engine = new Engine(global.luaApi.module as unknown as Module)
  return (source) => engine.compile(source)
}
