/**
 * What the comparison with other caches says of two processes is what its
 * programs see on a Redis.
 */
import { redisClaims } from "../../bench/rivals/redis.ts"
import { nodeUrl } from "../support/sharedRedis.ts"
import { compare } from "./table.ts"

compare(redisClaims(nodeUrl()))
