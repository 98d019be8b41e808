#!/usr/bin/env python3
"""A minimal client of the events dialect, with nothing but Python's standard library.

usage: events.py SERVER PORT host ROOM [CERTIFICATE]     make a room, and play with one who joins
       events.py SERVER PORT join ROOM [CERTIFICATE]     find that room and play

SERVER may be several, separated by commas: when one does not answer, or its connection ends, the next is asked.
With CERTIFICATE, a file with whom to trust, or `system`, the connection is encrypted. The packets between
players carry the nonce of the introduction, and behind it `knock`, `here`, `say:TEXT`, answered `heard:TEXT`,
or `bye`, answered `bye`.
"""

import json
import os
import select
import socket
import ssl
import sys
import time

PATIENCE = 20.0  # seconds for each step, with all that may get lost
AGAIN = 0.5  # the token is sent again until it is answered
KNOCK = 0.1  # between two knocks
OWN = {"app": "minimal"}  # own data of the rooms of this client, and what it looks for
ALIVE = 20.0  # between two tokens, so that the NAT keeps its mapping
WATCH = 1.0  # between two looks whether the server is there, if there is another one
SILENT = 3.0  # so long it may take to answer then


class Lost(Exception):
    """The server has closed the connection, as it does when it is restarted, or does not answer."""


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
    """A connection for events, and a UDP socket for the game."""

    def __init__(self, servers, port, certificate):
        # One kind of address in all we do: IPv4. A name may have several.
        kind = (port, socket.AF_INET, socket.SOCK_STREAM)
        self.servers = addresses(servers, *kind)
        self.patience = SILENT if len(self.servers) > 1 else PATIENCE
        self.certificate = certificate
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("", 0))
        self.udp.setblocking(False)

    def connect(self):
        """To the first server; the next time it is the next one's turn."""
        server, self.server = self.servers[0]
        self.servers.append(self.servers.pop(0))
        link = socket.create_connection(self.server, timeout=self.patience)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.certificate:
            trusted = None if self.certificate == "system" else self.certificate
            context = ssl.create_default_context(cafile=trusted)
            link = context.wrap_socket(link, server_hostname=server)
        self.link = link
        self.unread = b""
        self.number = 0
        self.room = self.peer = None
        self.passes = []

    def come_in(self):
        """Connects and logs in, with the first server that is there: it knows nothing of before. All are tried,
        then there is a pause."""
        end, tries = time.monotonic() + PATIENCE, 0
        while True:
            try:
                self.connect()
                return self.login()
            except ssl.SSLError:
                raise
            except (Lost, OSError):
                if time.monotonic() > end:
                    raise
                tries += 1
                time.sleep(AGAIN if tries % len(self.servers) == 0 else 0)

    def send(self, **event):
        self.link.sendall(json.dumps(event).encode() + b"\n")

    def receive(self, seconds):
        """The next event; none if there is none in time. What the server sends has a line each."""
        end = time.monotonic() + seconds
        while b"\n" not in self.unread:
            # TLS may have decrypted more than it was asked for.
            pending = isinstance(self.link, ssl.SSLSocket) and self.link.pending()
            left = max(end - time.monotonic(), 0)
            if not pending and not select.select([self.link], [], [], left)[0]:
                return None
            try:
                data = self.link.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                raise Lost("the server has closed the connection")
            self.unread += data
        line, self.unread = self.unread.split(b"\n", 1)
        return json.loads(line)

    def handle(self, event):
        """What comes unasked."""
        if event["type"] == "request":
            # The server asks whether we are there.
            answer = {"type": "response", "name": event["name"], "request_id": event["request_id"]}
            self.send(**answer, data={})
        elif event["type"] == "pass":
            self.passes.append(event)
            if event["name"] == "introduce":
                data = event["data"]
                places = [(data["ip"], data["port"])]
                places += [(data["ip"], port) for port in data.get("predict", [])]
                places += [(local["ip"], local["port"]) for local in data["local"]]
                self.peer = {"id": data["id"], "nonce": data["nonce"], "places": places, "at": None}

    def ask(self, request, **data):
        self.number += 1
        self.send(type="request", name=request, data=data, request_id=self.number)
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            event = self.receive(end - time.monotonic())
            if event and event["type"] == "response" and event["request_id"] == self.number:
                if "error" in event:
                    sys.exit(f"{request}: {event['error']['message']}")
                return event["data"]
            if event:
                self.handle(event)
        raise Lost(f"no answer to {request}")

    def login(self):
        # IDs are unique on the whole server.
        answer = self.ask("login", id=f"player-{os.urandom(6).hex()}", game="minimal")
        self.token = f"udp:{answer['udp_token']}".encode()

    def tell(self, text):
        """Says something to the peer, at all places where it may be until it has answered."""
        places = [self.peer["at"]] if self.peer["at"] else self.peer["places"]
        for place in places:
            self.udp.sendto(f"{self.peer['nonce']}:{text}".encode(), place)

    def play(self, done, say=None):
        """Keeps in touch until `done` says so of what the peer has said, or of an event. Says something to it
        again and again, as any packet may get lost."""
        end, knock, token, is_seen = time.monotonic() + PATIENCE, 0.0, 0.0, False
        heard = asked = time.monotonic()
        while time.monotonic() < end:
            now = time.monotonic()
            if len(self.servers) > 1 and now >= asked + WATCH:
                if now >= heard + SILENT:
                    raise Lost("the server does not answer any more")
                self.send(type="request", name="ping", data={}, request_id="ping")
                asked = now
            if now >= token:
                self.udp.sendto(self.token, self.server)
                token = now + (ALIVE if is_seen else AGAIN)
            if now >= knock and self.peer:
                if not self.peer["at"]:
                    self.tell("knock")
                elif say:
                    self.tell(say)
                knock = now + KNOCK
            event = self.receive(0)
            if event:
                heard = now
                self.handle(event)
                if done([event.get("name")]):
                    return
            if not select.select([self.udp, self.link], [], [], KNOCK / 2)[0]:
                continue
            try:
                data, source = self.udp.recvfrom(2048)
            except (BlockingIOError, ConnectionError):
                continue
            words = data.decode("utf-8", "replace").split(":")
            if source == self.server:
                is_seen = is_seen or words[0] == "udp"
            elif self.peer and words[0] == self.peer["nonce"]:
                self.hear(source, words[1:], say)
                if done(words[1:]):
                    return
        if self.peer and not self.peer["at"]:
            # Where the server has a relay it goes on there.
            self.send(type="pass", name="punch_result", data={"id": self.peer["id"], "ok": False})
        sys.exit("the peer does not say what it should")

    def hear(self, source, words, say):
        """Whoever knows the nonce is the peer, wherever it comes from."""
        if words[0] == "here" and not self.peer["at"]:
            self.peer["at"] = source
            self.send(type="pass", name="punch_result", data={"id": self.peer["id"], "ok": True})
        answers = {"knock": "here", "say": ":".join(["heard"] + words[1:])}
        if say != "bye":
            answers["bye"] = "bye"
        if words[0] in answers:
            text = f"{self.peer['nonce']}:{answers[words[0]]}"
            self.udp.sendto(text.encode(), source)


def host(player, name):
    heard = []

    def done(words):
        if words[0] == "say" and words not in heard:
            heard.append(words)
            print(f"heard {words[1]}", flush=True)
        # Until the server says that the player has left its `bye` may have to be answered.
        return words[0] == "player_left"

    while True:
        try:
            room = player.ask("create_room", name=name, max_players=2, data=OWN)["room"]
            print(f"open {room}", flush=True)
            player.play(done)
            return player.ask("leave_room")
        except (Lost, ConnectionError):
            player.come_in()


def rooms(player):
    """All rooms of this client that have a place."""
    page, after = {"more": True}, {}
    while page["more"]:
        page = player.ask("list_rooms", filter=OWN, free=True, **after)
        yield from page["rooms"]
        if page["rooms"]:
            after = {"after": page["rooms"][-1]["room"]}


def enter(player, name):
    """Finds the room of this name, and joins it."""
    end = time.monotonic() + PATIENCE
    wanted = []
    while True:
        wanted = [room["room"] for room in rooms(player) if room["name"] == name]
        if wanted or time.monotonic() >= end:
            break
        time.sleep(AGAIN)
    if not wanted:
        sys.exit(f"there is no room {name!r}")
    player.ask("join_room", room=wanted[0])


def join(player, name):
    while True:
        try:
            enter(player, name)
            player.play(lambda words: words == ["heard", "hello"], say="say:hello")
            player.play(lambda words: words == ["bye"], say="bye")
            return player.ask("leave_room")
        except (Lost, ConnectionError):
            player.come_in()


def main():
    if len(sys.argv) not in (5, 6) or sys.argv[3] not in ("host", "join"):
        sys.exit(__doc__)
    certificate = sys.argv[5] if len(sys.argv) == 6 else None
    player = Player(sys.argv[1], int(sys.argv[2]), certificate)
    try:
        player.come_in()
        {"host": host, "join": join}[sys.argv[3]](player, sys.argv[4])
    except (Lost, OSError) as why:
        sys.exit(str(why))
    print("all is well")


main()
