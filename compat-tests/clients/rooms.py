#!/usr/bin/env python3
"""A minimal client of the rooms dialect, with nothing but Python's standard library.

usage: rooms.py SERVER PORT host NAME     open a room, and play with one who joins
       rooms.py SERVER PORT join NAME     find that room, play, come back at another port, play again

SERVER may be several, separated by commas: when one does not answer, the next is asked.

What players say to each other is theirs to choose, as the server does not see it; here it is `knock`
and `here` for the punch, `say:TEXT`, which is answered `heard:TEXT`, and `bye`, answered `bye`.
"""

import socket
import sys
import time
from urllib.parse import quote, unquote

PATIENCE = 20.0  # seconds for each step, with all that may get lost
AGAIN = 0.5  # a request without an answer is sent again
KNOCK = 0.1  # between two knocks
ALIVE = 10.0  # between two signs of life
WATCH = 2.0  # the same where there is another server, to see soon whether this one is gone
TRIES = 4  # so many packets without an answer, and the next server is asked
OWN = "d.app=minimal"  # own data of the rooms of this client, and what it looks for


def addresses(servers, *kind):
    """The addresses of SERVER,SERVER. A name without one may be that of a server that is gone."""
    found = []
    for name in servers.split(","):
        try:
            found += [(name, info[4]) for info in socket.getaddrinfo(name, *kind)]
        except OSError as error:
            print(f"{name}: {error.strerror}; leaving it out", file=sys.stderr)
    return found or sys.exit("no server has an address")


class Player:
    """One UDP socket for the server and the peers: who sent a packet tells what it is."""

    def __init__(self, servers, port):
        # One kind of address in all we do: IPv4. A name may have several.
        kind = (port, socket.AF_INET, socket.SOCK_DGRAM)
        self.servers = [address for _, address in addresses(servers, *kind)]
        self.server = self.servers[0]
        self.id = self.key = None
        self.hosts = False
        self.peers = {}  # ID of a peer: where it is, and whether it has answered
        self.told = {}  # where the server said last that it is
        self.open_socket()

    def open_socket(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("", 0))

    def next_server(self):
        """Asks the next server from now on. If there is only one, that is asked again."""
        self.servers.append(self.servers.pop(0))
        self.server = self.servers[0]

    def tell(self, text):
        self.socket.sendto(text.encode(), self.server)

    def send(self, peer, text):
        self.socket.sendto(text.encode(), peer)

    def receive(self, seconds):
        """The next packet: where it came from, and its fields; none if nothing comes in time."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            data, source = self.socket.recvfrom(2048)
        except (TimeoutError, socket.timeout, ConnectionError):
            return None, []
        return source, data.decode("utf-8", "replace").split(":")

    def ask(self, request, *verbs):
        """Sends a request until an answer of each of these verbs has come, in whatever order. None: the
        server does not know the place to which one comes back."""
        answers, verb = {}, request.split(":")[0].rstrip("\0")
        end, again, tries = time.monotonic() + PATIENCE, 0.0, 0
        while time.monotonic() < end:
            if time.monotonic() >= again:
                if tries == TRIES:
                    self.next_server()
                    answers, tries = {}, 0
                self.tell(request)
                tries += 1
                again = time.monotonic() + AGAIN
            source, fields = self.receive(again - time.monotonic())
            if source != self.server:
                continue
            if fields == ["er", "rc", "noroom"] and request.startswith("rc:"):
                return None
            if fields[0] == "er" and fields[1] == verb:
                sys.exit(f"the server refuses {verb}: {fields[2]}")
            # Others may have asked for a place in its name.
            if fields[0] == "rID" and request.startswith("rc:") and fields[1] != self.id:
                continue
            answers[fields[0]] = fields
            self.note(fields)
            if all(verb in answers for verb in verbs):
                return [answers[verb] for verb in verbs]
        sys.exit(f"no answer to {verb}")

    def take_place(self, request, verb):
        """Hosts, joins or comes back, and shows the key."""
        answers = self.ask(request, verb, "rID")
        while answers and [self.id, self.key] != answers[1][1:]:
            _, self.id, self.key = answers[1]
            answers = self.ask(f"rc:{self.id}:{self.key}", verb, "rID")
        return answers and answers[0]

    def come_back(self, verb):
        """Takes its place again. None: the server has been restarted, and knows nobody."""
        return self.id and self.take_place(f"rc:{self.id}:{self.key}", verb)

    def rooms(self):
        """All rooms of this client that have a place: their IDs, names and numbers of players. A page
        carries no ID of its request, so there is one at a time."""
        after = ""
        while True:
            # A request that is filled up is answered with a full page.
            request = f"rl{after}:free:{OWN}"
            [page] = self.ask(request.ljust(512, "\0"), "rl")
            entries = [entry.split(",") for entry in page[1:] if entry and entry[0] != "+"]
            # Behind these are the size and the own data, and later there may be more.
            for room, name, status, players in (entry[:4] for entry in entries):
                yield room, unquote(name), status, int(players)
            if page[-1][:1] != "+":
                return
            after = ":" + page[-1][1:]

    def meet_host(self, answer):
        """Knocks where the host is, as the answer to `jr` or `rc` says."""
        self.room = answer[1]
        self.told["host"] = (unquote(answer[3]), int(answer[4]))
        self.peers["host"] = (self.told["host"], False)

    def note(self, fields):
        """What the server tells of peers: it may come more than once."""
        if fields[0] in ("cj", "ep") and len(fields) == 4:
            where = (unquote(fields[2]), int(fields[3]))
            peer = "host" if "host" in self.peers else fields[1]
            if self.told.get(peer) != where:
                self.told[peer] = where
                self.peers[peer] = (where, False)
        elif fields[0] == "cl":
            self.peers.pop(fields[1], None)

    def play(self, done, say=None):
        """Keeps in touch until `done` says so of what has come. Says something to all whom it
        has met, again and again, as any packet may get lost. False: the server does not know who
        this is, or is gone. For a client that is early enough when it wants something of the server."""
        every = WATCH if len(self.servers) > 1 else ALIVE
        end, knock, alive = time.monotonic() + PATIENCE, 0.0, time.monotonic() + every
        sign, tries = f"ka:{self.key}", 0
        while time.monotonic() < end:
            if time.monotonic() >= alive:
                if tries == TRIES and len(self.servers) > 1:
                    self.next_server()
                    if self.hosts:
                        return False
                    # Where several servers are one the place is ours still, if the room is not gone as well.
                    sign, tries = f"jr:{self.room}", 0
                self.tell(sign)
                tries += 1
                alive = time.monotonic() + AGAIN
            if time.monotonic() >= knock:
                for peer, (where, is_met) in self.peers.items():
                    if not is_met:
                        self.send(where, "knock")
                    elif say:
                        self.send(where, say)
                knock = time.monotonic() + KNOCK
            source, fields = self.receive(knock - time.monotonic())
            if source is None:
                continue
            if source == self.server:
                sign, tries, alive = f"ka:{self.key}", 0, time.monotonic() + every
                if self.hosts and fields == ["er", "ka", "noroom"]:
                    return False
                self.note(fields)
            elif fields[0] == "knock":
                self.send(source, "here")
            elif fields[0] == "say":
                self.send(source, ":".join(["heard"] + fields[1:]))
            elif fields[0] == "bye" and say != "bye":
                self.send(source, "bye")
            elif fields[0] == "here":
                self.met(source)
            if done(fields):
                return True
        sys.exit("the peer does not say what it should")

    def met(self, source):
        """A peer has answered: the server may be told that the punch worked."""
        for peer, (where, is_met) in self.peers.items():
            # Its NAT may have given it another port towards us.
            if not is_met and where[0] == source[0]:
                self.peers[peer] = (source, True)
                self.tell(f"pc:{self.id if peer == 'host' else peer}:ok:{self.key}")


def host(player, name):
    player.hosts = True
    heard = []

    def done(fields):
        if fields[0] == "say" and fields not in heard:
            heard.append(fields)
            print(f"heard {fields[1]}", flush=True)
        # Until the server says that the client has left its `bye` may have to be answered.
        return fields[0] == "cl"

    while True:
        answer = player.come_back("rh")
        answer = answer or player.take_place(f"rh:{quote(name, safe=' ')}:{OWN}", "rh")
        print(f"open {answer[1]}", flush=True)
        if player.play(done):
            break
    player.ask(f"cr:{player.key}", "cr")


def enter(player, name):
    """Finds the room of this name, joins it, and knocks at its host."""
    end = time.monotonic() + PATIENCE
    while True:
        wanted = [room for room, its, status, _ in player.rooms() if (its, status) == (name, "open")]
        if wanted or time.monotonic() >= end:
            break
        time.sleep(AGAIN)
    if not wanted:
        sys.exit(f"there is no room {name!r}")
    player.meet_host(player.take_place(f"jr:{wanted[0]}", "jr"))


def join(player, name):
    enter(player, name)
    player.play(lambda fields: fields == ["heard", "hello"], say="say:hello")

    # Another socket has another port, as after a new start: the place is still ours.
    player.open_socket()
    answer = player.come_back("jr")
    if answer:
        player.meet_host(answer)
    else:
        enter(player, name)
    player.play(lambda fields: fields == ["heard", "back again"], say="say:back again")
    player.play(lambda fields: fields == ["bye"], say="bye")
    player.ask(f"lr:{player.key}", "lr")


def main():
    if len(sys.argv) != 5 or sys.argv[3] not in ("host", "join"):
        sys.exit(__doc__)
    player = Player(sys.argv[1], int(sys.argv[2]))
    {"host": host, "join": join}[sys.argv[3]](player, sys.argv[4])
    print("all is well")


main()
