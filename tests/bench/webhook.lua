-- POST /webhook under load, a new annotation of a new task each time:
--   FIRST_ID=1 wrk -t1 -c1 -d5s -s tests/bench/webhook.lua http://127.0.0.1:PORT
-- ACTION, FIRST_ID (1) the first task and annotation id, SEED, PROJECT (1), URL_PATH (/webhook).
-- Use one wrk thread: ids are counted per thread.
local here = (debug.getinfo(1, "S").source:gsub("^@", "")):match("(.*/)") or "./"
local T = dofile(here .. "texts.lua")
local action = os.getenv("ACTION") or "ANNOTATION_CREATED"
local project = os.getenv("PROJECT") or "1"
local path = os.getenv("URL_PATH") or "/webhook"
local id = tonumber(os.getenv("FIRST_ID") or "1") - 1
local tail

function init()
  T.seed(tonumber(os.getenv("SEED") or "13"))
  wrk.headers["Content-Type"] = "application/json"
  tail = '"project":{"id":' .. project .. ',"title":"load","label_config":' .. T.q(T.config) .. '}}'
end

function request()
  id = id + 1
  local label = T.label(id)
  return wrk.format("POST", path, nil, string.format(
    '{"action":"%s","task":{"id":%d,"data":{"text":%s},"project":%s},"annotation":{"id":%d,"task":%d,"project":%s,' ..
    '"completed_by":1,"was_cancelled":false,"ground_truth":false,"result":[{"id":"r%d","from_name":"topic",' ..
    '"to_name":"text","type":"choices","origin":"manual","value":{"choices":["%s"]}}]},%s',
    action, id, T.q(T.text(label)), project, id, id, project, id, label, tail))
end

function done(summary, latency) T.done("webhook", summary, latency) end
