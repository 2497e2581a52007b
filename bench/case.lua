-- One case for wrk. harness.py sets in the environment what is sent: BENCH_METHOD, BENCH_PATH,
-- BENCH_BODY, BENCH_TOKENS, and BENCH_IDS, a file of thread ids. Each request has a random token and id.

local requests = {}

local function add(path)
    local body = os.getenv("BENCH_BODY")
    for token in os.getenv("BENCH_TOKENS"):gmatch("%S+") do
        local headers = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }
        requests[#requests + 1] =
            wrk.format(os.getenv("BENCH_METHOD"), path, headers, body ~= "" and body or nil)
    end
end

function init()
    local path = os.getenv("BENCH_PATH")
    math.randomseed(tonumber(os.getenv("BENCH_SEED")))
    if path:find("{id}", 1, true) then
        for id in io.lines(os.getenv("BENCH_IDS")) do
            add((path:gsub("{id}", id)))
        end
    else
        add(path)
    end
end

function request()
    return requests[math.random(#requests)]
end

-- wrk counts answers with a status of 400 or more as `errors.status`.
function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        'result {"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
        errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
