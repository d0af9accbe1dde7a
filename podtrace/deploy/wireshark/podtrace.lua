-- Fields for captures and recordings of podtrace: which packet a frame is a hop of, which hop, and
-- where. Wireshark and tshark load it from their folder for Lua plugins:
-- ~/.local/lib/wireshark/plugins/podtrace.lua.

local podtrace = Proto("podtrace", "podtrace")

local fields = {
  packet = ProtoField.uint64("podtrace.packet", "Packet", base.DEC, nil, nil,
    "The number of the packet: all frames with it are hops of one packet"),
  hop = ProtoField.uint32("podtrace.hop", "Hop", base.DEC, nil, nil,
    "Which hop of its packet the frame is, from 1"),
  elapsed = ProtoField.double("podtrace.elapsed", "Microseconds since the first hop"),
  previous = ProtoField.framenum("podtrace.previous", "The hop before", base.NONE),
  place = ProtoField.string("podtrace.place", "Place",
    base.UNICODE, "Pod or node, interface and direction"),
  node = ProtoField.string("podtrace.node", "Node"),
  pod = ProtoField.string("podtrace.pod", "Pod", base.UNICODE,
    "The pod that the interface, or the socket, belongs to"),
  container = ProtoField.string("podtrace.container", "Container", base.UNICODE,
    "The container whose socket sends or receives, where it is known"),
  interface = ProtoField.string("podtrace.interface", "Interface"),
  peer = ProtoField.string("podtrace.peer", "Leads to", base.UNICODE,
    "The pod at the other end of a veth pair"),
  direction = ProtoField.string("podtrace.direction", "Direction", base.UNICODE,
    "ingress, egress or socket"),
}
podtrace.fields = fields

local packet_id = Field.new("frame.packet_id")
local description = Field.new("frame.interface_description")
local flags = Field.new("frame.packet_flags_direction")
local comments = Field.new("frame.comment")
local time = Field.new("frame.time_relative")

-- By packet: the number of its hops, the time of the first, the frame of the last.
local packets = {}
-- By frame: the hop, the time since the first one, the frame before.
local hops = {}

function podtrace.init()
  packets, hops = {}, {}
end

-- What an interface is, by its description: "eth0 of default/web on worker1", "veth1 of worker1,
-- eth0 of default/web", "veth1 of worker1, of default/web", "cni0 of worker1", and the first with
-- "sockets behind" before it. Nothing for those of other tools.
local function place_of(text)
  local behind = text:match("^sockets behind (.+)$")
  local interface, rest = (behind or text):match("^(%S+) of (.+)$")
  if not interface then
    return nil
  end
  local place = { interface = interface, is_socket = behind ~= nil }
  local owner, peer = rest:match("^([^,]+), .-of (.+)$")
  owner = owner or rest
  place.pod, place.node = owner:match("^(%S+/%S+) on (.+)$")
  place.node = place.node or owner
  place.peer = peer
  return place
end

local function direction_of(place)
  if place.is_socket then
    return "socket"
  end
  local flag = flags()
  return flag and ({ "ingress", "egress" })[flag.value]
end

-- The container of a comment as "default/web[nginx]"; others may be the user's.
local function container()
  for _, comment in ipairs({ comments() }) do
    local name = tostring(comment.value):match("^%S+/%S+%[(.+)%]$")
    if name then
      return name
    end
  end
end

-- A span in microseconds, to the nanosecond.
local function micros(span)
  return math.floor(span:tonumber() * 1e9 + 0.5) / 1e3
end

-- Frames come in order once; later they are shown in any order.
local function hop_of(id, pinfo)
  local number = pinfo.number
  if pinfo.visited then
    return hops[number]
  end
  local now = time().value
  local packet = packets[id]
  if not packet then
    packet = { count = 0, first = now }
    packets[id] = packet
  end
  packet.count = packet.count + 1
  local hop = { number = packet.count, elapsed = micros(now - packet.first), previous = packet.last }
  packet.last = number
  hops[number] = hop
  return hop
end

function podtrace.dissector(buffer, pinfo, root)
  local id, text = packet_id(), description()
  local place = id and text and place_of(text.value)
  if not place then
    return
  end
  local hop = hop_of(tostring(id.value), pinfo)
  local direction = direction_of(place)
  local tree = root:add(podtrace, "podtrace")
  local function add(field, value)
    if value then
      tree:add(field, value):set_generated()
    end
  end
  add(fields.packet, id.value)
  if hop then
    add(fields.hop, hop.number)
    add(fields.elapsed, hop.elapsed)
    add(fields.previous, hop.previous)
    tree:append_text(", hop " .. hop.number .. " of packet " .. tostring(id.value))
  end
  local owner = place.pod or place.node
  add(fields.place, owner .. " " .. place.interface .. (direction and " " .. direction or ""))
  add(fields.node, place.node)
  add(fields.pod, place.pod)
  add(fields.container, container())
  add(fields.interface, place.interface)
  add(fields.peer, place.peer)
  add(fields.direction, direction)
end

register_postdissector(podtrace)
