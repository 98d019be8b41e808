# A minimal client of the rooms dialect for Godot 3 and 4: what the two call differently is at the end.
#
# usage: godot -s rooms.gd SERVER PORT host NAME     open a room, and play with one who joins
#        godot -s rooms.gd SERVER PORT join NAME     find that room, play, come back at another port, play again
# SERVER may be several, separated by commas: when one does not answer, the next is asked.
# (godot3-server, or godot --headless; in a game take what is between the roles and the end, and call it from _process)
#
# What players say to each other is theirs to choose; here it is what rooms.py says: `knock` and `here` for
# the punch, `say:TEXT`, answered `heard:TEXT`, and `bye`, answered `bye`.
extends SceneTree

const PATIENCE = 20000 # milliseconds for each step, with all that may get lost
const AGAIN = 500 # a request without an answer is sent again
const KNOCK = 100 # between two knocks
const ALIVE = 10000 # between two signs of life
const WATCH = 2000 # the same where there is another server, to see soon whether this one is gone
const TRIES = 4 # so many packets without an answer, and the next server is asked
const OWN = "d.app=minimal" # own data of the rooms of this client, and what it looks for
const POLL = 5 # between two looks at the socket

# One UDP socket for the server and the peers: who sent a packet tells what it is.
var udp
var server_ips = [] # the first is asked, and is `server_ip`
var server_ip
var server_port
var own_id = ""
var own_key = ""
var own_room = ""
var peers = {} # ID of a peer: [IP, port, whether it has answered]
var told = {} # where the server said last that it is
var hosts = false
var failed = false


func _initialize():
	# Before the arguments for us there may be some for the engine.
	var all = OS.get_cmdline_args()
	var args = []
	for n in range(4):
		args.append(all[all.size() - 4 + n] if all.size() >= 4 else "")
	if not args[2] in ["host", "join"]:
		fail("see the first lines of this file")
	else:
		# One kind of address in all we do: IPv4.
		for name in args[0].split(","):
			var ip = IP.resolve_hostname(name, IP.TYPE_IPV4)
			# It may be the name of a server that is gone.
			if ip == "":
				printerr("no address of ", name, "; leaving it out")
			else:
				server_ips.append(ip)
		if not server_ips:
			fail("no server has an address")
			quit(1)
			return
		server_ip = server_ips[0]
		server_port = int(args[1])
		open_socket()
		if args[2] == "host":
			host(args[3])
		else:
			join(args[3])
	if not failed:
		print("all is well")
	quit(1 if failed else 0)


func host(name):
	hosts = true
	while not failed:
		var back = come_back("rh")
		var answer = back if back != null else take_place("rh:" + encode(name) + ":" + OWN, "rh")
		print("open " + answer[1] if answer != null else "not open")
		# Until the server says that the client has left its `bye` may have to be answered.
		if play("cl", null, ""):
			break
	ask("cr:" + own_key, ["cr"])


# Finds the room of this name, joins it, and knocks at its host.
func enter(name):
	var room = ""
	var end = now() + PATIENCE
	while not failed:
		room = find(name)
		if room != "" or now() >= end:
			break
		OS.delay_msec(AGAIN)
	if room == "":
		return fail("there is no room " + name)
	meet_host(take_place("jr:" + room, "jr"))


func join(name):
	enter(name)
	play("heard", "hello", "say:hello")
	# Another socket has another port, as after a new start: the place is still ours.
	open_socket()
	var answer = come_back("jr")
	meet_host(answer)
	if answer == null:
		enter(name)
	play("heard", "back again", "say:back again")
	play("bye", null, "bye")
	ask("lr:" + own_key, ["lr"])


# Once something has failed nothing more is done.
func fail(why):
	if not failed:
		print(why)
	failed = true


func open_socket():
	if udp != null:
		udp.close()
	udp = PacketPeerUDP.new()
	bind_any(udp)


# Asks the next server from now on. If there is only one, that is asked again.
func next_server():
	server_ips.append(server_ips.pop_front())
	server_ip = server_ips[0]


func send(ip, port, text):
	udp.set_dest_address(ip, port)
	udp.put_packet(to_bytes(text))


# The next packet: IP, port, fields; null if there is none until then.
func receive(until):
	while udp.get_available_packet_count() == 0:
		if now() >= until:
			return null
		OS.delay_msec(POLL)
	var text = udp.get_packet().get_string_from_utf8()
	return [udp.get_packet_ip(), udp.get_packet_port(), text.split(":")]


# Sends a request until an answer of each of these verbs has come, in whatever order. Null: the server does not know the
# place to which one comes back.
func ask(request, verbs):
	var answers = {}
	var end = now() + PATIENCE
	var again = 0
	var tries = 0
	while not failed and now() < end:
		if now() >= again:
			if tries == TRIES:
				next_server()
				answers = {}
				tries = 0
			tries += 1
			udp.set_dest_address(server_ip, server_port)
			var bytes = to_bytes(request)
			# A request that is filled up is answered with a full page.
			while verbs[0] == "rl" and bytes.size() < 512:
				bytes.append(0)
			udp.put_packet(bytes)
			again = now() + AGAIN
		var packet = receive(again)
		if packet == null or packet[0] != server_ip or packet[1] != server_port:
			continue
		var fields = packet[2]
		if fields[0] == "er" and fields[1] == "rc" and request.begins_with("rc:") and fields[2] == "noroom":
			return null
		if fields[0] == "er" and fields[1] == request.split(":")[0]:
			fail("the server refuses " + fields[1] + ": " + fields[2])
			break
		# Others may have asked for a place in its name.
		if fields[0] == "rID" and request.begins_with("rc:") and fields[1] != own_id:
			continue
		answers[fields[0]] = fields
		note(fields)
		var found = []
		for verb in verbs:
			if answers.has(verb):
				found.append(answers[verb])
		if found.size() == verbs.size():
			return found
	fail("no answer to " + request.split(":")[0])
	return null


# Hosts, joins or comes back, and shows the key.
func take_place(request, verb):
	var found = ask(request, [verb, "rID"])
	while found != null and (own_id != found[1][1] or own_key != found[1][2]):
		own_id = found[1][1]
		own_key = found[1][2]
		found = ask("rc:" + own_id + ":" + own_key, [verb, "rID"])
	return found[0] if found != null else null


# Takes its place again. Null: the server has been restarted, and knows nobody.
func come_back(verb):
	return take_place("rc:" + own_id + ":" + own_key, verb) if own_id != "" else null


# The ID of an open room of this client with this name. A page carries no ID of its request, so there is one at a time.
func find(name):
	var after = ""
	while true:
		var found = ask("rl" + after + ":free:" + OWN, ["rl"])
		if found == null:
			return ""
		var page = found[0]
		var last = page[page.size() - 1]
		for n in range(1, page.size()):
			var entry = page[n].split(",")
			# Behind these are the size and the own data, and later there may be more.
			if entry.size() >= 4 and decode(entry[1]) == name and entry[2] == "open":
				return entry[0]
		if not last.begins_with("+"):
			return ""
		after = ":" + last.substr(1, 16)


# Knocks where the host is, as the answer to `jr` or `rc` says.
func meet_host(answer):
	if answer != null:
		own_room = answer[1]
		told["host"] = [decode(answer[3]), int(answer[4])]
		peers["host"] = [told["host"][0], told["host"][1], false]


# What the server tells of peers: it may come more than once.
func note(fields):
	if fields[0] in ["cj", "ep"] and fields.size() == 4:
		var where = [decode(fields[2]), int(fields[3])]
		var peer = "host" if peers.has("host") else fields[1]
		if not told.has(peer) or told[peer] != where:
			told[peer] = where
			peers[peer] = [where[0], where[1], false]
	elif fields[0] == "cl" and fields.size() == 2:
		peers.erase(fields[1])


# A peer has answered: the server may be told that the punch worked.
func met(packet):
	for id in peers:
		# Its NAT may have given it another port towards us.
		if not peers[id][2] and peers[id][0] == packet[0]:
			peers[id] = [packet[0], packet[1], true]
			send(server_ip, server_port, "pc:" + (own_id if id == "host" else id) + ":ok:" + own_key)


# Keeps in touch until something has come with this first field, and this second one if that is there. Says
# something to all whom it has met, again and again, as any packet may get lost. False: the server has forgotten this host,
# or is gone.
func play(verb, text, say):
	var heard = []
	var end = now() + PATIENCE
	var knock = 0
	var every = WATCH if server_ips.size() > 1 else ALIVE
	var alive = now() + every
	var shows = "ka:" + own_key
	var tries = 0
	while not failed and now() < end:
		if now() >= alive:
			if tries == TRIES and server_ips.size() > 1:
				next_server()
				if hosts:
					return false
				# Where several servers are one the place is ours still, if the room is not gone as well.
				shows = "jr:" + own_room
				tries = 0
			send(server_ip, server_port, shows)
			tries += 1
			alive = now() + AGAIN
		if now() >= knock:
			for id in peers:
				if not peers[id][2]:
					send(peers[id][0], peers[id][1], "knock")
				elif say != "":
					send(peers[id][0], peers[id][1], say)
			knock = now() + KNOCK
		var packet = receive(knock)
		if packet == null:
			continue
		var fields = packet[2]
		var rest = fields[1] if fields.size() > 1 else ""
		if packet[0] == server_ip and packet[1] == server_port:
			shows = "ka:" + own_key
			tries = 0
			alive = now() + every
			if hosts and fields[0] == "er" and rest == "ka" and fields[2] == "noroom":
				return false
			note(fields)
		elif fields[0] == "knock":
			send(packet[0], packet[1], "here")
		elif fields[0] == "here":
			met(packet)
		elif fields[0] == "bye" and say != "bye":
			send(packet[0], packet[1], "bye")
		elif fields[0] == "say":
			send(packet[0], packet[1], "heard:" + rest)
			if not rest in heard:
				heard.append(rest)
				print("heard " + rest)
		if fields[0] == verb and (text == null or text == rest):
			return true
	fail("the peer does not say " + verb)
	return false


func encode(text):
	return text.replace("%", "%25").replace(":", "%3A").replace(",", "%2C")


func decode(text):
	var bytes = to_bytes("")
	var n = 0
	while n < text.length():
		if text.substr(n, 1) == "%":
			bytes.append(("0x" + text.substr(n + 1, 2)).hex_to_int())
			n += 3
		else:
			bytes.append_array(to_bytes(text.substr(n, 1)))
			n += 1
	return bytes.get_string_from_utf8()


# What Godot 3 and 4 call differently. Nothing here has a type, so each of them looks for what it calls alone.

func is_godot_4():
	return Engine.get_version_info()["major"] >= 4


func to_bytes(text):
	return text.to_utf8_buffer() if is_godot_4() else text.to_utf8()


func bind_any(socket):
	if is_godot_4():
		socket.bind(0)
	else:
		socket.listen(0)


func now():
	var clock = Engine.get_singleton("Time") if is_godot_4() else OS
	return clock.get_ticks_msec()
