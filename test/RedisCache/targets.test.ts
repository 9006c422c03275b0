/**
 * Where a layer is to connect to, and with which options: what cannot be is
 * refused when the layer is made, without a word of a secret, and every option
 * of the package is known.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { Cluster, Redis } from "ioredis"
import { Cluster as Cluster5, Redis as Redis5 } from "ioredis-5"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as path from "node:path"
import * as Options from "../../src/internal/redis/options.ts"
import { type Target, targetOf } from "../../src/internal/redis/target.ts"
import * as InvalidInput from "../../src/InvalidInput.ts"
import * as RedisCache from "../../src/RedisCache.ts"
import { root } from "../support/modules.ts"

const url = "redis://127.0.0.1:6379"
const secret = "s3cr3t"

const asleep = <C extends { on(event: "error", listener: () => void): unknown }>(client: C): C => {
  client.on("error", () => undefined)
  return client
}

const refusalOf = (make: () => unknown): InvalidInput.InvalidInput => {
  let thrown: unknown
  try {
    make()
  } catch (error) {
    thrown = error
  }
  assert.instanceOf(thrown, InvalidInput.InvalidInput)
  return thrown
}

const node = (options: Record<string, unknown>) => () => ({ options: { host: "h", ...options } })
const nodes = (...nodes: ReadonlyArray<unknown>) => () => ({ cluster: { nodes } })
const ofNodes = (options: Record<string, unknown>) => () => ({ cluster: { nodes: ["h:1"], options } })
const ofCluster = (cluster: Record<string, unknown>) => () => ({ cluster: { nodes: ["h:1"], cluster } })
const client = (options: object) => () => ({ client: asleep(new Redis({ lazyConnect: true, ...options })) })

/** What is given, and what the refusal is to say. */
const refused: Record<string, readonly [() => unknown, RegExp]> = {
  "a database that is no number": [() => ({ url: `${url}/abc` }), /database/],
  "a negative database": [() => ({ url: `${url}/-1` }), /database/],
  "half a database": [() => ({ url: `${url}/1.5` }), /database/],
  "two databases": [() => ({ url: `${url}/1/2` }), /database/],
  "a database in the query that is no number": [() => ({ url: `${url}?db=x` }), /database/],
  "options in a query": [() => ({ url: `${url}?keyPrefix=x` }), /query/],
  "a percent sign that encodes nothing": [() => ({ url: `redis://:%zz${secret}@h` }), /%25/],
  "a port that is none": [() => ({ url: "redis://h:65536" }), /port/],
  "port 0": [() => ({ url: "redis://h:0" }), /port 0/],
  "no host": [() => ({ url: "redis://" }), /host/],
  "another protocol": [() => ({ url: `http://:${secret}@h` }), /redis:\/\//],
  "a password with a slash": [() => ({ url: `redis://:12/${secret}@h` }), /password/],
  "a password with a slash after what could be a port": [() => ({ url: `redis://u:12/${secret}@h` }), /database/],
  "a password with a number sign": [() => ({ url: `redis://u:12#${secret}@h` }), /%23/],
  "a password with a question mark": [() => ({ url: `redis://u:12?${secret}@h` }), /query/],
  "a url that is no text": [() => ({ url: 6379 }), /redis:\/\//],
  "two passwords": [() => ({ url: `redis://:a@h`, options: { password: secret } }), /`password`.*url/],
  "a password in the url, and one to be asked for": [
    () => ({ url: `redis://:a@h`, options: { password: Effect.succeed(secret) } }),
    /`password`.*url/
  ],
  "two databases, in the url and beside it": [() => ({ url: `${url}/1`, options: { db: 2 } }), /`db`.*url/],
  "a url and a path": [() => ({ url, options: { path: "redis.sock" } }), /path/],
  "a url and Sentinels": [() => ({ url, options: { sentinels: [{ host: "h" }], name: "n" } }), /sentinels/],
  "options that are none": [() => ({ options: "h" }), /object/],
  "a port out of range": [node({ port: 65_536 }), /`port`.*1 to 65535/],
  "a port that is a text": [node({ port: "6379" }), /`port`/],
  "a negative db": [node({ db: -1 }), /`db`/],
  "a fractional db": [node({ db: 0.5 }), /`db`/],
  "an empty host": [node({ host: "" }), /`host`/],
  "a password that is a number": [node({ password: 7 }), /`password`/],
  "a Redacted password that is none": [node({ password: Redacted.make(7) }), /`password`/],
  "Sentinels without a name": [() => ({ options: { sentinels: [{ host: "h" }] } }), /`name`/],
  "no Sentinels": [() => ({ options: { sentinels: [], name: "n" } }), /`sentinels`/],
  "a Sentinel at a port that is none": [() => ({ options: { sentinels: [{ port: 0 }], name: "n" } }), /`sentinels`/],
  "a time that is none": [node({ connectTimeout: "1s" }), /`connectTimeout`/],
  "a pause that is no function": [node({ retryStrategy: 100 }), /`retryStrategy`/],
  "a prefix of the package": [node({ keyPrefix: "x" }), /`prefix`/],
  "reading from a replica": [node({ role: "slave" }), /primaries only/],
  "a read-only connection": [node({ readOnly: true }), /primaries only/],
  "monitoring": [node({ monitor: true }), /`monitor`/],
  "a script in place of a command": [node({ scripts: { mget: { lua: "return {}" } } }), /mget/],
  "answers that the protocol does not have": [node({ protocol: 2, replyMapping: "resp3" }), /protocol 3/],
  "a cluster that is none": [() => ({ cluster: url }), /object/],
  "nodes that are no list": [() => ({ cluster: { nodes: url } }), /node to begin with/],
  "a node without a host": [nodes("6379"), /node 1 .*host/],
  "a node of a port that is none": [nodes("h:1", `redis://:${secret}@h:99999`), /node 2/],
  "a node of nothing": [nodes(undefined), /node 1/],
  "a node at a port that is a text": [nodes({ host: "h", port: "1" }), /node 1.*`port`/],
  "a node of a database": [nodes(`redis://:${secret}@h/1`), /database 0/],
  "nodes of different passwords": [nodes(`redis://:${secret}@h`, "redis://:b@i"), /differ in `password`/],
  "nodes of which some speak TLS": [nodes("rediss://h", "redis://i"), /differ in `tls`/],
  "a cluster's database": [ofNodes({ db: 1 }), /`db`/],
  "a cluster's host": [ofNodes({ host: "h" }), /`host`.*`nodes`/],
  "a cluster behind Sentinels": [ofNodes({ sentinels: [{ host: "h" }], name: "n" }), /`sentinels`/],
  "options of nodes among those of the cluster": [ofCluster({ redisOptions: {} }), /`options`/],
  "reading from replicas": [ofCluster({ scaleReads: "all" }), /primaries only/],
  "a client that is none": [() => ({ client: {} }), /`client`/],
  "a client that reads from replicas": [client({ role: "slave" }), /primaries only/],
  "a client with a prefix": [client({ keyPrefix: "x" }), /`prefix`/],
  "a client of a database that is no number": [
    () => ({ client: asleep(new Redis("redis://h/abc", { lazyConnect: true })) }),
    /`db`/
  ],
  "a client with a script in place of a command": [
    () => {
      const lent = asleep(new Redis({ lazyConnect: true }))
      lent.defineCommand("mget", { lua: "return {}" })
      return { client: lent }
    },
    /mget/
  ],
  "a cluster's client that reads from replicas": [
    () => ({ client: asleep(new Cluster5(["redis://h:1"], { lazyConnect: true, scaleReads: "all" })) }),
    /primaries only/
  ],
  "a cluster's client with a database": [
    () => ({ client: asleep(new Cluster(["redis://h:1"], { lazyConnect: true, redisOptions: { db: 1 } })) }),
    /`db`/
  ],
  "a cluster's client with a database in the name of a node": [
    () => ({ client: asleep(new Cluster(["redis://h:1/2"], { lazyConnect: true })) }),
    /`db`/
  ],
  "a schedule that is none": [() => ({ url, retry: 3 }), /retry/],
  "a redelivery that is none": [() => ({ url, redeliver: "1 second" }), /redeliver/],
  "trust that is none": [() => ({ url, trusted: "yes" }), /trusted/]
}

describe("what cannot be is refused when the layer is made", () => {
  for (const [what, [options, words]] of Object.entries(refused)) {
    it(what, () => {
      const error = refusalOf(() => RedisCache.layer(options() as RedisCache.Options))
      assert.match(error.message, words)
      assert.notInclude(`${error}${JSON.stringify(error)}${error.stack}`, secret)
    })
  }

  it.effect("and by layerConfig it is a ConfigError, with the same words", () =>
    Effect.gen(function*() {
      for (const bad of [`http://:${secret}@h`, `${url}/abc`, `redis://:%zz${secret}@h`]) {
        const layer = RedisCache.layerConfig({ url: Config.Redacted("REDIS_URL") })
        const error = yield* Effect.flip(Effect.scoped(Layer.build(layer))).pipe(
          Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({ REDIS_URL: bad }))
        )
        assert.instanceOf(error, Config.ConfigError)
        const { message } = refusalOf(() => RedisCache.layer({ url: bad }))
        assert.include(error.message, message)
        assert.notInclude(`${error}${JSON.stringify(error)}`, secret)
      }
      const others: ReadonlyArray<Config.Wrap<RedisCache.Options>> = [
        { timeLimit: Config.succeed(0) },
        { prefix: Config.succeed("a b") },
        { cluster: Config.succeed({ nodes: [] }) },
        { replicas: Config.succeed(1) }
      ]
      for (const more of others) {
        const layer = RedisCache.layerConfig({ url: Config.succeed(url), ...more } as typeof more)
        assert.instanceOf(yield* Effect.flip(Effect.scoped(Layer.build(layer))), Config.ConfigError)
      }
    }))
})

const nodeOf = (given: Parameters<typeof targetOf>[0]) => (targetOf(given) as Extract<Target, { _tag: "Node" }>).options
const clusterOf = (given: Parameters<typeof targetOf>[0]) => targetOf(given) as Extract<Target, { _tag: "Cluster" }>

describe("what is given is read as the package would", () => {
  const urls = [
    "redis://h",
    "redis://h:7000/",
    "redis://h/3",
    "redis://:p%40ss@h:1/2",
    "redis://user:p@h",
    "redis://user@h",
    "redis://[::1]:7",
    "rediss://h",
    "redis://h?family=6",
    "redis://h?db=4",
    "redis://h/5?db=4"
  ]
  for (const one of urls) {
    it(one, () => {
      const { db, family, host, password, port, tls, username } = nodeOf({ url: one }) as Record<string, unknown>
      const { options } = asleep(new Redis(one, { lazyConnect: true }))
      assert.deepStrictEqual(
        {
          host,
          port: port ?? 6379,
          username: username ?? "",
          password: password ?? "",
          db: db ?? 0,
          tls: tls ?? false
        },
        {
          host: options.host,
          port: options.port,
          username: options.username ?? "",
          password: options.password ?? "",
          db: options.db,
          tls: (options.tls as unknown) ?? false
        }
      )
      assert.strictEqual(family ?? 0, options.family)
    })
  }

  it("options beside a url go with it, and TLS may be set in detail", () => {
    const tls = { servername: "s" }
    assert.deepStrictEqual(nodeOf({ url: "rediss://h/1", options: { tls, db: 1, connectionName: "mine" } }), {
      host: "h",
      db: 1,
      tls,
      connectionName: "mine"
    })
  })

  it("what all nodes of a cluster say beside their place is said of those that are found", () => {
    const { nodeOptions, nodes } = clusterOf({ cluster: { nodes: ["rediss://u:p@h:1", "rediss://u:p@i"] } })
    assert.deepStrictEqual(nodes, [{ host: "h", port: 1 }, { host: "i", port: 6379 }])
    assert.deepStrictEqual(nodeOptions, { username: "u", password: "p", tls: true })
    assert.deepStrictEqual(clusterOf({ cluster: { nodes: ["h:7", { host: "i", port: 8 }] } }).nodes, [
      { host: "h", port: 7 },
      { host: "i", port: 8 }
    ])
  })
})

// -----------------------------------------------------------------------------
// every option
// -----------------------------------------------------------------------------

const require = createRequire(import.meta.url)

/** The names in the body of an interface of a declaration file. */
const declared = (name: string, file: string, ...interfaces: ReadonlyArray<string>): ReadonlyArray<string> => {
  const text = fs.readFileSync(path.join(root, "node_modules", name, "built", file), "utf8")
  return interfaces.flatMap((one) => {
    const [, body = ""] = new RegExp(`interface ${one}\\b[^{]*\\{\\n([\\s\\S]*?)\\n\\}`).exec(text) ?? []
    assert.notStrictEqual(body, "", `${one} in ${file}`)
    return [...body.matchAll(/^ {4}(\w+)\??:/gm)].map(([, found]) => found!)
  })
}

describe("every option of the package has a fate", () => {
  for (const name of ["ioredis", "ioredis-5"]) {
    const defaultsIn = (file: string, constant: string): object =>
      (require(path.join(root, "node_modules", name, "built", file)) as Record<string, object>)[constant]!

    it(`of a node: ${name}`, () => {
      const names = [
        ...Object.keys(defaultsIn("redis/RedisOptions.js", "DEFAULT_REDIS_OPTIONS")),
        ...declared(name, "redis/RedisOptions.d.ts", "CommonRedisOptions"),
        ...declared(name, "connectors/SentinelConnector/index.d.ts", "SentinelConnectionOptions"),
        ...declared(name, "utils/Commander.d.ts", "CommanderOptions"),
        "host",
        "port",
        "path",
        "family"
      ]
      assert.deepStrictEqual(names.filter((one) => !Object.hasOwn(Options.ofNode, one)), [])
    })

    it(`of a cluster: ${name}`, () => {
      const names = [
        ...Object.keys(defaultsIn("cluster/ClusterOptions.js", "DEFAULT_CLUSTER_OPTIONS")),
        ...declared(name, "cluster/ClusterOptions.d.ts", "ClusterOptions"),
        ...declared(name, "utils/Commander.d.ts", "CommanderOptions")
      ]
      assert.deepStrictEqual(names.filter((one) => !Object.hasOwn(Options.ofCluster, one)), [])
    })
  }

  it("the defaults of the package are taken, and clients that have them can be lent", () => {
    for (const one of [new Redis({ lazyConnect: true }), new Redis5({ lazyConnect: true })]) {
      assert.isUndefined(Options.complaintAboutNode({ ...asleep(one).options }))
    }
    const lent = [
      new Redis({ lazyConnect: true }),
      new Redis5({ lazyConnect: true }),
      new Cluster(["redis://h:1"], { lazyConnect: true }),
      new Cluster5(["redis://h:1"], { lazyConnect: true })
    ]
    for (const one of lent) RedisCache.layer({ client: one })
  })

  it("the page names each with its fate", () => {
    const page = fs.readFileSync(path.join(root, "docs/redis.md"), "utf8")
    const [, table = ""] = /### Options of `ioredis`\n([\s\S]*?)\n##/.exec(page) ?? []
    const fates = (fate: Options.Fate) =>
      Object.entries({ ...Options.ofCluster, ...Options.ofNode }).filter(([, rule]) => rule.fate === fate)
        .map(([name]) => name).sort()
    const named = (fate: string) => {
      const [, cell = ""] = new RegExp(`^\\| ${fate} \\|(.*)\\|$`, "m").exec(table) ?? []
      return [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name!).sort()
    }
    for (const fate of ["given", "ours", "refused"] as const) assert.deepStrictEqual(named(fate), fates(fate))
  })
})
