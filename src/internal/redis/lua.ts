/**
 * Functions in Lua that the scripts share: a script takes those it needs.
 */

export const library = `
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

local function hard(token) return string.match(token, '^[^/]*') end

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
  if old and mode == 'soft' then token = hard(old) .. '/' .. token end
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

-- The first token of the vector of an entry with a version is that of its key. It is there unless the key was
-- invalidated: then the entry goes, and so does what cannot be read.
local function dropIfOver(entry, current)
  local head = redis.call('GETRANGE', entry, 0, 1023)
  local token = string.match(head, '^[Bb][ -~]*\\n([^,\\n]*)')
  if not token or hard(token) ~= hard(current) then redis.call('DEL', entry) end
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

-- The marker of a key. One that is missing is as good as one that was replaced, so it costs nothing where no entry of
-- the key has a version. Answers whether there was one.
local function replaceKey(marker, mode, nonce)
  if mode == 'hard' then return redis.call('DEL', marker) == 1 end
  if not get(marker) then return false end
  replace(marker, mode, nonce, 0)
  return true
end

-- A write ends what is stored of its key in other versions: by the marker, and the entry without version.
local function endOthers(entry, lease, marker, channel)
  redis.call('DEL', marker)
  if entry == KEYS[1] then return end
  release(lease, channel)
  redis.call('DEL', entry)
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
-- was invalidated. So it is stolen. No clock says which tokens are older. The caller's are not, if they were captured when
-- that lease was there: 'before' names the one that it had seen. Otherwise the caller is asked to capture them again.
local function take(entry, lease, channel, token, seen, drop, force, length, versioned, names, tokens, before)
  if versioned then dropIfOver(entry, tokens[1]) end
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

export const noting = `
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

export const fencing = `
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

export const announcing = `
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

export const storing = `
-- Gives how long it will be kept; nil when its time is over.
local function put(entry, name, tokens, facts, payload, expires, longest)
  local left = math.min(math.floor(tonumber(expires) - ms), tonumber(longest))
  if left <= 0 then redis.call('DEL', entry); return nil end
  local text = table.concat({ 'B', name, '\\n', table.concat(tokens, ','), '\\n', facts, '\\n', payload })
  redis.call('SET', entry, text, 'PX', string.format('%.0f', left))
  return left
end
`

export const removing = `
local function removeEntry(entry, mode)
  if mode == 'hard' then return redis.call('DEL', entry) end
  local first = redis.pcall('GETRANGE', entry, 0, 0)
  if type(first) == 'table' or first ~= '' and first ~= 'B' and first ~= 'b' then return redis.call('DEL', entry) end
  if first == '' then return 0 end
  if failed(redis.pcall('SETRANGE', entry, 0, 'b')) then redis.call('DEL', entry) end
  return 1
end

-- Entry and lease go together, so that an in-flight load is void; entries and loads with a version end by the marker.
-- Answers how many entries it ended, and 1 if those with a version may be more.
local function remove(entry, lease, marker, channel, mode, nonce)
  release(lease, channel)
  local more = replaceKey(marker, mode, nonce)
  return removeEntry(entry, mode), more and 1 or 0
end

-- The entry, the lease and the marker of each key are keys of the script, beginning with one.
local function removeAll(first, modes, channel, nonce)
  local count, more = 0, 0
  for i = 1, #modes do
    local at = first + 3 * (i - 1)
    local ended, versioned = remove(KEYS[at], KEYS[at + 1], KEYS[at + 2], channel, modes[i], nonce)
    count, more = count + ended, more + versioned
  end
  return count, more
end
`

// Arguments in order; a list begins with its length.
export const reading = `
local at = 0
local function arg() at = at + 1; return ARGV[at] end
local function number() return tonumber(arg()) end
local function list()
  local all = {}
  for i = 1, number() do all[i] = arg() end
  return all
end
`
