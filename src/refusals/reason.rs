//! Why something is refused: a closed list, with the names that programs know and the words for people.

/// Why something was refused. What one player refuses another (a full room, a wrong password) is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The owner has named its address in the file of `--block`.
    Blocked,
    /// Its address has as many connections, or clients, as one may have (`--max-per-address`).
    ConnectionsOfAddress,
    /// There is no room for more connections (`--max-connections`).
    Connections,
    /// It had a connection, and others needed the room.
    GaveWay,
    /// Its address sends more datagrams than are heard (`--max-datagrams`).
    Datagrams,
    /// Its address asks for more than it may (`--max-commands`).
    Requests,
    /// It did not show a key of `--key`.
    Key,
    /// Its game is not one of `--games`.
    Game,
    /// Its game has a version of GMnet PUNCH that is too old, or none.
    Version,
    /// It is of no protocol, or cannot be understood.
    Malformed,
    /// It is longer than any request may be.
    TooLong,
    /// It stopped in the middle of something, or too much of it was unfinished.
    Unfinished,
    /// The data of a host or a room is longer than its address may have.
    Data,
    /// Its address has as many hosts, rooms or lobbies as one may have (`--max-hosts`).
    HostsOfAddress,
    /// All places of hosts, rooms or clients are taken.
    Places,
    /// It speaks a dialect that `--dialects` leaves out.
    NotSpoken,
    /// It asks for a web page at the port of the games, and there is no `--public-lobby`.
    Page,
    /// TLS: it wants it and there is no certificate, or does not and has to, or it came to nothing.
    Tls,
    /// One side has IPv4 and the other IPv6.
    Family,
    /// Its address has guessed codes or passwords wrong too often.
    Guesses,
    /// The relay has no room for two players.
    Relay,
    /// It asks for more than it reads.
    Unread,
    /// Its address has proven nothing: it gets no more than it has paid for, and others are not told of it yet.
    Unproven,
    /// Of events: the ID that it wants is somebody else's.
    IdTaken,
}

impl Reason {
    /// All of them, in this order.
    pub const ALL: [Self; 24] = [
        Self::Blocked,
        Self::ConnectionsOfAddress,
        Self::Connections,
        Self::GaveWay,
        Self::Datagrams,
        Self::Requests,
        Self::Key,
        Self::Game,
        Self::Version,
        Self::Malformed,
        Self::TooLong,
        Self::Unfinished,
        Self::Data,
        Self::HostsOfAddress,
        Self::Places,
        Self::NotSpoken,
        Self::Page,
        Self::Tls,
        Self::Family,
        Self::Guesses,
        Self::Relay,
        Self::Unread,
        Self::Unproven,
        Self::IdTaken,
    ];

    /// What programs call it. These names stay what they are.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::ConnectionsOfAddress => "connections_of_address",
            Self::Connections => "connections",
            Self::GaveWay => "gave_way",
            Self::Datagrams => "datagrams",
            Self::Requests => "requests",
            Self::Key => "key",
            Self::Game => "game",
            Self::Version => "version",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Unfinished => "unfinished",
            Self::Data => "data",
            Self::HostsOfAddress => "hosts_of_address",
            Self::Places => "places",
            Self::NotSpoken => "not_spoken",
            Self::Page => "page",
            Self::Tls => "tls",
            Self::Family => "family",
            Self::Guesses => "guesses",
            Self::Relay => "relay",
            Self::Unread => "unread",
            Self::Unproven => "unproven",
            Self::IdTaken => "id_taken",
        }
    }

    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Blocked => "its address is blocked",
            Self::ConnectionsOfAddress => "its address has too many connections",
            Self::Connections => "no room for more connections",
            Self::GaveWay => "closed, as others needed the room",
            Self::Datagrams => "its address sends too many datagrams",
            Self::Requests => "its address asks too often",
            Self::Key => "it has no key of this server",
            Self::Game => "its game is not of this server",
            Self::Version => "its version of GMnet PUNCH does not work",
            Self::Malformed => "it is not understood",
            Self::TooLong => "it is too long",
            Self::Unfinished => "it stopped in the middle",
            Self::Data => "the data of its hosts is too long",
            Self::HostsOfAddress => "its address has too many hosts",
            Self::Places => "all places are taken",
            Self::NotSpoken => "its dialect is not spoken",
            Self::Page => "it asks for a web page",
            Self::Tls => "it has no TLS, or its handshake failed",
            Self::Family => "one has IPv4 and the other IPv6",
            Self::Guesses => "its address guesses codes or passwords",
            Self::Relay => "the relay has no room",
            Self::Unread => "it does not read",
            Self::Unproven => "its address has proven nothing yet",
            Self::IdTaken => "the ID that it wants is somebody else's",
        }
    }

    /// The option that would let more of it in, if there is one.
    #[must_use]
    pub const fn option(self) -> Option<&'static str> {
        match self {
            Self::Blocked => Some("--block"),
            Self::ConnectionsOfAddress => Some("--max-per-address"),
            Self::Connections | Self::GaveWay => Some("--max-connections"),
            Self::Datagrams => Some("--max-datagrams"),
            Self::Requests => Some("--max-commands"),
            Self::Key => Some("--key"),
            Self::Game => Some("--games"),
            Self::HostsOfAddress => Some("--max-hosts"),
            Self::NotSpoken => Some("--dialects"),
            Self::Page => Some("--public-lobby"),
            Self::Tls => Some("--tls-cert"),
            Self::Family => Some("--relay"),
            Self::Version
            | Self::Malformed
            | Self::TooLong
            | Self::Unfinished
            | Self::Data
            | Self::Places
            | Self::Guesses
            | Self::Relay
            | Self::Unread
            | Self::Unproven
            | Self::IdTaken => None,
        }
    }
}
