-- POST /predict under load:  TASKS=10 wrk -t1 -c8 -d5s -s tests/bench/predict.lua http://127.0.0.1:PORT
-- TASKS tasks per request (1), VARIANTS different bodies in turn (16), SEED, PROJECT (1), URL_PATH (/predict).
local here = (debug.getinfo(1, "S").source:gsub("^@", "")):match("(.*/)") or "./"
local T = dofile(here .. "texts.lua")
local tasks = tonumber(os.getenv("TASKS") or "1")
local variants = tonumber(os.getenv("VARIANTS") or "16")
local project = os.getenv("PROJECT") or "1"
local path = os.getenv("URL_PATH") or "/predict"
local reqs, turn = {}, 0

function init()
  T.seed(tonumber(os.getenv("SEED") or "11"))
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  for v = 1, variants do
    local list = {}
    for i = 1, tasks do
      list[i] = string.format('{"id":%d,"data":{"text":%s},"project":%s,"annotations":[],"predictions":[]}',
        (v - 1) * tasks + i, T.q(T.text(T.label(v + i))), project)
    end
    reqs[v] = wrk.format("POST", path, nil, '{"tasks":[' .. table.concat(list, ",") ..
      '],"project":"' .. project .. '.1767225600","label_config":' .. T.q(T.config) ..
      ',"params":{"login":null,"password":null,"context":null}}')
  end
end

function request() turn = turn % variants + 1; return reqs[turn] end

function done(summary, latency) T.done("predict" .. tasks, summary, latency) end
