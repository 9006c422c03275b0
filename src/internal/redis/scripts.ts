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
 * | entry | `B` (`b` once softened), token, vector, facts, payload; a line each |
 * | lease | `0` (`1` once a caller waits for it), token; then the vector it was taken under, a name and a token a line |
 * | marker | the token, and after a `/` the one of the last soft invalidation since |
 * | journal | a sorted set: the epoch (score -1), `!` (up to where it has forgotten), and `=` names by when they were last invalidated |
 * | fences | a hash: id to until when it stands, and over what |
 */

/** A script; its answer begins with the server's time in milliseconds. */
export interface Script {
  readonly name: string
  readonly source: string
}

const library = `
local clock = redis.call('TIME')
local ms = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- A script may be sent twice. The time makes what it writes differ, so that no token comes back.
local us = string.format('%s%06d', clock[1], clock[2])
local now = string.format('%.0f', ms)

local function failed(answer) return type(answer) == 'table' and answer.err end

-- A full server refuses to write only as long as a script has written nothing. This writes nothing, and is refused too.
local function mayWrite(key)
  local answer = redis.pcall('SETRANGE', key, 0, '')
  return not (failed(answer) and string.find(answer.err, 'OOM', 1, true)), answer
end

-- What is of another type is garbage, and goes.
local function get(key)
  local value = redis.pcall('GET', key)
  if type(value) == 'table' then redis.call('DEL', key); return false end
  return value
end

local function lasts(key, least)
  if redis.call('PTTL', key) < least then redis.call('PEXPIRE', key, string.format('%.0f', least)) end
end

-- A marker that is missing is made new, so nothing older can match it.
local function capture(key, nonce, life)
  local token = get(key)
  if token then lasts(key, life); return token end
  token = us .. nonce
  redis.call('SET', key, token, 'PX', string.format('%.0f', life))
  return token
end

-- A server that is full refuses to write and lets delete: a marker that is missing is as dead as one that was replaced.
local function replace(key, mode, nonce, life)
  local token = us .. nonce
  local old = get(key)
  if old and mode == 'soft' then token = string.match(old, '^[^/]*') .. '/' .. token end
  local done
  if old then done = redis.pcall('SET', key, token, 'KEEPTTL')
  else done = redis.pcall('SET', key, token, 'PX', string.format('%.0f', life)) end
  if failed(done) then redis.call('DEL', key) end
end

local function tokenOf(entry)
  local head = redis.pcall('GETRANGE', entry, 0, 255)
  if type(head) == 'table' then redis.call('DEL', entry); return nil end
  return string.match(head, '^[Bb]([ -~]*)\\n')
end

local function held(lease)
  local value = get(lease)
  if not value then return nil end
  return string.match(value, '^[01]([^\\n]*)\\n'), value
end

-- It is published only if a caller waits for it.
local function release(lease, channel)
  local token, value = held(lease)
  redis.call('DEL', lease)
  if token and string.sub(value, 1, 1) == '1' then redis.call('PUBLISH', channel, token) end
end

-- Whether a lease was taken under other tokens than these.
local function differs(value, vector)
  local lines = string.gmatch(value, '[^\\n]*\\n')
  lines()
  for line in lines do
    local name, token = string.match(line, '^([^ ]*) (.*)\\n$')
    if name and vector[name] and vector[name] ~= token then return true end
  end
  return false
end

-- A lease that was taken under older tokens than the caller's cannot be stored under, since something that it depends on
-- was invalidated. So it is stolen. No clock says which tokens are older. The caller's are not, if they were captured when that lease was there:
-- 'before' names the one that it had seen. Otherwise the caller is asked to capture them again.
local function take(entry, lease, channel, token, seen, drop, force, length, names, tokens, before)
  local stored = tokenOf(entry)
  if stored and not force and stored ~= seen then return 'found', '' end
  if drop then redis.call('DEL', entry) end
  local vector = {}
  for i = 1, #names do vector[names[i]] = tokens[i] end
  local other, value = held(lease)
  if other and other ~= token and not force then
    if not differs(value, vector) then return 'busy', other end
    if before and other ~= before then return 'differs', other end
  end
  if other ~= token then
    release(lease, channel)
    local lines = { '0' .. token .. '\\n' }
    for i = 1, #names do lines[i + 1] = names[i] .. ' ' .. tokens[i] .. '\\n' end
    redis.call('SET', lease, table.concat(lines), 'PX', length)
  end
  return 'leased', ''
end

-- A journal that is missing, or whose numbers cannot be counted on, begins another epoch: it answers for nothing before.
local function position(journal, nonce, life)
  local first = redis.pcall('ZRANGE', journal, 0, 0)
  local last = not first.err and tonumber(redis.call('ZRANGE', journal, -1, -1, 'WITHSCORES')[2])
  if not last or not (last >= 0 and last < 2 ^ 52) or string.sub(first[1], 1, 1) ~= '@' then
    redis.call('DEL', journal)
    redis.call('ZADD', journal, -1, '@' .. us .. nonce, 0, '!')
    redis.call('PEXPIRE', journal, life)
    first, last = { '@' .. us .. nonce }, 0
  end
  return first[1], string.format('%.0f', last)
end

-- Whether nothing at all was noted since.
local function unmoved(journal, epoch, sequence)
  local first = redis.pcall('ZRANGE', journal, 0, 0)
  if first.err or first[1] ~= epoch then return false end
  local last = redis.call('ZRANGE', journal, -1, -1, 'WITHSCORES')
  return tonumber(last[2]) == tonumber(sequence)
end

local function quiet(journal, epoch, sequence, names)
  if #names == 0 then return true end
  local first = redis.pcall('ZRANGE', journal, 0, 0)
  if first.err or first[1] ~= epoch then return false end
  local forgotten = redis.call('ZSCORE', journal, '!')
  if not forgotten or tonumber(forgotten) > tonumber(sequence) then return false end
  for i = 1, #names do
    local last = redis.call('ZSCORE', journal, '=' .. names[i])
    if last and tonumber(last) > tonumber(sequence) then return false end
  end
  return true
end

local function forget(journal, limit)
  local over = redis.call('ZCARD', journal) - 2 - limit
  if over <= 0 then return end
  local last = redis.call('ZRANGE', journal, over + 1, over + 1, 'WITHSCORES')
  redis.call('ZREMRANGEBYRANK', journal, 2, over + 1)
  redis.call('ZADD', journal, last[2], '!')
end

local function write(journal, names, limit, nonce, life)
  local _, sequence = position(journal, nonce, life)
  for i = 1, #names do redis.call('ZADD', journal, sequence + i, '=' .. names[i]) end
  forget(journal, limit)
  redis.call('PEXPIRE', journal, life)
end
`

const noting = `
local function attempt(journal, names, limit, nonce, life)
  write(journal, names, limit, nonce, life)
  return true
end

-- On a full server the journal is given up: loads that need it are refused.
local function note(journal, names, limit, nonce, life)
  if #names == 0 then return end
  if not pcall(attempt, journal, names, limit, nonce, life) then redis.call('DEL', journal) end
end
`

const fencing = `
local function standing(fences)
  local all = redis.pcall('HGETALL', fences)
  if all.err then redis.call('DEL', fences); return {} end
  local stand = {}
  for i = 1, #all, 2 do
    local till, over = string.match(all[i + 1], '^(%d+) (.*)$')
    if till and tonumber(till) > ms then
      stand[#stand + 1] = all[i]
      stand[#stand + 1] = over
    else
      redis.call('HDEL', fences, all[i])
    end
  end
  return stand
end

-- A server that is full takes it all the same, once the script has written: deleting is always allowed.
local function open(fences, id, length, over, life)
  local value = string.format('%.0f', ms + length) .. ' ' .. over
  if failed(redis.pcall('HDEL', fences, id)) then redis.call('DEL', fences) end
  redis.call('HSET', fences, id, value)
  lasts(fences, length + life)
end

local function stands(fences, id)
  local value = redis.pcall('HGET', fences, id)
  if type(value) ~= 'string' then return false end
  local till = string.match(value, '^(%d+) ')
  return till ~= nil and tonumber(till) > ms
end

local function allStand(fences, ids)
  for i = 1, #ids do if not stands(fences, ids[i]) then return false end end
  return true
end
`

const announcing = `
-- The journal's state, and the fences; without names it is not known, and another each time. This writes to no journal,
-- so that it can follow an invalidation on a full server.
local function positionAfter(journal, fences, names, nonce)
  local unknown = '-' .. us .. nonce
  if #names == 0 then return unknown end
  local first = redis.pcall('ZRANGE', journal, 0, 0)
  if first.err or not first[1] or string.sub(first[1], 1, 1) ~= '@' then return unknown end
  local last = redis.call('ZRANGE', journal, -1, -1, 'WITHSCORES')
  local parts = { first[1], string.format('%.0f', tonumber(last[2])) }
  local stand = standing(fences)
  for i = 1, #stand, 2 do parts[#parts + 1] = stand[i] end
  return table.concat(parts, ' ')
end

local function announce(channel, message, position)
  if message ~= '' then redis.call('PUBLISH', channel, message .. '\\n' .. position) end
end
`

const storing = `
-- Gives how long it will be kept; nil when its time is over.
local function put(entry, name, tokens, facts, payload, expires, longest)
  local left = math.min(math.floor(tonumber(expires) - ms), tonumber(longest))
  if left <= 0 then redis.call('DEL', entry); return nil end
  local text = table.concat({ 'B', name, '\\n', table.concat(tokens, ','), '\\n', facts, '\\n', payload })
  redis.call('SET', entry, text, 'PX', string.format('%.0f', left))
  return left
end
`

const removing = `
-- Entry and lease go together, so that an in-flight load is void.
local function remove(entry, lease, channel, mode)
  release(lease, channel)
  if mode == 'hard' then return redis.call('DEL', entry) end
  local first = redis.pcall('GETRANGE', entry, 0, 0)
  if type(first) == 'table' or first ~= '' and first ~= 'B' and first ~= 'b' then return redis.call('DEL', entry) end
  if first == '' then return 0 end
  if failed(redis.pcall('SETRANGE', entry, 0, 'b')) then redis.call('DEL', entry) end
  return 1
end
`

// Arguments in order; a list begins with its length.
const reading = `
local at = 0
local function arg() at = at + 1; return ARGV[at] end
local function number() return tonumber(arg()) end
local function list()
  local all = {}
  for i = 1, number() do all[i] = arg() end
  return all
end
`

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
  return redis.error_reply(refusal.err)
end
`

// -----------------------------------------------------------------------------
// one node: an operation, a script
// -----------------------------------------------------------------------------

/** KEYS: entry, lease, journal, fences, a marker a name. */
export const begin = script(
  "begin",
  fencing,
  `
local channel, token, seen, drop, force, length = arg(), arg(), arg(), arg() == '1', arg() == '1', arg()${askingToTake}local nonce, life, journalLife, names = arg(), number(), arg(), list()
local tokens = {}
for i = 1, #names do tokens[i] = capture(KEYS[4 + i], nonce, life) end
local answer, other = take(KEYS[1], KEYS[2], channel, token, seen, drop, force, length, names, tokens)
if answer == 'found' then return { now, answer, other } end
local epoch, sequence = position(KEYS[3], nonce, journalLife)
return { now, answer, other, epoch, sequence, tokens, standing(KEYS[4]) }
`
)

/** KEYS: entry, lease, journal, fences, a marker a dependency. */
export const commit = script(
  "commit",
  fencing,
  storing,
  `${asking}
local channel, token, nonce, margin, longest = arg(), arg(), arg(), number(), arg()
local epoch, sequence, expires, name, facts, payload = arg(), arg(), arg(), arg(), arg(), arg()
local over, expected, names = list(), list(), list()
if held(KEYS[2]) ~= token then return { now, 'lost' } end
release(KEYS[2], channel)
local found, tokens = {}, {}
for i = 1, #names do
  if expected[i] == '' then found[#found + 1] = names[i]
  elseif get(KEYS[4 + i]) ~= expected[i] then return { now, 'invalidated' } end
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

/** KEYS: journal, fences, entry and lease of each key, a marker a name. */
export const invalidate = script(
  "invalidate",
  fencing,
  noting,
  removing,
  announcing,
  `
local channel, loud, message, nonce, life, journalLife, limit = arg(), arg(), arg(), arg(), number(), arg(), number()
local keyModes, names, modes = list(), list(), list()
local count = 0
for i = 1, #keyModes do count = count + remove(KEYS[1 + 2 * i], KEYS[2 + 2 * i], channel, keyModes[i]) end
note(KEYS[1], names, limit, nonce, journalLife)
for i = 1, #names do replace(KEYS[2 + 2 * #keyModes + i], modes[i], nonce, life) end
local position = positionAfter(KEYS[1], KEYS[2], names, nonce)
announce(loud, message, position)
return { now, count, position }
`
)

/** KEYS: journal, fences, entry and lease of each key, a marker a name. */
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
local count = 0
open(KEYS[2], id, length, over, life)
note(KEYS[1], names, limit, nonce, journalLife)
for i = 1, #keyModes do count = count + remove(KEYS[1 + 2 * i], KEYS[2 + 2 * i], channel, keyModes[i]) end
for i = 1, #names do replace(KEYS[2 + 2 * #keyModes + i], modes[i], nonce, life) end
local position = positionAfter(KEYS[1], KEYS[2], names, nonce)
announce(loud, message, position)
return { now, count, position }
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

/** KEYS: entry, lease. */
export const takeLease = script(
  "take",
  `
local channel, token, seen, drop, force, length = arg(), arg(), arg(), arg() == '1', arg() == '1', arg()${askingToTake}local names, tokens, before = list(), list(), arg()
local answer, other = take(KEYS[1], KEYS[2], channel, token, seen, drop, force, length, names, tokens, before)
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

/** KEYS: entry, lease. Stores if the lease is the caller's; the lease is over then. */
export const storeEntry = script(
  "store",
  storing,
  `${asking}
local channel, token, keep, longest, expires, name, facts, payload = arg(), arg(), arg() == '1', arg(), arg(), arg(), arg(), arg()
local tokens = list()
if held(KEYS[2]) ~= token then return { now, 'lost', 0 } end
release(KEYS[2], channel)
if not keep then return { now, 'fenced', 0 } end
local left = put(KEYS[1], name, tokens, facts, payload, expires, longest)
if not left then return { now, 'unstored', 0 } end
return { now, 'stored', string.format('%.0f', left) }
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

/** KEYS: entry, lease. How many entries were removed or softened. */
export const removeKey = script(
  "remove",
  removing,
  `
local channel, mode = arg(), arg()
return { now, remove(KEYS[1], KEYS[2], channel, mode) }
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

/** The server's time. */
export const timeNow = script("time", `\nreturn { now }\n`)

/** KEYS: a key of no other use. What the user may not do, as the server says it. */
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
