-- limits.lua - wrk as many clients behind a proxy that is trusted. Arguments: PATH, HOW (a number: so
-- many clients drawn at random; "each": a new one for every request; "walk:N": N of them in turn), and optionally the least and the
-- most milliseconds that a connection rests between two requests.
local path, how, clients, number, turn, least, most
function init(args)
  path, how = args[1], args[2]
  clients = tonumber(how)
  number = 0
  turn = tonumber(string.match(how, "walk:(%d+)") or 16777216)
  least, most = tonumber(args[3]), tonumber(args[4])
  if least then delay = function() return math.random(least, most) end end
end
function request()
  if clients == nil then number = (number + 1) % turn else number = clients > 1 and math.random(0, clients - 1) or 0 end
  local address = string.format("10.%d.%d.%d", math.floor(number / 65536) % 256, math.floor(number / 256) % 256, number % 256)
  return "GET " .. path .. " HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: " .. address .. "\r\n\r\n"
end
