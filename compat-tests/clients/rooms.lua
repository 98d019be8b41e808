-- A minimal client of the rooms dialect for Lua 5.1 to 5.4 with LuaSocket.
--
-- usage: lua rooms.lua SERVER PORT host NAME     open a room, and play with one who joins
--        lua rooms.lua SERVER PORT join NAME     find that room, play, come back at another port, play again
--
-- SERVER may be several, separated by commas: when one does not answer, the next is asked.
--
-- What players say to each other is theirs to choose; here it is what rooms.py says: `knock` and `here` for
-- the punch, `say:TEXT`, answered `heard:TEXT`, and `bye`, answered `bye`.

local socket = require("socket")

local PATIENCE = 20 -- seconds for each step, with all that may get lost
local AGAIN = 0.5 -- a request without an answer is sent again
local KNOCK = 0.1 -- between two knocks
local ALIVE = 10 -- between two signs of life
local WATCH = 2 -- the same where there is another server, to see soon whether this one is gone
local TRIES = 4 -- so many packets without an answer, and the next server is asked
local OWN = "d.app=minimal" -- own data of the rooms of this client, and what it looks for

local function fail(why)
  io.stderr:write(why, "\n")
  os.exit(1)
end

local function encode(text)
  return (text:gsub("[%%:,%c]", function(c) return string.format("%%%02X", c:byte()) end))
end

local function decode(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function split(text, separator)
  local fields = {}
  for field in (text .. separator):gmatch("([^" .. separator .. "]*)" .. separator) do
    fields[#fields + 1] = field
  end
  return fields
end

-- One UDP socket for the server and the peers: who sent a packet tells what it is.
local Player = {}
Player.__index = Player

local function new(servers, port)
  local ips = {}
  for _, name in ipairs(split(servers, ",")) do
    -- One kind of address in all we do: IPv4. A name may have several.
    local _, found = socket.dns.toip(name)
    found = found and found.ip or { name:match("^%d+%.%d+%.%d+%.%d+$") }
    -- It may be the name of a server that is gone.
    if not found[1] then io.stderr:write("no address of ", name, "; leaving it out\n") end
    for _, ip in ipairs(found) do ips[#ips + 1] = ip end
  end
  if not ips[1] then fail("no server has an address") end
  local player = setmetatable({ ips = ips, port = port, peers = {}, told = {} }, Player)
  player:next_server()
  return player
end

-- Asks the next server from now on. If there is only one, that is asked again.
function Player:next_server()
  self.ip = table.remove(self.ips, 1)
  self.ips[#self.ips + 1] = self.ip
  self.server = self.ip .. ":" .. self.port
end

function Player:open_socket()
  if self.socket then self.socket:close() end
  self.socket = assert(socket.udp())
  assert(self.socket:setsockname("0.0.0.0", 0))
end

function Player:tell(text)
  self.socket:sendto(text, self.ip, self.port)
end

function Player:send(where, text)
  local ip, port = where:match("^(.*):(%d+)$")
  self.socket:sendto(text, ip, tonumber(port))
end

-- The next packet: where it came from, and its fields; nothing if nothing comes in time.
function Player:receive(seconds)
  self.socket:settimeout(math.max(seconds, 0.001))
  local data, ip, port = self.socket:receivefrom(2048)
  if not data or not port then return nil, {} end
  return ip .. ":" .. port, split(data, ":")
end

-- Sends a request until an answer of each of these verbs has come, in whatever order. Nil: the server does not know
-- the place to which one comes back.
function Player:ask(request, ...)
  local verbs, answers = { ... }, {}
  local verb = split(request, ":")[1]:gsub("%z+$", "")
  local stop, again, tries = socket.gettime() + PATIENCE, 0, 0
  while socket.gettime() < stop do
    if socket.gettime() >= again then
      if tries == TRIES then
        self:next_server()
        answers, tries = {}, 0
      end
      self:tell(request)
      tries = tries + 1
      again = socket.gettime() + AGAIN
    end
    local source, fields = self:receive(again - socket.gettime())
    -- Others may have asked for a place in its name.
    local is_foreign = fields and fields[1] == "rID" and verb == "rc" and fields[2] ~= self.id
    if source == self.server and not is_foreign then
      if verb == "rc" and table.concat(fields, ":") == "er:rc:noroom" then return nil end
      if fields[1] == "er" and fields[2] == verb then
        fail("the server refuses: " .. table.concat(fields, ":"))
      end
      answers[fields[1]] = fields
      self:note(fields)
      local all = {}
      for n, each in ipairs(verbs) do all[n] = answers[each] or false end
      local complete = true
      for _, answer in ipairs(all) do complete = complete and answer end
      if complete then return all[1], all[2] end
    end
  end
  fail("no answer to " .. verb)
end

-- Hosts, joins or comes back, and shows the key.
function Player:take_place(request, verb)
  local answer, own = self:ask(request, verb, "rID")
  while answer and (self.id ~= own[2] or self.key ~= own[3]) do
    self.id, self.key = own[2], own[3]
    answer, own = self:ask("rc:" .. self.id .. ":" .. self.key, verb, "rID")
  end
  return answer
end

-- Takes its place again. Nil: the server has been restarted, and knows nobody.
function Player:come_back(verb)
  return self.id and self:take_place("rc:" .. self.id .. ":" .. self.key, verb)
end

-- All rooms of this client that have a place. A page carries no ID of its request, so there is one at a time.
function Player:rooms()
  local all, after = {}, ""
  while true do
    -- A request that is filled up is answered with a full page.
    local request = "rl" .. after .. ":free:" .. OWN
    local page = self:ask(request .. string.rep("\0", 512 - #request), "rl")
    for n = 2, #page do
      local entry = split(page[n], ",")
      if #entry >= 4 then -- behind these are the size and the own data, and later there may be more
        all[#all + 1] = { room = entry[1], name = decode(entry[2]), status = entry[3], players = tonumber(entry[4]) }
      end
    end
    if page[#page]:sub(1, 1) ~= "+" then return all end
    after = ":" .. page[#page]:sub(2)
  end
end

-- Knocks where the host is, as the answer to `jr` or `rc` says.
function Player:meet_host(answer)
  self.room = answer[2]
  self.told.host = decode(answer[4]) .. ":" .. answer[5]
  self.peers.host = { where = self.told.host, met = false }
end

-- What the server tells of peers: it may come more than once.
function Player:note(fields)
  if (fields[1] == "cj" or fields[1] == "ep") and #fields == 4 then
    local where = decode(fields[3]) .. ":" .. fields[4]
    local peer = self.peers.host and "host" or fields[2]
    if self.told[peer] ~= where then
      self.told[peer] = where
      self.peers[peer] = { where = where, met = false }
    end
  elseif fields[1] == "cl" then
    self.peers[fields[2]] = nil
  end
end

-- A peer has answered: the server may be told that the punch worked.
function Player:met(source)
  for id, peer in pairs(self.peers) do
    -- Its NAT may have given it another port towards us.
    if not peer.met and peer.where:match("^(.*):") == source:match("^(.*):") then
      peer.where, peer.met = source, true
      self:tell("pc:" .. (id == "host" and self.id or id) .. ":ok:" .. self.key)
    end
  end
end

-- Keeps in touch until `done` says so of what has come. Says something to all whom it has met, again and
-- again, as any packet may get lost. False: the server does not know who this is, or is gone. For a client that is
-- early enough when it wants something of the server.
function Player:play(done, say)
  local every = #self.ips > 1 and WATCH or ALIVE
  local stop, knock, alive = socket.gettime() + PATIENCE, 0, socket.gettime() + every
  local sign, tries = "ka:" .. self.key, 0
  while socket.gettime() < stop do
    if socket.gettime() >= alive then
      if tries == TRIES and #self.ips > 1 then
        self:next_server()
        if self.hosts then return false end
        -- Where several servers are one the place is ours still, if the room is not gone as well.
        sign, tries = "jr:" .. self.room, 0
      end
      self:tell(sign)
      tries = tries + 1
      alive = socket.gettime() + AGAIN
    end
    if socket.gettime() >= knock then
      for _, peer in pairs(self.peers) do
        if not peer.met then
          self:send(peer.where, "knock")
        elseif say then
          self:send(peer.where, say)
        end
      end
      knock = socket.gettime() + KNOCK
    end
    local source, fields = self:receive(knock - socket.gettime())
    if source then
      if source == self.server then
        sign, tries, alive = "ka:" .. self.key, 0, socket.gettime() + every
        if self.hosts and table.concat(fields, ":") == "er:ka:noroom" then return false end
        self:note(fields)
      elseif fields[1] == "knock" then
        self:send(source, "here")
      elseif fields[1] == "say" then
        self:send(source, "heard:" .. table.concat(fields, ":", 2))
      elseif fields[1] == "bye" and say ~= "bye" then
        self:send(source, "bye")
      elseif fields[1] == "here" then
        self:met(source)
      end
      if done(fields) then return true end
    end
  end
  fail("the peer does not say what it should")
end

local roles = {}

function roles.host(player, name)
  player.hosts = true
  local heard = {}
  local function done(fields)
    if fields[1] == "say" and not heard[fields[2]] then
      heard[fields[2]] = true
      print("heard " .. fields[2])
      io.stdout:flush()
    end
    -- Until the server says that the client has left its `bye` may have to be answered.
    return fields[1] == "cl"
  end
  repeat
    local answer = player:come_back("rh") or player:take_place("rh:" .. encode(name) .. ":" .. OWN, "rh")
    print("open " .. answer[2])
    io.stdout:flush()
  until player:play(done)
  player:ask("cr:" .. player.key, "cr")
end

-- Finds the room of this name, joins it, and knocks at its host.
local function enter(player, name)
  local wanted
  local stop = socket.gettime() + PATIENCE
  while true do
    for _, room in ipairs(player:rooms()) do
      if room.name == name and room.status == "open" then wanted = room end
    end
    if wanted or socket.gettime() >= stop then break end
    socket.sleep(AGAIN)
  end
  if not wanted then fail("there is no room " .. name) end
  player:meet_host(player:take_place("jr:" .. wanted.room, "jr"))
end

function roles.join(player, name)
  enter(player, name)
  local function is(verb, text)
    return function(fields) return fields[1] == verb and fields[2] == text end
  end
  player:play(is("heard", "hello"), "say:hello")

  -- Another socket has another port, as after a new start: the place is still ours.
  player:open_socket()
  local answer = player:come_back("jr")
  if answer then player:meet_host(answer) else enter(player, name) end
  player:play(is("heard", "back again"), "say:back again")
  player:play(is("bye", nil), "bye")
  player:ask("lr:" .. player.key, "lr")
end

local server, port, role, name = arg[1], tonumber(arg[2]), roles[arg[3] or ""], arg[4]
if not (server and port and role and name) then fail("see the first lines of this file") end
local player = new(server, port)
player:open_socket()
role(player, name)
print("all is well")
