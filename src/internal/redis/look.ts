/**
 * One look at a server when a layer starts: what will hurt, and what to do.
 */
import * as Effect from "effect/Effect"
import type { StoreError } from "../../CacheStore.ts"
import { type Client, type Node, unavailable } from "./client.ts"
import { factsIn } from "./info.ts"
import * as Scripts from "./scripts.ts"
import type { Transport } from "./transport.ts"
import * as Wire from "./wire.ts"
import { isReadOnly } from "./words.ts"

/** What a server said of itself, as far as it was allowed to. */
export interface Look {
  readonly info: Readonly<Record<string, string>>
  readonly config: Readonly<Record<string, string>>
  readonly cluster: Readonly<Record<string, string>>
  /** What the user may not do, as the server said it. */
  readonly refused: ReadonlyArray<string>
}

/** What the layer was given, as far as the server has to fit. */
export interface Expected {
  readonly cluster: boolean
  readonly replicas: number
}

const oldest = [6, 2] as const

const isOlder = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  return major < oldest[0] || (major === oldest[0] && minor < oldest[1])
}

// Where a full server begins to evict, anything may go but what was just invalidated stays so; where it does not, it
// refuses to store.
const aboutMemory = ({ config, info }: Look): string | undefined => {
  const policy = config["maxmemory-policy"] ?? info["maxmemory_policy"]
  const limit = Number(config["maxmemory"] ?? info["maxmemory"] ?? 0)
  return limit > 0 && policy === "noeviction"
    ? "maxmemory-policy is noeviction: once the server is full nothing is stored any more, and every read loads. " +
      "Set allkeys-lru or volatile-ttl"
    : undefined
}

const aboutSnapshots = ({ config }: Look): string | undefined => {
  const appends = config["appendonly"] === "yes"
  if (appends ? config["appendfsync"] === "always" : (config["save"] ?? "") === "") return undefined
  return `the server keeps ${appends ? "an append-only file" : "snapshots"} that can be older than its last ` +
    "acknowledged write: after a crash it may bring back what was invalidated. Turn persistence off (save \"\", " +
    "appendonly no), or set appendfsync always"
}

const aboutCluster = ({ cluster, info }: Look, expected: Expected): string | undefined => {
  const enabled = info["cluster_enabled"] === "1"
  if (enabled && !expected.cluster) {
    return "the server belongs to a cluster, and the client knows one node only. Give `cluster` in place of `url`"
  }
  const state = cluster["cluster_state"]
  return expected.cluster && state !== undefined && state !== "ok"
    ? `the cluster's state is "${state}": some keys cannot be reached`
    : undefined
}

const aboutReplicas = ({ info }: Look, { replicas }: Expected): string | undefined => {
  if (info["role"] === "slave") {
    return "the server is a replica: it cannot be written to, and may be behind. Connect to the primary"
  }
  return replicas > 0 && Number(info["connected_slaves"] ?? 0) < replicas
    ? `${replicas} replicas are to acknowledge invalidations, and ${info["connected_slaves"] ?? 0} are connected: ` +
      "invalidations will fail"
    : undefined
}

const isCrossSlot = (refusal: string): boolean => /\bCROSSSLOT\b/.test(refusal)

const aboutShards = ({ info, refused }: Look): string | undefined =>
  info["cluster_enabled"] !== "1" && refused.some(isCrossSlot)
    ? "behind this address the keys lie on several shards, and no script may use keys of two (CROSSSLOT): nothing can " +
      "be stored or invalidated. Give `cluster`, if the service has the API of Redis Cluster, or take a database of " +
      "one shard"
    : undefined

/** A sentence for each thing that will hurt. */
export const complaints = (look: Look, expected: Expected): ReadonlyArray<string> => {
  const version = look.info["redis_version"]
  return [
    version !== undefined && isOlder(version)
      ? `the server is version ${version}, and ${oldest.join(".")} or later is needed`
      : undefined,
    aboutMemory(look),
    aboutSnapshots(look),
    aboutCluster(look, expected),
    aboutReplicas(look, expected),
    aboutShards(look),
    ...look.refused.filter((what) => !isCrossSlot(what)).map((what) => `the user may not do what is needed: ${what}`)
  ].filter((one) => one !== undefined)
}

// An array of names and values, or a map, as the protocol's version has it.
const parsePairs = (answer: unknown): Record<string, string> => {
  if (answer instanceof Map) return Object.fromEntries(answer) as Record<string, string>
  if (!Array.isArray(answer)) {
    return typeof answer === "object" && answer !== null ? { ...answer } as Record<string, string> : {}
  }
  if (Array.isArray(answer[0])) return Object.fromEntries(answer as Array<[string, string]>)
  return Object.fromEntries(
    answer.flatMap((name, i) => i % 2 === 0 ? [[String(name), String(answer[i + 1])] as const] : [])
  )
}

const messageOf = ({ cause, message }: StoreError): string => cause instanceof Error ? cause.message : message

// That it is a replica is said once.
const isPermission = (refusal: string): boolean => !isReadOnly(refusal.replace(/^\w+: /, ""))

/** The server's refusals, each with the command it is about; fails if the server cannot be reached. */
const refusalsOf = (
  command: string,
  effect: Effect.Effect<ReadonlyArray<unknown>, StoreError>
): Effect.Effect<ReadonlyArray<string>, StoreError> =>
  Effect.matchEffect(effect, {
    onSuccess: ([, refused]) =>
      Effect.succeed(
        Array.isArray(refused) ? refused.filter((one) => typeof one === "string" && isPermission(one)) : []
      ),
    onFailure: (error) =>
      isReadOnly(messageOf(error))
        ? Effect.succeed([])
        : /^(?:NOPERM|NOAUTH|WRONGPASS|ERR|CROSSSLOT)\b/.test(messageOf(error))
        ? Effect.succeed([`${command}: ${messageOf(error)}`])
        : Effect.fail(error)
  })

/**
 * As often as the limit of a read ends it: who starts has more time, and a server may be so far away that several answers
 * take longer than a read may.
 */
export const patiently = <A>(reading: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
  Effect.retry(reading, { while: ({ reason }) => reason._tag === "Timeout" })

/** Asks a node what it is and what it lets do. Fails only if it cannot be reached. */
export const look = Effect.fnUntraced(function*(
  client: Client,
  transport: Transport,
  prefix: string
): Effect.fn.Return<Look, StoreError> {
  const names = new Wire.Names(prefix)
  const node: Node | undefined = client.primaries()[0]
  if (node === undefined) {
    return yield* Effect.fail(unavailable("look", new Error(client.trouble() ?? "no node of the cluster is known")))
  }
  // One node is asked with keys of two slots, as any script there: a cluster behind one address refuses that.
  const probed = client.isCluster ? [names.probe] : [names.probe, names.journal]
  const probes = Effect.all([
    refusalsOf("EVALSHA", transport.run("look", Scripts.probe, probed, [names.released])),
    refusalsOf("GET, MGET", Effect.as(patiently(transport.get("look", [names.probe, names.probe])), [])),
    refusalsOf("SCAN", Effect.as(node.command("look", "SCAN", "0", "COUNT", "1"), []))
  ], { concurrency: "unbounded" })
  // What the user may not ask is not known, and cannot be complained about.
  const factsBy = (
    parse: (answer: unknown) => Readonly<Record<string, string>>,
    ...command: readonly [string, ...Array<string>]
  ) => Effect.match(node.command("look", ...command), { onSuccess: parse, onFailure: () => ({}) })
  const configs = Effect.forEach(settings, (name) => factsBy(parsePairs, "CONFIG", "GET", name), {
    concurrency: "unbounded"
  })
  // All at once: a server may be so far away that one after the other would not be in time.
  const [refused, info, cluster, config] = yield* Effect.all([
    Effect.map(probes, (all) => all.flat()),
    factsBy(factsIn, "INFO"),
    factsBy(factsIn, "CLUSTER", "INFO"),
    Effect.map(configs, (all) => Object.fromEntries(all.flatMap((one) => Object.entries(one))))
  ], { concurrency: "unbounded" })
  return { info, cluster, config, refused }
})

const settings = ["maxmemory", "maxmemory-policy", "save", "appendonly", "appendfsync"]
