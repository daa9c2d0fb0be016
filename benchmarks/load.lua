-- wrk's requests, one line of $REQUESTS each: a path, and a Range or "-", separated by a tab.
local requests, at = {}, 0

function init()
  for line in io.lines(os.getenv("REQUESTS")) do
    local path, range = line:match("([^\t]*)\t(.*)")
    requests[#requests + 1] = wrk.format("GET", path, range ~= "-" and {["Range"] = range} or nil)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, _)
  local bad = summary.errors
  io.write(string.format("RESULT %d %.6f %d %.3f %.3f %d\n",
    summary.requests, summary.duration / 1e6, summary.bytes,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    bad.connect + bad.read + bad.write + bad.status + bad.timeout))
end
