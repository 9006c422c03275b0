/** The servers of a world: where they are, what time they have, and what happens to them. */
import { type Lost, Server, type Write } from "../redis/server.ts"
import type { Deployment } from "./client.ts"
import type { Place } from "./connection.ts"
import type { Host, Network } from "./network.ts"
import type { Sim } from "./sim.ts"
