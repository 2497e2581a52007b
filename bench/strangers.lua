-- Requests with unknown tokens, each with a different one.

local wait = tonumber(os.getenv("BENCH_DELAY"))
local claims = "eyJzdWIiOiJub2JvZHkiLCJhdWQiOiJhdXRoZW50aWNhdGVkIiwiZXhwIjo0MTAyNDQ0ODAwfQ"
local sent = 0

function delay()
    return wait
end

function request()
    sent = sent + 1
    local signature = string.format("%043d", sent)
    local token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." .. claims .. "." .. signature
    return wrk.format("GET", "/threads/11111111-1111-4111-8111-111111111111", {
        ["Authorization"] = "Bearer " .. token,
    })
end
