//! What GMnet has: every command that a game sends, and what comes of it.

use super::report::Check;
use super::{meeting, questions};

pub(super) const ANOTHER: &str =
    "Use a current punchd; if it is one, report this with the output of `punch probe --json`.";

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "tcp",
        name: "TCP",
        run: questions::reachable,
        meaning: "Games over TCP (GMnet, events) cannot use this server.",
        to_do: "Start the server, and open this TCP port in the machine's firewall and in the provider's.",
    },
    Check {
        id: "gmnet_version",
        name: "version",
        run: questions::version,
        meaning: "Games do not ask; tools like this one do.",
        to_do: ANOTHER,
    },
    Check {
        id: "gmnet_istesting",
        name: "istesting",
        run: questions::is_testing,
        meaning: "Games do not ask; the web test tool cannot test this server.",
        to_do: ANOTHER,
    },
    Check {
        id: "gmnet_testinginfos",
        name: "testinginfos",
        run: questions::testing_infos,
        meaning: "Games do not ask; the web test tool cannot show what this server is.",
        to_do: ANOTHER,
    },
    Check {
        id: "gmnet_ping",
        name: "ping ignored",
        run: questions::ping,
        meaning: "Hosts ping every few minutes and would be thrown out or told nonsense.",
        to_do: ANOTHER,
    },
    Check {
        id: "gmnet_unknown",
        name: "unknown commands ignored",
        run: questions::unknown,
        meaning: "Games with newer commands could not use this server.",
        to_do: ANOTHER,
    },
    Check {
        id: "gmnet_lobby",
        name: "lobby2",
        run: questions::lobby,
        meaning: "Players see no list of games.",
        to_do: ANOTHER,
    },
    Check {
        id: "gmnet_not_found",
        name: "not found",
        run: questions::not_found,
        meaning: "Players who ask for a host that has gone wait for ever.",
        to_do: ANOTHER,
    },
    Check {
        id: "gmnet_register",
        name: "reg2",
        run: meeting::register,
        meaning: "Hosts cannot register, so nobody can join them.",
        to_do: "Look into the server's log: it says why it refuses a host.",
    },
    Check {
        id: "gmnet_introduction",
        name: "UDP and connect",
        run: meeting::introduction,
        meaning: "Players are told wrong ports, or none, and do not connect.",
        to_do: "Open the same port for UDP, in the server's firewall and in its provider's. If others get \
                through, the network here lets no UDP out: try from another one.",
    },
    Check {
        id: "gmnet_message_end",
        name: "end of the host's message",
        run: meeting::terminated,
        meaning: "A game can crash when two players join at the same moment.",
        to_do: ANOTHER,
    },
    Check {
        id: "gmnet_two_at_once",
        name: "two players at once",
        run: meeting::two_at_once,
        meaning: "Of players who join at the same moment only the first gets through most NATs.",
        to_do: ANOTHER,
    },
    Check {
        id: "gmnet_older",
        name: "older protocol",
        run: meeting::older,
        meaning: "Games made after the published description cannot use this server.",
        to_do: ANOTHER,
    },
];
