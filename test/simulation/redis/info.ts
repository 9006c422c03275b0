/** What a server says of itself. */
import type { Server } from "./server.ts"

const repeated = (word: string, times: number): string => word.repeat(times)

const replicationOf = (server: Server): ReadonlyArray<string> => {
  const { offset, replicas, source } = server
  const common = [
    `connected_slaves:${replicas.size}`,
    ...[...replicas].map(({ acknowledged, server: { address: { host, port } } }, i) =>
      `slave${i}:ip=${host},port=${port},state=online,offset=${acknowledged},lag=0`
    ),
    "master_failover_state:no-failover",
    `master_replid:${server.runId}`,
    `master_replid2:${repeated("0", 40)}`,
    `master_repl_offset:${offset}`,
    "second_repl_offset:-1",
    "repl_backlog_active:0"
  ]
  return server.role === "master" ? ["role:master", ...common] : [
    "role:slave",
    `master_host:${source?.primary.address.host ?? "unknown"}`,
    `master_port:${source?.primary.address.port ?? 0}`,
    `master_link_status:${source === undefined ? "down" : "up"}`,
    "master_sync_in_progress:0",
    `slave_repl_offset:${offset}`,
    "slave_priority:100",
    "slave_read_only:1",
    ...common
  ]
}

type Section = (server: Server) => ReadonlyArray<string>

const sections: Readonly<Record<string, Section>> = {
  Server: (server) => [
    "redis_version:7.0.15",
    `redis_mode:${server.cluster === undefined ? "standalone" : "cluster"}`,
    "os:simulated",
    "arch_bits:64",
    `run_id:${server.runId}`,
    `tcp_port:${server.address.port}`,
    `server_time_usec:${server.now()}`,
    "hz:10"
  ],
  Clients: (server) => [`connected_clients:${server.connected}`, "blocked_clients:0"],
  Memory: ({ settings }) => [
    "used_memory:1048576",
    `maxmemory:${settings.get("maxmemory")!}`,
    `maxmemory_policy:${settings.get("maxmemory-policy")!}`
  ],
  Persistence: ({ settings }) => [
    "loading:0",
    "async_loading:0",
    `aof_enabled:${settings.get("appendonly") === "yes" ? 1 : 0}`
  ],
  Replication: replicationOf,
  Cluster: ({ cluster }) => [`cluster_enabled:${cluster === undefined ? 0 : 1}`],
  Keyspace: ({ keyspace: { size } }) => size === 0 ? [] : [`db0:keys=${size},expires=0,avg_ttl=0`]
}

const everything = ["all", "default", "everything"]

/** The facts of these sections, or of all. */
export const infoOf = (server: Server, asked: ReadonlyArray<string>): string => {
  const names = new Set(asked.map((name) => name.toLowerCase()))
  const isAsked = (name: string): boolean =>
    names.size === 0 || names.has(name.toLowerCase()) || everything.some((one) => names.has(one))
  return Object.entries(sections)
    .filter(([name]) => isAsked(name))
    .map(([name, facts]) => [`# ${name}`, ...facts(server)].map((line) => `${line}\r\n`).join(""))
    .join("\r\n")
}
