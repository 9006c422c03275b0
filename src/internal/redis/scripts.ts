/**
 * The steps of the protocol as the server runs them.
 *
 * Each step is a Lua function. On one node an operation is one script that
 * takes all its steps at once, and so is atomic; in a cluster, where an entry,
 * its markers and the journal lie on different nodes, each step is a script of
 * its own, sent in the order that `store.ts` gives.
 *
 * Scripts are constants: whatever differs from call to call is an argument.
 * Every answer begins with the server's time, from which ages are reckoned.
 *
 * | key | what |
 * |---|---|
 * | entry | `B` (`b` once softened), token, vector, facts, payload; a line each. With a version: the vector begins with the token of its key |
 * | lease | `0` (`1` once a caller waits for it), token; then the vector it was taken under, a name and a token a line |
 * | marker | the token, and after a `/` the one of the last soft invalidation since |
 * | marker of a key | the same; there only if an entry with a version was loaded since the key was last invalidated |
 * | journal | a sorted set: the epoch (score -1), `!` (up to where it has forgotten), and `=` names by when they were last invalidated |
 * | fences | a hash: id to until when it stands, and over what |
 * | protocol | the number of the protocol by which all the others are; the only one that does not expire |
 */
import { announcing, fencing, library, noting, reading, removing, storing } from "./lua.ts"

/** A script; its answer begins with the server's time in milliseconds. */
export interface Script {
  readonly name: string
  readonly source: string
}

const made: Array<Script> = []

/** All scripts of this file, so that their hashes can be computed before they are sent. */
export const all: ReadonlyArray<Script> = made

const script = (name: string, ...parts: ReadonlyArray<string>): Script => {
  const one = { name, source: [library, ...parts.slice(0, -1), reading, parts.at(-1)].join("") }
  made.push(one)
  return one
}

// What stores asks first whether there is room: a server that is full must not grow on by it.
const asking = `
local room, refusal = mayWrite(KEYS[1])
if not room then return redis.error_reply(refusal.err) end
`

// What was seen dead goes also where no lease can be given.
const askingToTake = `
local room, refusal = mayWrite(KEYS[1])
if not room then
  if drop and (force or tokenOf(KEYS[1]) == seen) then redis.call('DEL', KEYS[1]) end
  if ends then endOthers(KEYS[#KEYS - 2], KEYS[#KEYS - 1], KEYS[#KEYS], channel) end
  return redis.error_reply(refusal.err)
end
if ends then endOthers(KEYS[#KEYS - 2], KEYS[#KEYS - 1], KEYS[#KEYS], channel) end
`

// -----------------------------------------------------------------------------
// one node: an operation, a script
// -----------------------------------------------------------------------------

/** KEYS: entry, lease, journal, fences, a marker a name; what else a write ends (`Names.ofKey`). */
export const begin = script(
  "begin",
  fencing,
  `
local channel, token, seen, drop, force, length = arg(), arg(), arg(), arg() == '1', arg() == '1', arg()
local versioned, ends = arg() == '1', arg() == '1'${askingToTake}local nonce, life, journalLife, names = arg(), number(), arg(), list()
local tokens = {}
for i = 1, #names do tokens[i] = capture(KEYS[4 + i], nonce, life) end
local answer, other = take(KEYS[1], KEYS[2], channel, token, seen, drop, force, length, versioned, names, tokens)
if answer == 'found' then return { now, answer, other } end
local epoch, sequence = position(KEYS[3], nonce, journalLife)
return { now, answer, other, epoch, sequence, tokens, standing(KEYS[4]) }
`
)

/** KEYS: entry, lease, journal, fences, a marker a name; what else a write ends (`Names.ofKey`). */
export const commit = script(
  "commit",
  fencing,
  storing,
  `${asking}
local channel, token, nonce, margin, longest, versioned, ends = arg(), arg(), arg(), number(), arg(), arg() == '1', arg() == '1'
local epoch, sequence, expires, name, facts, payload = arg(), arg(), arg(), arg(), arg(), arg()
local over, expected, names = list(), list(), list()
if held(KEYS[2]) ~= token then return { now, 'lost' } end
release(KEYS[2], channel)
local found, tokens = {}, {}
for i = 1, #names do
  if expected[i] == '' then found[#found + 1] = names[i]
  elseif get(KEYS[4 + i]) ~= expected[i] then return { now, 'invalidated' } end
end
if ends then
  endOthers(KEYS[#KEYS - 2], KEYS[#KEYS - 1], KEYS[#KEYS], channel)
  if versioned then expected[1] = capture(KEYS[#KEYS], nonce, margin) end
end
if not quiet(KEYS[3], epoch, sequence, found) then return { now, 'invalidated' } end
if not allStand(KEYS[4], over) then return { now, 'invalidated' } end
if #over > 0 then return { now, 'fenced' } end
for i = 1, #names do tokens[i] = expected[i] == '' and capture(KEYS[4 + i], nonce, margin) or expected[i] end
local left = put(KEYS[1], name, tokens, facts, payload, expires, longest)
if not left then return { now, 'unstored' } end
for i = 1, #names do lasts(KEYS[4 + i], left + margin) end
return { now, 'stored' }
`
)

/** KEYS: lease, journal, fences, a marker a dependency. Ends a load of which nothing is stored. */
export const discard = script(
  "discard",
  fencing,
  `
local channel, token, epoch, sequence, unknown = arg(), arg(), arg(), arg(), arg() == '1'
local over, expected, names = list(), list(), list()
if held(KEYS[1]) ~= token then return { now, 'lost' } end
release(KEYS[1], channel)
local found = {}
for i = 1, #names do
  if expected[i] == '' then found[#found + 1] = names[i]
  elseif get(KEYS[3 + i]) ~= expected[i] then return { now, 'invalidated' } end
end
if unknown and not unmoved(KEYS[2], epoch, sequence) then return { now, 'invalidated' } end
if not quiet(KEYS[2], epoch, sequence, found) then return { now, 'invalidated' } end
if not allStand(KEYS[3], over) then return { now, 'invalidated' } end
return { now, #over > 0 and 'fenced' or 'unstored' }
`
)

/** KEYS: journal, fences, entry, lease and marker of each key, a marker a name. */
export const invalidate = script(
  "invalidate",
  fencing,
  noting,
  removing,
  announcing,
  `
local channel, loud, message, nonce, life, journalLife, limit = arg(), arg(), arg(), arg(), number(), arg(), number()
local keyModes, names, modes = list(), list(), list()
local count, more = removeAll(3, keyModes, channel, nonce)
note(KEYS[1], names, limit, nonce, journalLife)
for i = 1, #names do replace(KEYS[2 + 3 * #keyModes + i], modes[i], nonce, life) end
local position = positionAfter(KEYS[1], KEYS[2], names, nonce)
announce(loud, message, position)
return { now, count, more, position }
`
)

/** KEYS: journal, fences, entry, lease and marker of each key, a marker a name. */
export const fence = script(
  "fence",
  fencing,
  noting,
  removing,
  announcing,
  `
local channel, id, length, over = arg(), arg(), number(), arg()
local nonce, life, journalLife, limit, loud, message = arg(), number(), arg(), number(), arg(), arg()
local keyModes, names, modes = list(), list(), list()
open(KEYS[2], id, length, over, life)
note(KEYS[1], names, limit, nonce, journalLife)
local count, more = removeAll(3, keyModes, channel, nonce)
for i = 1, #names do replace(KEYS[2 + 3 * #keyModes + i], modes[i], nonce, life) end
local position = positionAfter(KEYS[1], KEYS[2], names, nonce)
announce(loud, message, position)
return { now, count, more, position }
`
)

// -----------------------------------------------------------------------------
// steps for a cluster; some of them are whole operations on one node as well
// -----------------------------------------------------------------------------

/** KEYS: a marker. Its token; one that is missing is made. */
export const captureOne = script(
  "capture",
  `${asking}
local nonce, life = arg(), number()
return { now, capture(KEYS[1], nonce, life) }
`
)

/** KEYS: entry, lease; what else a write ends (`Names.ofKey`). */
export const takeLease = script(
  "take",
  `
local channel, token, seen, drop, force, length = arg(), arg(), arg(), arg() == '1', arg() == '1', arg()
local versioned, ends = arg() == '1', arg() == '1'${askingToTake}local names, tokens, before = list(), list(), arg()
local answer, other = take(KEYS[1], KEYS[2], channel, token, seen, drop, force, length, versioned, names, tokens, before)
return { now, answer, other }
`
)

/** KEYS: journal, fences. */
export const positionNow = script(
  "position",
  fencing,
  `
local nonce, journalLife = arg(), arg()
local epoch, sequence = position(KEYS[1], nonce, journalLife)
return { now, epoch, sequence, standing(KEYS[2]) }
`
)

/** KEYS: journal. Whether none of these was invalidated since, as far as the journal knows. */
export const quietSince = script(
  "quiet",
  `
local epoch, sequence, names = arg(), arg(), list()
return { now, quiet(KEYS[1], epoch, sequence, names) and 1 or 0 }
`
)

/**
 * KEYS: entry, lease; what else a write ends (`Names.ofKey`). Stores if the lease is the caller's; the lease is over
 * then. Answers what was done, how long it will be kept, and the first token of its vector.
 */
export const storeEntry = script(
  "store",
  storing,
  `${asking}
local channel, token, keep, longest, expires, name, facts, payload = arg(), arg(), arg() == '1', arg(), arg(), arg(), arg(), arg()
local versioned, ends, nonce, margin, tokens = arg() == '1', arg() == '1', arg(), number(), list()
local first = tokens[1] or ''
if held(KEYS[2]) ~= token then return { now, 'lost', 0, first } end
release(KEYS[2], channel)
if ends then
  local same = not versioned or get(KEYS[#KEYS]) == first
  endOthers(KEYS[#KEYS - 2], KEYS[#KEYS - 1], KEYS[#KEYS], channel)
  if not same then return { now, 'invalidated', 0, first } end
  if versioned then first = capture(KEYS[#KEYS], nonce, margin); tokens[1] = first end
end
if not keep then return { now, 'fenced', 0, first } end
local left = put(KEYS[1], name, tokens, facts, payload, expires, longest)
if not left then return { now, 'unstored', 0, first } end
return { now, 'stored', string.format('%.0f', left), first }
`
)

/** KEYS: a marker. Its token now, or nothing; it is kept as long as what relies on it. */
export const lookAt = script(
  "look",
  `
local least = number()
local token = get(KEYS[1])
if token and least > 0 then lasts(KEYS[1], least) end
return { now, token or '' }
`
)

/** KEYS: journal, fences. Notes what is invalidated, and gives the position that it has then. */
export const noteDown = script(
  "note",
  fencing,
  noting,
  announcing,
  `
local nonce, journalLife, limit, names = arg(), arg(), number(), list()
note(KEYS[1], names, limit, nonce, journalLife)
return { now, positionAfter(KEYS[1], KEYS[2], names, nonce) }
`
)

/** KEYS: a marker. */
export const replaceOne = script(
  "replace",
  `
local mode, nonce, life = arg(), arg(), number()
replace(KEYS[1], mode, nonce, life)
return { now }
`
)

/** KEYS: entry, lease and marker of a key. How many entries were removed or softened, and 1 if those with a version may be more. */
export const removeKey = script(
  "remove",
  removing,
  `
local channel, mode, nonce = arg(), arg(), arg()
return { now, remove(KEYS[1], KEYS[2], KEYS[3], channel, mode, nonce) }
`
)

/** KEYS: the marker of a key, if there is one. */
export const replaceKeyMarker = script(
  "replaceKey",
  `
local mode, nonce = arg(), arg()
return { now, replaceKey(KEYS[1], mode, nonce) and 1 or 0 }
`
)

/** KEYS: journal, fences. Opens a fence, notes what it is over, and gives the position that it has then. */
export const openFence = script(
  "open",
  fencing,
  noting,
  announcing,
  `
local id, length, over, nonce, life, journalLife, limit, names = arg(), number(), arg(), arg(), number(), arg(), number(), list()
open(KEYS[2], id, length, over, life)
note(KEYS[1], names, limit, nonce, journalLife)
return { now, positionAfter(KEYS[1], KEYS[2], names, nonce) }
`
)

/** KEYS: fences. Lets a fence stand longer, if it stands. */
export const extendFence = script(
  "extend",
  fencing,
  `
local id, length, life = arg(), number(), number()
if not stands(KEYS[1], id) then return { now, 0 } end
open(KEYS[1], id, length, string.match(redis.call('HGET', KEYS[1], id), '^%d+ (.*)$'), life)
return { now, 1 }
`
)

/** KEYS: fences. Whether they all stand. */
export const fencesStand = script(
  "stand",
  fencing,
  `
return { now, allStand(KEYS[1], list()) and 1 or 0 }
`
)

/** KEYS: fences. Takes a fence away; answers whether it stood. */
export const liftFence = script(
  "lift",
  fencing,
  `
local id = arg()
local stood = stands(KEYS[1], id)
redis.call('HDEL', KEYS[1], id)
return { now, stood and 1 or 0 }
`
)

/** KEYS: lease. Gives it up if it is the caller's; answers whether it was. */
export const abandonLease = script(
  "abandon",
  `
local channel, token = arg(), arg()
if held(KEYS[1]) ~= token then return { now, 0 } end
release(KEYS[1], channel)
return { now, 1 }
`
)

/** KEYS: lease. Takes it, whichever load has it. */
export const releaseLease = script("release", `\nrelease(KEYS[1], arg())\nreturn { now }\n`)

/** KEYS: lease. Whether it is still that one; if so, its end will be published. */
export const awaitLease = script(
  "await",
  `
local standing = held(KEYS[1]) == arg()
if standing then redis.call('SETRANGE', KEYS[1], 0, '1') end
return { now, standing and 1 or 0 }
`
)

/** KEYS: fences. What stands. */
export const fencesNow = script("fences", fencing, `\nreturn { now, standing(KEYS[1]) }\n`)

/** KEYS: the protocol. That of what is stored, which is the caller's if there is none; a server that takes no writes has none. */
export const agree = script(
  "agree",
  `
local mine = arg()
local found = get(KEYS[1])
if not found then redis.pcall('SET', KEYS[1], mine); found = mine end
return { now, found }
`
)

/** KEYS: a key of no other use, and others that are not touched. What the user may not do, as the server says it. */
export const probe = script(
  "probe",
  `
local refused = {}
local function try(...)
  local answer = redis.pcall(...)
  if failed(answer) then refused[#refused + 1] = ({ ... })[1] .. ': ' .. answer.err end
end
local key = KEYS[1]
try('DEL', key)
for _, command in ipairs({ 'GET', 'PTTL' }) do try(command, key) end
try('SET', key, '1', 'PX', '1000')
try('PEXPIRE', key, '1000')
try('GETRANGE', key, 0, 0)
try('SETRANGE', key, 0, 'a')
redis.pcall('DEL', key)
try('ZADD', key, 1, 'a')
try('ZCARD', key)
try('ZSCORE', key, 'a')
try('ZRANGE', key, 0, 0)
try('ZREMRANGEBYRANK', key, 0, 0)
redis.pcall('DEL', key)
try('HSET', key, 'a', '1')
try('HGET', key, 'a')
try('HGETALL', key)
try('HDEL', key, 'a')
redis.pcall('DEL', key)
try('PUBLISH', arg(), '')
return { now, refused }
`
)
