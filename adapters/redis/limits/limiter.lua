-- Bans, revocation, windows, violations: one atomic decision, the same numbers as domain/limits/admission.py.
-- Times are integer milliseconds. Every dividend stays under 2^52, so the floor of a quotient of two
-- doubles is the exact integer quotient (domain/limits/windows.py bounds them), and '%d' and the numbers
-- given to commands are exact.
--
-- ARGV: operation, now ('' for this server's own clock), jitter in parts per million, the plan; then
-- what the operation asks for. A plan is a row of big-endian doubles. All keys of a call share a slot.

local MARGIN_MS = 60000      -- A key outlives its meaning by this; the stored times alone decide.
local LEVEL_MAX = 64
local ESCALATION_NETWORKS = 4
local INDEX_MAX = 100000     -- bans that can be listed

local ALGORITHM_FIXED, ALGORITHM_SLIDING = 0, 1
local BANNED, REVOKED, QUOTA_EXCEEDED, ALLOWED = 0, 1, 2, 3

local floor, max, min, format, match = math.floor, math.max, math.min, string.format, string.match
local call, read_plan = redis.call, struct.unpack

local plan = ARGV[4]
local now = tonumber(ARGV[2])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + floor(time[2] / 1000)
end

local function store(key, ttl_ms, value)
  call('SET', key, value, 'PX', max(0, ttl_ms) + MARGIN_MS)
end

-- --- bans

local threshold, base_ms, max_ms, half_life_ms, violations_ttl_ms

local function read_ban_policy(position)
  threshold, base_ms, max_ms, half_life_ms, violations_ttl_ms = read_plan('>ddddd', plan, position)
end

-- Who is banned: "until level [sealed name and reason]"; kept on after the ban until the level is none.
local function read_ban(value)
  if not value then return 0, 0, '' end
  local till, level, name = match(value, '^(%d+) (%d+) ?(.*)$')
  return tonumber(till), tonumber(level), name
end

local function impose(ban_key, violations_key, duration_ms, name)
  local till, level = read_ban(call('GET', ban_key))
  level = min(LEVEL_MAX, max(0, level - floor(max(0, now - till) / half_life_ms)) + 1)
  if not duration_ms then
    duration_ms = base_ms
    for _ = 2, level do
      if duration_ms >= max_ms then break end
      duration_ms = duration_ms * 2
    end
    duration_ms = min(max_ms, duration_ms)
    duration_ms = min(max_ms, duration_ms + floor(duration_ms * tonumber(ARGV[3]) / 1000000))
  end
  till = now + duration_ms
  call('DEL', violations_key)
  store(ban_key, duration_ms + level * half_life_ms, format('%d %d %s', till, level, name))
  return till, level
end

-- One ban more inside a wider network; whether that was one too many for all of it. Which networks were
-- banned and when: "name moment name moment …", at most ESCALATION_NETWORKS - 1 of them.
local function subnet_bans(key, inner)
  local kept, count = '', 1
  for name, at in string.gmatch(call('GET', key) or '', '(%S+) (%d+)') do
    if name ~= inner and now - at < violations_ttl_ms then
      kept, count = kept .. name .. ' ' .. at .. ' ', count + 1
    end
  end
  if count >= ESCALATION_NETWORKS then
    call('DEL', key)
    return true
  end
  store(key, violations_ttl_ms, kept .. inner .. format(' %d', now))
  return false
end

-- One more violation. When it leads to a ban: its end, its level, and the end of its network's or 0.
-- `wide` are the network's keys: its ban, its violations, its subnet_bans; none for who has no network.
local function violate(ban_key, violations_key, wide)
  local count, violated_ms = 0, now
  local value = call('GET', violations_key)
  if value then
    local before, at = match(value, '^(%d+) (%d+)$')
    at = tonumber(at)
    if now - at < violations_ttl_ms then
      count, violated_ms = tonumber(before), max(now, at)
    end
  end
  count = count + 1
  if count <= threshold then
    store(violations_key, violated_ms + violations_ttl_ms - now, format('%d %d', count, violated_ms))
    return nil
  end
  local till, level = impose(ban_key, violations_key, nil, '')
  local wide_till = 0
  if wide[1] and subnet_bans(wide[3], match(ban_key, '[^:]+$')) then
    wide_till = impose(wide[1], wide[2], nil, '')
  end
  return till, level, wide_till
end

-- --- windows: "since used before"

local function read_window(value)
  if not value then return 0, 0, 0 end
  local since, used, before = match(value, '^(%d+) (%d+) (%d+)$')
  return tonumber(since), tonumber(used), tonumber(before)
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

-- --- the decision

-- Plan: whether a session is asked for, identifiers, networks, charges, whether a refusal is a violation;
-- per charge: algorithm, limit, period, cost; the ban policy; per identifier: whether it can be blamed,
-- its network or 0; per charge: its identifier.
-- KEYS: [sentinel, session]; the ban of each identifier, of each network; each charge's window; the
-- violations of each identifier, of each network; the subnet_bans of each network.
-- Answers a line of integers: verdict, revocations known, retry_after, who, newly banned (2: its network,
-- too), named, now; then per charge what remains, when it is whole and, where a refusal is no violation,
-- since when it counts. Who is, of the banned, an identifier or a network (counted after the identifiers);
-- of those over a limit, a charge.
local DOUBLE, HEAD, PER_CHARGE, BAN_POLICY = 8, 40, 32, 40

local function blame(identifier, identifiers, networks, charges, bans_from, violations_from, facts_from)
  local _, network = read_plan('>dd', plan, facts_from + 2 * DOUBLE * (identifier - 1))
  local wide = {}
  if network > 0 then
    wide = {
      KEYS[bans_from + identifiers + network],
      KEYS[violations_from + identifiers + network],
      KEYS[violations_from + identifiers + networks + network],
    }
  end
  return violate(KEYS[bans_from + identifier], KEYS[violations_from + identifier], wide)
end

local function decide()
  local with_session, identifiers, networks, charges, blames = read_plan('>ddddd', plan)
  local bans_from = 2 * with_session
  local windows_from = bans_from + identifiers + networks
  local values = call('MGET', unpack(KEYS, 1, windows_from + charges))
  local known = with_session == 1 and values[1] and 1 or 0

  local last, who, named = now, 0, 0
  for i = 1, identifiers + networks do
    local value = values[bans_from + i]
    if value then
      local till, _, name = read_ban(value)
      if till > last then
        last, who, named = till, i, name ~= '' and 1 or 0
      end
    end
  end
  if who > 0 then
    return format('%d %d %d %d 0 %d %d', BANNED, known, last - now, who, named, now)
  end
  if with_session == 1 and values[2] then
    return format('%d %d 0 0 0 0 %d', REVOKED, known, now)
  end

  local policy_from = HEAD + PER_CHARGE * charges + 1
  local facts_from = policy_from + BAN_POLICY
  local charged_from = facts_from + 2 * DOUBLE * identifiers
  local standing = blames == 1 and '%d %d' or '%d %d %d'
  local taken, reply, over, offender, longest = {}, {}, 0, 0, 0
  for c = 1, charges do
    local algorithm, limit, period, cost = read_plan('>dddd', plan, HEAD + PER_CHARGE * (c - 1) + 1)
    local allowed, remaining, retry, reset, since, used, before =
      take(algorithm, limit, period, cost, read_window(values[windows_from + c]))
    if not allowed then
      if over == 0 then over = c end
      local identifier = read_plan('>d', plan, charged_from + DOUBLE * (c - 1))
      if offender == 0 and read_plan('>d', plan, facts_from + 2 * DOUBLE * (identifier - 1)) == 1 then
        offender = c
      end
      longest = max(longest, retry)
    end
    taken[c] = allowed and {reset, format('%d %d %d', since, used, before)}
    reply[c + 1] = format(standing, remaining, reset, since)
  end

  if over == 0 then
    for c = 1, charges do
      store(KEYS[windows_from + c], taken[c][1], taken[c][2])
    end
    reply[1] = format('%d %d 0 0 0 0 %d', ALLOWED, known, now)
    return table.concat(reply, ' ')
  end

  if offender > 0 then
    over = offender
    if blames == 1 then
      read_ban_policy(policy_from)
      local identifier = read_plan('>d', plan, charged_from + DOUBLE * (over - 1))
      local till, _, wide_till =
        blame(identifier, identifiers, networks, charges, bans_from, windows_from + charges, facts_from)
      if till then
        local newly = wide_till > 0 and 2 or 1
        return format('%d %d %d %d %d 0 %d', BANNED, known, max(till, wide_till) - now, identifier, newly, now)
      end
    end
  end
  for c = 1, charges do
    if taken[c] then
      -- It would have passed: shown as it stands, since nothing was taken from it.
      local algorithm, limit, period = read_plan('>ddd', plan, HEAD + PER_CHARGE * (c - 1) + 1)
      local _, remaining, _, reset, since =
        take(algorithm, limit, period, 0, read_window(values[windows_from + c]))
      reply[c + 1] = format(standing, remaining, reset, since)
    end
  end
  reply[1] = format('%d %d %d %d 0 0 %d', QUOTA_EXCEEDED, known, longest, over, now)
  return table.concat(reply, ' ')
end

-- Gives back what a decision took in this slot when another slot refused (domain.limits.windows.refund).
-- KEYS: windows. Plan: the charges, as above. Then, per charge, the `since` that its decision answered.
-- Answers as `decide` does per charge.
local function refund()
  local reply = {}
  for c = 1, #KEYS do
    local algorithm, limit, period, cost = read_plan('>dddd', plan, PER_CHARGE * (c - 1) + 1)
    local since, used, before = read_window(call('GET', KEYS[c]))
    local taken = tonumber(ARGV[4 + c])
    if algorithm ~= ALGORITHM_FIXED and algorithm ~= ALGORITHM_SLIDING then
      used = max(0, used - max(0, cost * period - max(0, since - taken) * limit))
    elseif since == taken then
      used = max(0, used - cost)
    elseif since == taken + period then
      before = max(0, before - cost)
    end
    local _, remaining, _, reset = take(algorithm, limit, period, 0, since, used, before)
    store(KEYS[c], reset, format('%d %d %d', since, used, before))
    reply[c] = format('%d %d', remaining, reset)
  end
  return table.concat(reply, ' ')
end

if ARGV[1] == 'decide' then return decide() end
if ARGV[1] == 'refund' then return refund() end

-- The other operations are about one identifier; their plan is the ban policy.
local operations = {
  -- KEYS: its ban, its violations; those of its network, and its subnet_bans, where it has one.
  violate = function()
    read_ban_policy(1)
    local wide = {KEYS[3], KEYS[4], KEYS[5]}
    if read_ban(call('GET', KEYS[1])) > now or wide[1] and read_ban(call('GET', wide[1])) > now then
      return '0 0 0'
    end
    local till, level, wide_till = violate(KEYS[1], KEYS[2], wide)
    return format('%d %d %d', till or 0, level or 0, wide_till or 0)
  end,
  -- KEYS: its ban, its violations. The duration ('' for the level's own) and the sealed name.
  ban = function()
    read_ban_policy(1)
    return format('%d %d', impose(KEYS[1], KEYS[2], tonumber(ARGV[5]), ARGV[6]))
  end,
  -- KEYS: its ban. A lifted ban is one that ends now; its level decays as any other's.
  lift = function()
    read_ban_policy(1)
    local till, level = read_ban(call('GET', KEYS[1]))
    if till <= now then return '0' end
    store(KEYS[1], level * half_life_ms, format('%d %d ', now, level))
    return '1'
  end,
  -- KEYS: its ban. When it ends; 0 when there is none.
  ends = function()
    local till = read_ban(call('GET', KEYS[1]))
    return format('%d', till > now and till or 0)
  end,
  -- KEYS: its ban. The decision that bans does not carry the sealed name; whoever is told of an unnamed
  -- ban adds it.
  name = function()
    read_ban_policy(1)
    local till, level, name = read_ban(call('GET', KEYS[1]))
    if till <= now or name ~= '' then return '0' end
    store(KEYS[1], till - now + level * half_life_ms, format('%d %d %s', till, level, ARGV[5]))
    return '1'
  end,
  -- KEYS: the list of bans, in a slot of its own. The end of a ban, and its name there.
  list = function()
    call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
    call('ZADD', KEYS[1], ARGV[5], ARGV[6])
    call('ZREMRANGEBYRANK', KEYS[1], 0, -INDEX_MAX - 1)
    local last = call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
    call('PEXPIRE', KEYS[1], max(0, last[2] - now) + MARGIN_MS)
    return '1'
  end,
  now = function()
    return format('%d', now)
  end,
  -- KEYS: what to look at.
  status = function()
    return {format('%d', now), unpack(call('MGET', unpack(KEYS)))}
  end,
}

return operations[ARGV[1]]()
