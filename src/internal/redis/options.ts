/**
 * Every option of the package's clients, and what becomes of it. A test goes
 * through the options that the package has, so that a new one is noticed.
 *
 * - **given**: it is passed on. What it changes is no answer, or one that is read
 *   either way.
 * - **ours**: the layer decides it for the clients that it makes, whatever is
 *   given. A client that is lent may have it, since what is sent and read does not
 *   depend on it.
 * - **refused**: a value that would break what the cache promises is refused, in
 *   a client that is lent, too.
 */
import * as Redacted from "effect/Redacted"

/** Says what is wrong with a value, or nothing. */
type Check = (value: unknown) => string | undefined

export type Fate = "given" | "ours" | "refused"

interface Rule {
  readonly fate: Fate
  readonly check?: Check
}

const is = (what: string, holds: (value: unknown) => boolean): Check => (value) =>
  holds(value) ? undefined : `is to be ${what}`

const text = is("a text that is not empty", (value) => typeof value === "string" && value !== "")
const anyText = is("a text", (value) => typeof value === "string")
const secret = is(
  "a text, or one that is Redacted",
  (value) => typeof (Redacted.isRedacted(value) ? Redacted.value(value) : value) === "string"
)
const flag = is("true or false", (value) => typeof value === "boolean")
const millis = is("a number of milliseconds", (value) => typeof value === "number" && value >= 0)
const number = is("a number", (value) => typeof value === "number" && !Number.isNaN(value))
const count = is("an integer of at least 0", (value) => Number.isSafeInteger(value) && Number(value) >= 0)
const callable = is("a function", (value) => typeof value === "function")
const record = is("an object", (value) => typeof value === "object" && value !== null)
const list = is("an array", Array.isArray)
const port = is(
  "an integer from 1 to 65535",
  (value) => Number.isSafeInteger(value) && Number(value) >= 1 && Number(value) <= 65_535
)
const tls = is(
  "an object, the name of a profile, true or false",
  (value) => ["boolean", "string", "object"].includes(typeof value)
)
const one = (...values: ReadonlyArray<unknown>): Check =>
  is(values.map(String).join(" or "), (value) => values.includes(value))
const functionOrRecord = is(
  "an object or a function",
  (value) => typeof value === "object" || typeof value === "function"
)

const places = is(
  "an array of places, each with a host and perhaps a port",
  (value) => Array.isArray(value) && value.length > 0 && value.every(isPlace)
)

const isPlace = (value: unknown): boolean => {
  if (typeof value !== "object" || value === null) return false
  const place = value as { readonly host?: unknown; readonly port?: unknown }
  return (place.host === undefined || text(place.host) === undefined) &&
    (place.port === undefined || port(place.port) === undefined)
}

const unless = (allowed: (value: unknown) => boolean, why: string): Check => (value) => allowed(value) ? undefined : why

const fromReplicas =
  "would read from replicas. A cache reads from primaries only: a replica may not know yet what was invalidated"

const given = (check?: Check): Rule => check === undefined ? { fate: "given" } : { fate: "given", check }
const ours: Rule = { fate: "ours" }
const refused = (check: Check): Rule => ({ fate: "refused", check })

/** The commands that are called by the names of methods, which a script under the same name would replace. */
export const methods = ["get", "mget", "eval", "evalsha", "publish", "subscribe", "select", "pipeline", "call"] as const

const scripts = refused((value) => {
  const hidden = methods.filter((name) => typeof value === "object" && value !== null && Object.hasOwn(value, name))
  return hidden.length === 0 ? undefined : `would be called in place of a command: ${hidden.join(", ")}`
})

const keyPrefix = refused(unless((value) => value === "", "would hide keys from patterns: use `prefix`"))

const both: Readonly<Record<string, Rule>> = {
  keyPrefix,
  scripts,
  showFriendlyErrorStack: given(flag),
  enableAutoPipelining: given(flag),
  autoPipeliningIgnoredCommands: given(list),
  enableReadyCheck: given(flag),
  natMap: given(functionOrRecord),
  himportFieldsets: given(list),
  lazyConnect: ours,
  enableOfflineQueue: ours
}

/** Of a client of one node, behind a Sentinel or not, and of the nodes of a cluster. */
export const ofNode: Readonly<Record<string, Rule>> = {
  ...both,
  // Where it is, and who asks.
  host: given(text),
  port: given(port),
  path: given(text),
  family: given(one(0, 4, 6)),
  tls: given(tls),
  db: refused(count),
  username: given(anyText),
  password: given(secret),
  sentinels: given(places),
  name: given(text),
  sentinelUsername: given(anyText),
  sentinelPassword: given(secret),
  sentinelTLS: given(tls),
  enableTLSForSentinelMode: given(flag),
  sentinelCommandTimeout: given(millis),
  sentinelMaxConnections: given(count),
  sentinelRetryStrategy: given(callable),
  sentinelReconnectStrategy: given(callable),
  updateSentinels: given(flag),
  failoverDetector: given(flag),
  role: refused(unless((value) => value === "master", fromReplicas)),
  preferredSlaves: given(),
  readOnly: refused(unless((value) => value === false, fromReplicas)),
  // How it connects.
  Connector: given(callable),
  connectTimeout: given(millis),
  disconnectTimeout: given(millis),
  keepAlive: given(millis),
  noDelay: given(flag),
  connectionName: given(anyText),
  disableClientInfo: given(flag),
  clientInfoTag: given(anyText),
  // It gives the pause in milliseconds before the next connection; what is no number is the layer's own pause.
  retryStrategy: given(callable),
  // A replica that is written to is left in any case.
  reconnectOnError: given(callable),
  maxLoadingRetryTime: given(millis),
  // What becomes of commands.
  commandTimeout: given(millis),
  socketTimeout: given(millis),
  blockingTimeout: given(number),
  blockingTimeoutGrace: given(millis),
  maxRetriesPerRequest: given(number),
  autoResendUnfulfilledCommands: ours,
  autoResubscribe: ours,
  offlineQueue: ours,
  commandQueue: ours,
  monitor: refused(unless((value) => value === false, "would leave a connection on which nothing can be asked")),
  // What answers look like. Numbers are read as numbers and as texts, and maps as objects and as lists.
  stringNumbers: ours,
  protocol: given(one(2, 3)),
  replyMapping: given(one("legacy", "resp3"))
}

/** Of the client of a cluster. */
export const ofCluster: Readonly<Record<string, Rule>> = {
  ...both,
  scaleReads: refused(unless((value) => value === "master", fromReplicas)),
  redisOptions: refused(record),
  clusterRetryStrategy: given(callable),
  clusterNodeRetryStrategy: given(callable),
  maxRedirections: given(count),
  retryDelayOnFailover: given(millis),
  retryDelayOnClusterDown: given(millis),
  retryDelayOnTryAgain: given(millis),
  retryDelayOnMoved: given(millis),
  slotsRefreshTimeout: given(millis),
  slotsRefreshInterval: given(millis),
  shardedSubscribers: given(flag),
  useSRVRecords: given(flag),
  resolveSrv: given(callable),
  dnsLookup: given(callable)
}

/** An option that is wrong, and why. The value is left out: it may be a secret. */
const complaintsOf = (
  rules: Readonly<Record<string, Rule>>,
  options: object,
  fates: ReadonlyArray<Fate>
): ReadonlyArray<string> =>
  Object.entries(options).flatMap(([name, value]) => {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined
    if (rule?.check === undefined || !fates.includes(rule.fate) || value === undefined || value === null) return []
    const why = rule.check(value)
    return why === undefined ? [] : [`\`${name}\` ${why}`]
  })

/** What is wrong with options that were given; nothing if they can be. */
export const complaintAboutNode = (options: object): string | undefined => {
  const { name, protocol, replyMapping, sentinels } = options as Readonly<Record<string, unknown>>
  return complaintsOf(ofNode, options, ["given", "refused"])[0] ??
    (sentinels && !name ? "`sentinels` need the `name` of the primary" : undefined) ??
    (replyMapping === "resp3" && protocol === 2 ? "`replyMapping` needs protocol 3" : undefined)
}

export const complaintAboutCluster = (options: object): string | undefined =>
  "redisOptions" in options
    ? "`redisOptions` of a cluster are given as its `options`"
    : complaintsOf(ofCluster, options, ["given", "refused"])[0]

// Each node of a cluster has an address of its own, and only one database.
const notOfClusterNodes = ["host", "port", "path", "sentinels", "name"]

export const complaintAboutClusterNodes = (options: object): string | undefined => {
  const own = notOfClusterNodes.find((name) => (options as Readonly<Record<string, unknown>>)[name])
  if (own !== undefined) return `\`${own}\` is not of all nodes of a cluster: give \`nodes\``
  const { db } = options as { readonly db?: unknown }
  if (db) return "`db` is to be 0: a cluster has no other database"
  return complaintAboutNode(options)
}

interface Lent {
  readonly options: object
  readonly isCluster: boolean
  readonly startupNodes?: unknown
}

// The package leaves it out without a word.
const namesDatabase = (node: unknown): boolean =>
  typeof node === "string"
    ? /^rediss?:\/\/[^/]*\/0*[1-9]/.test(node)
    : Boolean((node as { readonly db?: unknown } | null)?.db)

/** What is wrong with a client that was lent. */
export const complaintAboutLent = (client: Pick<Lent, "options" | "isCluster">): string | undefined => {
  const { isCluster, options, startupNodes } = client as Lent
  const complaint = complaintsOf(isCluster ? ofCluster : ofNode, options, ["refused"])[0]
  if (complaint !== undefined) return complaint
  const hidden = methods.filter((name) => Object.hasOwn(client, name))
  if (hidden.length > 0) return `scripts would be called in place of commands: ${hidden.join(", ")}`
  if (!isCluster) return undefined
  const { redisOptions } = options as { readonly redisOptions?: unknown }
  const { db, ...rest } = (redisOptions ?? {}) as { readonly db?: unknown }
  const hasDatabase = Array.isArray(startupNodes) && startupNodes.some(namesDatabase)
  return db || hasDatabase
    ? "`db` is to be 0: a cluster has no other database"
    : complaintsOf(ofNode, rest, ["refused"])[0]
}
