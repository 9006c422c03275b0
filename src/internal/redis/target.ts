/**
 * Where a layer connects to, read from what it was given and refused at once if
 * it cannot be. No message has a value of it, where that may be a secret or a
 * part of one: a password with a `/` or `#` in it ends elsewhere in a URL.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { InvalidInput } from "../../InvalidInput.ts"
import { refused } from "../refused.ts"
import * as Options from "./options.ts"

/** A password that is asked for at each connection. */
export type Password = Effect.Effect<string, Error>

export type Target =
  | { readonly _tag: "Client"; readonly client: object }
  | { readonly _tag: "Node"; readonly options: object; readonly password?: Password | undefined }
  | {
    readonly _tag: "Cluster"
    readonly nodes: ReadonlyArray<Place>
    readonly options: object
    readonly nodeOptions: object
    readonly password?: Password | undefined
  }

interface Place {
  readonly host: string
  readonly port: number
}

/** What was given, before it is checked. */
export interface Given {
  readonly url?: unknown
  readonly options?: unknown
  readonly cluster?: unknown
  readonly client?: unknown
}

const refuse = (message: string): InvalidInput => refused("RedisCache", "InvalidOption", message)

const orRefuse = (what: string, complaint: string | undefined): void => {
  if (complaint !== undefined) throw refuse(`${what}: ${complaint}`)
}

const recordOf = (what: string, value: unknown): Readonly<Record<string, unknown>> => {
  if (value === undefined) return {}
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value }
  throw refuse(`${what} are to be an object`)
}

// -----------------------------------------------------------------------------
// addresses
// -----------------------------------------------------------------------------

/** What a URL says. */
interface Address {
  readonly host: string
  readonly port?: number
  readonly username?: string
  readonly password?: string
  readonly db?: number
  readonly family?: number
  readonly tls?: true
}

const decoded = (what: string, part: string): string => {
  try {
    return decodeURIComponent(part)
  } catch {
    throw refuse(`${what} has a user or a password with a % that encodes nothing: a % itself is written %25`)
  }
}

const integerIn = (what: string, name: string, digits: string): number => {
  if (/^\d{1,10}$/.test(digits)) return Number(digits)
  throw refuse(`${what} has a ${name} that is no number`)
}

const queries: ReadonlySet<string> = new Set(["db", "family"])

const addressOf = (what: string, text: unknown): Address => {
  if (typeof text !== "string" || !/^rediss?:\/\//.test(text)) {
    throw refuse(`${what} begins with redis:// or rediss://`)
  }
  if (!URL.canParse(text)) {
    throw refuse(`${what} is none: is its port a number up to 65535, and are / ? # @ : in a password encoded?`)
  }
  const { hash, hostname, password, pathname, port, protocol, searchParams, username } = new URL(text)
  if (hash !== "") throw refuse(`${what} has a #: in a password it is written %23`)
  if (hostname === "") throw refuse(`${what} names no host`)
  if (port === "0") throw refuse(`${what} has port 0`)
  for (const name of searchParams.keys()) {
    if (!queries.has(name)) throw refuse(`${what} has a query of its own: give such options as \`options\``)
  }
  const path = pathname.replace(/^\//, "")
  const [db, family] = [path === "" ? searchParams.get("db") : path, searchParams.get("family")]
  return {
    host: hostname.replace(/^\[|\]$/g, ""),
    ...(port === "" ? {} : { port: Number(port) }),
    ...(username === "" ? {} : { username: decoded(what, username) }),
    ...(password === "" ? {} : { password: decoded(what, password) }),
    ...(db === null ? {} : { db: integerIn(what, "database", db) }),
    ...(family === null ? {} : { family: integerIn(what, "family", family) }),
    ...(protocol === "rediss:" ? { tls: true } : {})
  }
}

const shown = (value: unknown): unknown => Redacted.isRedacted(value) ? Redacted.value(value) : value

// -----------------------------------------------------------------------------
// passwords
// -----------------------------------------------------------------------------

const told = (error: unknown): string => {
  const { _tag, message } = (error ?? {}) as { readonly _tag?: unknown; readonly message?: unknown }
  return typeof message === "string" && message !== "" ? message : String(_tag ?? error)
}

/** Whatever it fails with is why there is no connection. */
const asked = (effect: Effect.Effect<unknown, unknown>): Password =>
  Effect.matchCauseEffect(effect, {
    onFailure: (cause) => Effect.fail(new Error(`the password could not be had: ${told(Cause.squash(cause))}`)),
    onSuccess: (value) => {
      const password = shown(value)
      return typeof password === "string"
        ? Effect.succeed(password)
        : Effect.fail(new Error("the password could not be had: it is no text"))
    }
  })

/** The options without a password that is to be asked for, and that. */
const apart = (options: Readonly<Record<string, unknown>>) => {
  const { password, ...rest } = options
  return Effect.isEffect(password)
    ? { options: rest, password: asked(password as Effect.Effect<unknown, unknown>) }
    : { options, password: undefined }
}

// -----------------------------------------------------------------------------
// targets
// -----------------------------------------------------------------------------

const nodeTarget = ({ options, url }: Given): Target => {
  const { options: more, password } = apart(recordOf("`options`", options))
  if (url === undefined) {
    orRefuse("`options`", Options.complaintAboutNode(more))
    return { _tag: "Node", options: more, password }
  }
  const address = addressOf("a url", shown(url))
  for (const name of ["path", "sentinels"]) {
    if (more[name]) throw refuse(`a url names a node, and \`${name}\` of \`options\` another place`)
  }
  for (const [name, value] of Object.entries(address)) {
    const other = name === "password" && password !== undefined ? password : shown(more[name])
    if (name !== "tls" && other !== undefined && other !== null && other !== value) {
      throw refuse(`\`${name}\` is given in the url and in \`options\``)
    }
  }
  const all = { ...more, ...address, ...(more["tls"] === undefined ? {} : { tls: more["tls"] }) }
  orRefuse("`options`", Options.complaintAboutNode(all))
  return { _tag: "Node", options: all, password }
}

const isDigits = (text: string): boolean => /^\d+$/.test(text)

const clusterNodeOf = (node: unknown, i: number): Address => {
  const what = `node ${i + 1} of the cluster`
  if (typeof node === "string") {
    if (isDigits(node)) throw refuse(`${what} names no host`)
    return addressOf(what, /^rediss?:\/\//.test(node) ? node : `redis://${node}`)
  }
  const place = recordOf(what, node ?? "none")
  const { options } = apart(place)
  orRefuse(what, Options.complaintAboutNode(options))
  if (typeof place["host"] !== "string") throw refuse(`${what} names no host`)
  return place as unknown as Address
}

/** What the nodes say beside their place must be true of all: others are found, of which nothing is said. */
const shared = (addresses: ReadonlyArray<Address>): object => {
  const [first] = addresses
  const common: Record<string, unknown> = {}
  for (const name of ["username", "password", "family", "tls"] as const) {
    if (addresses.some((address) => address[name] !== first?.[name])) {
      throw refuse(`the nodes of a cluster differ in \`${name}\`, which must be the same for all`)
    }
    if (first?.[name] !== undefined) common[name] = first[name]
  }
  return common
}

const clusterTarget = (cluster: unknown): Target => {
  const { cluster: options, nodes, options: ofNodes } = recordOf("`cluster`", cluster)
  if (!Array.isArray(nodes) || nodes.length === 0) throw refuse("a cluster needs a node to begin with")
  const addresses = nodes.map(clusterNodeOf)
  if (addresses.some(({ db }) => db)) throw refuse("a cluster has database 0 only")
  const given = recordOf("`cluster.cluster`", options)
  orRefuse("`cluster.cluster`", Options.complaintAboutCluster(given))
  const { options: plain, password } = apart(recordOf("`cluster.options`", ofNodes))
  const nodeOptions = { ...shared(addresses), ...plain }
  orRefuse("`cluster.options`", Options.complaintAboutClusterNodes(nodeOptions))
  const places = addresses.map(({ host, port = 6379 }) => ({ host, port }))
  return { _tag: "Cluster", nodes: places, options: given, nodeOptions, password }
}

const isClient = (value: unknown): value is Parameters<typeof Options.complaintAboutLent>[0] => {
  if (typeof value !== "object" || value === null) return false
  const { duplicate, isCluster, options } = value as Readonly<Record<string, unknown>>
  return typeof isCluster === "boolean" && typeof duplicate === "function" && typeof options === "object" &&
    options !== null
}

const clientTarget = (client: unknown): Target => {
  if (!isClient(client)) throw refuse("`client` is to be a client of the package, a `Redis` or a `Cluster`")
  orRefuse("`client`", Options.complaintAboutLent(client))
  return { _tag: "Client", client }
}

export const targetOf = (given: Given): Target => {
  const { client, cluster, options, url } = given
  if ([client, cluster, url ?? options].filter((one) => one !== undefined).length !== 1) {
    throw refuse("give one of `url` or `options`, `cluster`, or `client`")
  }
  return client !== undefined
    ? clientTarget(client)
    : cluster !== undefined
    ? clusterTarget(cluster)
    : nodeTarget(given)
}
