-- All kinds of requests for wrk, as bench/soak sets in the environment. Half of them are random requests of the
-- file SOAK_REQUESTS, which are about permanent threads. The others are about temporary threads: each is created,
-- written to, read, copied, and deleted with its copy. Each step is sent after the answer to the previous one, so
-- that no request is about a missing thread. SOAK_TOKEN is the token of their owner, SOAK_MESSAGE what is written
-- to them.

local UUID = "%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x+"
local MESSAGES = 5

local steady, failed = {}, 0
-- Global, so that `done` can ask for it.
kinds = {}
-- The threads whose next step may be sent, and by id those whose answer is awaited.
local ready, awaited = {}, {}
local threads = {}

local function headers(token)
    return { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }
end

local own = headers(os.getenv("SOAK_TOKEN"))
local state = '{"values": {"step": %d, "messages": [' .. os.getenv("SOAK_MESSAGE"):gsub("%%", "%%%%") .. "]}}"

local function uuid()
    return (("xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx"):gsub("x", function()
        return string.format("%x", math.random(0, 15))
    end))
end

local steps = { "create" }
for _ = 1, MESSAGES do
    steps[#steps + 1] = "append"
end
for _, step in ipairs({ "read", "past", "change", "copy" }) do
    steps[#steps + 1] = step
end

local make = {
    create = function(id)
        return wrk.format("POST", "/threads", own,
            string.format('{"thread_id": "%s", "metadata": {"of": "soak", "id": "%s"}}', id, id))
    end,
    append = function(id, number)
        return wrk.format("POST", "/threads/" .. id .. "/state", own, string.format(state, number))
    end,
    read = function(id)
        return wrk.format("GET", "/threads/" .. id .. "/state", own)
    end,
    past = function(id)
        return wrk.format("GET", "/threads/" .. id .. "/history?limit=10", own)
    end,
    change = function(id)
        return wrk.format("PATCH", "/threads/" .. id, own, '{"metadata": {"pinned": true}}')
    end,
    copy = function(id)
        return wrk.format("POST", "/threads/" .. id .. "/copy", own, "{}")
    end,
    delete = function(id)
        return wrk.format("DELETE", "/threads/" .. id, own)
    end,
}

local function count(kind)
    kinds[kind] = (kinds[kind] or 0) + 1
end

function setup(thread)
    threads[#threads + 1] = thread
end

function init()
    math.randomseed(tonumber(os.getenv("SOAK_SEED")))
    local by_kind, names = {}, {}
    for line in io.lines(os.getenv("SOAK_REQUESTS")) do
        local kind, token, method, path, body = line:match("^(.-)\t(.-)\t(.-)\t(.-)\t(.*)$")
        if not by_kind[kind] then
            by_kind[kind] = {}
            names[#names + 1] = kind
        end
        local same = by_kind[kind]
        same[#same + 1] = wrk.format(method, path, headers(token), body ~= "" and body or nil)
    end
    for _, name in ipairs(names) do
        steady[#steady + 1] = { name = name, requests = by_kind[name] }
    end
end

function request()
    if math.random(2) == 1 then
        local kind = steady[math.random(#steady)]
        count(kind.name)
        return kind.requests[math.random(#kind.requests)]
    end
    local thread = table.remove(ready, 1) or { id = uuid(), step = 1 }
    local kind = thread.step and steps[thread.step] or "delete"
    if thread.step then
        awaited[thread.id] = thread
    end
    count(kind .. " (churn)")
    return make[kind](thread.id, thread.step)
end

function response(status, _, body)
    if status >= 400 then
        failed = failed + 1
        if failed <= 5 then
            io.write(string.format("failed %d %s\n", status, body:sub(1, 300)))
        end
        return
    end
    -- A copy has an id of its own, and the metadata of its original.
    local new = body:match('"thread_id":%s*"(' .. UUID .. ')"')
    local id = body:match('"of":%s*"soak",%s*"id":%s*"(' .. UUID .. ')"')
        or body:match('"id":%s*"(' .. UUID .. ')",%s*"of":%s*"soak"') or new
    local thread = id and awaited[id]
    if not thread then
        return
    end
    awaited[id] = nil
    local is_over = thread.step == #steps
    thread.step = not is_over and thread.step + 1 or nil
    ready[#ready + 1] = thread
    if is_over then
        ready[#ready + 1] = { id = new }
    end
end

-- wrk counts answers with a status of 400 or more as `errors.status`.
function done(summary, latency)
    local errors, parts = summary.errors, {}
    for _, thread in ipairs(threads) do
        for kind, number in pairs(thread:get("kinds")) do
            parts[#parts + 1] = string.format('"%s": %d', kind, number)
        end
    end
    io.write(string.format(
        'result {"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d, "kinds": {%s}}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
        errors.status + errors.connect + errors.read + errors.write + errors.timeout,
        table.concat(parts, ", ")))
end
