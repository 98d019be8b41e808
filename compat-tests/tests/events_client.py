"""A client of the events dialect with nothing but Python's standard library.

usage: events_client.py PORT [CERTIFICATE]   (with a certificate: TLS)
"""

import json
import socket
import ssl
import sys

PORT = int(sys.argv[1])
CERTIFICATE = sys.argv[2] if len(sys.argv) > 2 else None


class Client:
    """A connection; every event is one line."""

    def __init__(self, name):
        connection = socket.create_connection(("127.0.0.1", PORT), timeout=10)
        if CERTIFICATE:
            context = ssl.create_default_context(cafile=CERTIFICATE)
            connection = context.wrap_socket(connection, server_hostname="localhost")
        self.connection = connection
        self.lines = connection.makefile("r", encoding="utf-8", newline="\n")
        answer = self.ask("login", {"id": name, "game": "python"})
        self.token = answer["data"]["udp_token"]

    def send(self, **event):
        self.connection.sendall(json.dumps(event).encode())

    def next(self):
        return json.loads(self.lines.readline())

    def ask(self, name, data):
        self.send(type="request", name=name, data=data, request_id=name)
        while True:
            event = self.next()
            if event.get("request_id") == name:
                return event

    def wait_for(self, name):
        while True:
            event = self.next()
            if event.get("name") == name:
                return event


def endpoint(client):
    """A UDP socket and where the server sees it."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.settimeout(0.5)
    for _ in range(20):
        udp.sendto(b"udp:" + client.token.encode(), ("127.0.0.1", PORT))
        try:
            _, ip, port = udp.recv(512).decode().split(":")
            return udp, ip, int(port)
        except socket.timeout:
            pass
    raise SystemExit("no answer by UDP")


alice, bob = Client("alice"), Client("bob")

# A pass, with all that JSON can carry.
data = {"text": "\u00fc \U0001F3AE \"", "numbers": [1, -0.5, 10**30], "nothing": None}
alice.send(type="pass", name="hello", data=data, dest="bob", extra=[True])
event = bob.wait_for("hello")
assert (event["from"], event["data"], event["extra"]) == ("alice", data, [True]), event

# A confirmed pass and a request, each with the ID of the sender.
alice.send(type="confirm_pass", name="sure", data=1, dest="bob", pass_id="p-1")
event = bob.wait_for("sure")
bob.send(type="confirm_pass", pass_id=event["pass_id"])
assert alice.next() == {"type": "confirm_pass", "pass_id": "p-1", "from": "bob"}
alice.send(type="request", name="add", data=[1, 2], dest="bob", request_id=7)
event = bob.wait_for("add")
bob.send(type="response", name="add", data=sum(event["data"]), request_id=event["request_id"])
event = alice.next()
assert (event["data"], event["request_id"], event["from"]) == (3, 7, "bob"), event

# A room and the introduction.
room = alice.ask("create_room", {"name": "Python", "max_players": 2})["data"]["room"]
(udp_a, ip_a, port_a), (udp_b, ip_b, port_b) = endpoint(alice), endpoint(bob)
assert bob.ask("join_room", {"room": room})["data"]["players"] == ["alice", "bob"]
told_a, told_b = alice.wait_for("introduce")["data"], bob.wait_for("introduce")["data"]
assert (told_a["id"], told_a["ip"], told_a["port"]) == ("bob", ip_b, port_b), told_a
assert (told_b["id"], told_b["ip"], told_b["port"]) == ("alice", ip_a, port_a), told_b
udp_a.sendto(told_a["nonce"].encode(), (told_a["ip"], told_a["port"]))
assert udp_b.recv(512).decode() == told_b["nonce"]

# Garbage ends the connection, and the room with it.
alice.connection.sendall(b"{nonsense}")
assert alice.wait_for("error")["data"]["code"] == "bad_json"
assert alice.lines.readline() == ""
assert bob.wait_for("self_left")["data"]["reason"] == "room_deleted"
print("all is well")
