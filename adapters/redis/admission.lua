-- Bans, revocation, windows, violations: one atomic decision, the same numbers as domain/admission.py.
-- Times are integer milliseconds. Every dividend stays under 2^52, so the floor of a quotient of two
-- doubles is the exact integer quotient (domain/ratelimit.py bounds them).
--
-- ARGV: operation, now ('' for this server's own clock), jitter in parts per million, the plan; then
-- what the operation asks for. The plan is a row of big-endian doubles: threshold, base, max, half-life,
-- memory of violations; whether a session is asked for; identifiers, charges; per identifier whether it
-- can be banned; per charge: identifier, algorithm, limit, period, cost.

local MARGIN_MS = 60000      -- A key outlives its meaning by this; the stored times alone decide.
local LEVEL_MAX = 64
local INDEX_MAX = 100000     -- bans that can be listed

local ALGORITHM_FIXED, ALGORITHM_SLIDING = 0, 1
local BANNED, REVOKED, QUOTA_EXCEEDED, ALLOWED = 0, 1, 2, 3

local floor, max, min, format = math.floor, math.max, math.min, string.format

local operation = ARGV[1]
local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + floor(time[2] / 1000)
end
local jitter_ppm = tonumber(ARGV[3])
local plan = {struct.unpack('>' .. string.rep('d', #ARGV[4] / 8), ARGV[4])}
local threshold, base_ms, max_ms, half_life_ms, violations_ttl_ms =
  plan[1], plan[2], plan[3], plan[4], plan[5]

-- A ban's key is "banned:" and the name by which the index lists it.
local function member_of(banned_key)
  return string.sub(banned_key, 8)
end

-- tostring() keeps 14 digits only.
local function store(key, ttl_ms, pattern, ...)
  redis.call('SET', key, format(pattern, ...), 'PX', format('%.0f', max(0, ttl_ms) + MARGIN_MS))
end

-- Who is banned: "until level [sealed name and reason]"; kept on after the ban until the level is none.
local function read_ban(value)
  if not value then return 0, 0, '' end
  local till, level, name = string.match(value, '^(%d+) (%d+) ?(.*)$')
  return tonumber(till), tonumber(level), name
end

local function level_at(till, level)
  return max(0, level - floor(max(0, now - till) / half_life_ms))
end

local function impose(banned_key, violations_key, index_key, duration_ms, name)
  local till, level = read_ban(redis.call('GET', banned_key))
  level = min(LEVEL_MAX, level_at(till, level) + 1)
  if not duration_ms then
    duration_ms = base_ms
    for _ = 2, level do
      if duration_ms >= max_ms then break end
      duration_ms = duration_ms * 2
    end
    duration_ms = min(max_ms, duration_ms)
    duration_ms = min(max_ms, duration_ms + floor(duration_ms * jitter_ppm / 1000000))
  end
  till = now + duration_ms
  redis.call('DEL', violations_key)
  store(banned_key, duration_ms + level * half_life_ms, '%.0f %.0f %s', till, level, name)
  redis.call('ZREMRANGEBYSCORE', index_key, '-inf', format('%.0f', now))
  redis.call('ZADD', index_key, format('%.0f', till), member_of(banned_key))
  redis.call('ZREMRANGEBYRANK', index_key, 0, -INDEX_MAX - 1)
  local last = redis.call('ZRANGE', index_key, -1, -1, 'WITHSCORES')
  redis.call('PEXPIRE', index_key, format('%.0f', max(0, last[2] - now) + MARGIN_MS))
  return till, level
end

-- One more violation; the end and level of the ban that it led to, or nothing.
local function violate(banned_key, violations_key, index_key)
  local count, violated_ms = 0, now
  local value = redis.call('GET', violations_key)
  if value then
    local before, at = string.match(value, '^(%d+) (%d+)$')
    at = tonumber(at)
    if now - at < violations_ttl_ms then
      count, violated_ms = tonumber(before), max(now, at)
    end
  end
  count = count + 1
  if count > threshold then
    return impose(banned_key, violations_key, index_key, nil, '')
  end
  store(violations_key, violated_ms + violations_ttl_ms - now, '%.0f %.0f', count, violated_ms)
end

-- allowed, remaining, retry_after, reset, and the window's new since, used, before.
local function take_gcra(limit, period, cost, since, used)
  local room, at = limit * period, max(now, since)
  local elapsed, behind = at - since, at - now
  local level = 0
  if elapsed < period then level = max(0, min(used, room) - elapsed * limit) end
  local raised = level + cost * period
  local allowed, retry, reset = raised <= room, 0, 0
  if allowed then
    level = raised
  else
    retry = behind + floor((raised - room + limit - 1) / limit)
  end
  if level > 0 then reset = behind + floor((level + limit - 1) / limit) end
  return allowed, floor((room - level) / period), retry, reset, at, level, 0
end

local function take(algorithm, limit, period, cost, since, used, before)
  if algorithm ~= ALGORITHM_FIXED and algorithm ~= ALGORITHM_SLIDING then
    return take_gcra(limit, period, cost, since, used)
  end
  local start = now - now % period
  if start > since then
    if since + period == start then before = used else before = 0 end
    since, used = start, 0
  end
  local ends = since + period
  if algorithm == ALGORITHM_FIXED then
    local allowed, retry, reset = used + cost <= limit, 0, 0
    if allowed then used = used + cost else retry = ends - now end
    if used > 0 then reset = ends - now end
    return allowed, max(0, limit - used), retry, reset, since, used, 0
  end
  local covered = before * (period - (max(now, since) - since))
  local allowed, retry, reset = covered + (used + cost) * period <= limit * period, 0, 0
  if allowed then
    used = used + cost
  else
    local room = (limit - cost - used) * period
    if room >= 0 then
      retry = ends - floor(room / before) - now
    else
      retry = ends + max(0, period - floor((limit - cost) * period / used)) - now
    end
  end
  if used > 0 then
    reset = ends + period - now
  elseif before > 0 then
    reset = ends - now
  end
  return allowed, floor(max(0, (limit - used) * period - covered) / period), retry, reset, since, used, before
end

-- KEYS: index, sentinel, session, then per identifier its ban, per charge its window, per identifier
-- its violations.
-- Answers a line of integers: verdict, revocations known, retry_after, identifier, newly banned, named;
-- then per charge what remains and when it is whole.
local function decide()
  local with_session, identifiers, charges = plan[6], plan[7], plan[8]
  local bans_end = 3 + identifiers
  local values = redis.call('MGET', unpack(KEYS, 2, bans_end + charges))
  local known = values[1] and 1 or 0

  local last, who, named = now, 0, 0
  for i = 1, identifiers do
    if values[2 + i] then
      local till, _, name = read_ban(values[2 + i])
      if till > last then
        last, who, named = till, i, name ~= '' and 1 or 0
      end
    end
  end
  if who > 0 then
    return format('%d %d %.0f %d 0 %d', BANNED, known, last - now, who, named)
  end
  if with_session == 1 and values[2] then
    return format('%d %d 0 0 0 0', REVOKED, known)
  end

  local first_charge = 9 + identifiers
  local taken, over, offender, longest = {}, 0, 0, 0
  for c = 1, charges do
    local a = first_charge + 5 * (c - 1)
    local since, used, before = 0, 0, 0
    local value = values[2 + identifiers + c]
    if value then
      since, used, before = string.match(value, '^(%d+) (%d+) (%d+)$')
      since, used, before = tonumber(since), tonumber(used), tonumber(before)
    end
    local algorithm, limit, period = plan[a + 1], plan[a + 2], plan[a + 3]
    local allowed, remaining, retry, reset, since_after, used_after, before_after =
      take(algorithm, limit, period, plan[a + 4], since, used, before)
    if not allowed then
      local i = plan[a]
      if over == 0 then over = i end
      if offender == 0 and plan[8 + i] == 1 then offender = i end
      longest = max(longest, retry)
    end
    taken[c] = {allowed, remaining, reset, since_after, used_after, before_after,
                algorithm, limit, period, since, used, before}
  end

  local reply = {}
  if over == 0 then
    reply[1] = format('%d %d 0 0 0 0', ALLOWED, known)
    for c = 1, charges do
      local t = taken[c]
      store(KEYS[bans_end + c], t[3], '%.0f %.0f %.0f', t[4], t[5], t[6])
      reply[c + 1] = format('%.0f %.0f', t[2], t[3])
    end
    return table.concat(reply, ' ')
  end

  if offender > 0 then
    local till = violate(KEYS[3 + offender], KEYS[bans_end + charges + offender], KEYS[1])
    if till then
      return format('%d %d %.0f %d 1 0', BANNED, known, till - now, offender)
    end
    over = offender
  end
  reply[1] = format('%d %d %.0f %d 0 0', QUOTA_EXCEEDED, known, longest, over)
  for c = 1, charges do
    local t = taken[c]
    local remaining, reset = t[2], t[3]
    if t[1] then
      -- It would have passed: shown as it stands, since nothing was taken from it.
      local _
      _, remaining, _, reset = take(t[7], t[8], t[9], 0, t[10], t[11], t[12])
    end
    reply[c + 1] = format('%.0f %.0f', remaining, reset)
  end
  return table.concat(reply, ' ')
end

-- The other operations are about one identifier. KEYS: index, its ban, its violations.
-- To ban: the duration ('' for the level's own) and the sealed name; to name a ban: the sealed name.
local operations = {
  decide = decide,
  violate = function()
    local till = read_ban(redis.call('GET', KEYS[2]))
    if till > now then return '0 0' end
    local until_ms, level = violate(KEYS[2], KEYS[3], KEYS[1])
    return format('%.0f %.0f', until_ms or 0, level or 0)
  end,
  ban = function()
    return format('%.0f %.0f', impose(KEYS[2], KEYS[3], KEYS[1], tonumber(ARGV[5]), ARGV[6]))
  end,
  -- A lifted ban is one that ends now; its level decays as any other's.
  lift = function()
    local till, level = read_ban(redis.call('GET', KEYS[2]))
    redis.call('ZREM', KEYS[1], member_of(KEYS[2]))
    if till <= now then return '0' end
    store(KEYS[2], level * half_life_ms, '%.0f %.0f ', now, level)
    return '1'
  end,
  -- The decision that bans does not carry the sealed name; whoever is told of an unnamed ban adds it.
  name = function()
    local till, level, name = read_ban(redis.call('GET', KEYS[2]))
    if till <= now or name ~= '' then return '0' end
    store(KEYS[2], till - now + level * half_life_ms, '%.0f %.0f %s', till, level, ARGV[5])
    return '1'
  end,
}

return redis.status_reply(operations[operation]())
