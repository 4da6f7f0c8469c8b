-- One request again and again:  METHOD=GET URL_PATH=/health BODY= wrk -t1 -c2 -d5s -s tests/bench/ask.lua http://127.0.0.1:PORT
local here = (debug.getinfo(1, "S").source:gsub("^@", "")):match("(.*/)") or "./"
local T = dofile(here .. "texts.lua")
local path = os.getenv("URL_PATH") or "/health"

function init()
  wrk.method = os.getenv("METHOD") or "GET"
  wrk.path = path
  wrk.headers["Content-Type"] = "application/json"
  local body = os.getenv("BODY")
  if body and body ~= "" then wrk.body = body end
end

function done(summary, latency) T.done(path, summary, latency) end
