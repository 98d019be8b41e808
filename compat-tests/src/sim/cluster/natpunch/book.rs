//! Whose an ID, a lobby and an endpoint is, and what must never be told of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use punchd::clock::Instant;
use punchd::dialect::natpunch::message::{ClientInfo, Endpoint};
use punchd::limits::NATPUNCH_SILENCE;

use super::client::Client;

/// Who has, or had, an ID.
#[derive(Clone, Debug)]
pub struct Own {
    /// Which client.
    pub client: usize,
    /// The node that it has it from.
    pub home: usize,
    /// Since when.
    pub since: Instant,
    /// Its client has another one since then, or its node is dead.
    pub until: Option<Instant>,
}

/// A lobby that was made.
#[derive(Clone, Debug)]
pub struct Lobby {
    /// At which node.
    pub node: usize,
    /// When that died.
    pub died: Option<Instant>,
}

/// That a client is in a lobby, or may be.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// How often it has asked for that. It may be let in each time.
    pub asked: u32,
    /// When it asked last.
    pub last: Instant,
    /// Since when it is out.
    pub out: Option<Instant>,
}

/// All that was ever given to anybody.
#[derive(Debug, Default)]
pub struct Book {
    /// Who has which ID.
    pub ids: BTreeMap<String, Own>,
    /// Lobbies by their IDs.
    pub lobbies: BTreeMap<String, Lobby>,
    /// Who is in which lobby: the ID, and the lobby's.
    pub entries: BTreeMap<(String, String), Entry>,
    /// Which client has given a lobby this name.
    names: BTreeMap<String, String>,
    /// Who has asked for whom: when last, and how often.
    meetings: BTreeMap<[String; 2], (Instant, u32)>,
    /// How often a client was told something that concerns a lobby: the client, what, and the lobby.
    told: BTreeMap<(usize, String, String), u32>,
}

/// What is told, and how long ago at most what is told of was so.
#[derive(Clone, Copy, Debug)]
pub struct When {
    /// The time.
    pub now: Instant,
    /// So long somebody may be late.
    pub late: Duration,
}

impl Book {
    /// A name that no lobby has had, for one that the client with this ID makes.
    pub fn new_name(&mut self, id: String) -> String {
        let name = format!("l{}", self.names.len());
        self.names.insert(name.clone(), id);
        name
    }

    /// A lobby is there. Returns the node that it is at: that of who has made it.
    ///
    /// # Errors
    /// If nobody has.
    pub fn open(&mut self, lobby: &str, name: &str) -> Result<usize, String> {
        let id = self.names.get(name).ok_or("nobody has made a lobby of that name")?;
        let node = self.ids.get(id).ok_or("nobody has that ID")?.home;
        self.lobbies.insert(lobby.into(), Lobby { node, died: None });
        self.entries.insert((id.clone(), lobby.into()), Entry { asked: 1, ..Entry::default() });
        Ok(node)
    }

    /// A client has got an ID: a new one of this node, or one that it has had, also by way of another node.
    ///
    /// # Errors
    /// If it is that of another one.
    pub fn own(&mut self, now: Instant, id: &str, (n, node): (usize, usize)) -> Result<(), String> {
        let new = Own { client: n, home: node, since: now, until: None };
        let own = self.ids.entry(id.into()).or_insert(new);
        (own.since, own.until) = (now, None);
        let is_own = own.client == n;
        is_own.then_some(()).ok_or_else(|| format!("that is the ID of client {}", own.client))
    }

    /// A client has this ID no more.
    pub fn give_up(&mut self, now: Instant, id: &str) {
        self.ids.get_mut(id).into_iter().for_each(|own| _ = own.until.get_or_insert(now));
    }

    /// A node has died.
    pub fn died(&mut self, now: Instant, node: usize) {
        for own in self.ids.values_mut().filter(|own| own.home == node) {
            own.until.get_or_insert(now);
        }
        for lobby in self.lobbies.values_mut().filter(|lobby| lobby.node == node) {
            lobby.died.get_or_insert(now);
        }
    }

    /// A client asks to be let into a lobby.
    pub fn asks_to_join(&mut self, now: Instant, id: &str, lobby: &str) {
        let entry = self.entries.entry((id.into(), lobby.into())).or_default();
        *entry = Entry { asked: entry.asked + 1, last: now, out: None };
    }

    /// A client asks for another one.
    pub fn asks_to_meet(&mut self, now: Instant, [id, other]: [&str; 2]) {
        let meeting = self.meetings.entry([id.into(), other.into()]).or_insert((now, 0));
        *meeting = (now, meeting.1 + 1);
    }

    /// A client is out of a lobby.
    pub fn is_out(&mut self, now: Instant, id: &str, lobby: &str) {
        if let Some(entry) = self.entries.get_mut(&(id.to_owned(), lobby.to_owned())) {
            entry.out.get_or_insert(now);
        }
    }

    /// A client says nothing from now on until it is out of all lobbies.
    pub fn is_silent(&mut self, now: Instant, id: &str) {
        for ((_, _), entry) in self.entries.iter_mut().filter(|((who, _), _)| who == id) {
            entry.out.get_or_insert(now + NATPUNCH_SILENCE);
        }
    }

    /// Whether who has this ID may be in a lobby, or may have been so shortly before that not all have heard of it.
    #[must_use]
    pub fn may_be_in(&self, id: &str, lobby: &str, when: When) -> bool {
        let entry = self.entries.get(&(id.to_owned(), lobby.to_owned()));
        let given_up = self.ids.get(id).and_then(|own| own.until);
        let end = given_up.map(|until| until + NATPUNCH_SILENCE);
        entry.is_some_and(|entry| {
            let end = end.into_iter().chain(entry.out).min();
            entry.asked > 0 && end.is_none_or(|end| when.now.since(end) < when.late)
        })
    }

    /// The IDs that a client has, or had.
    pub fn ids_of(&self, n: usize) -> impl Iterator<Item = &str> {
        self.ids.iter().filter(move |(_, own)| own.client == n).map(|(id, _)| &**id)
    }

    /// Whether a client may be told something of a lobby.
    #[must_use]
    pub fn concerns(&self, n: usize, lobby: &str, when: When) -> bool {
        self.ids_of(n).any(|id| self.may_be_in(id, lobby, when))
    }

    /// How often a client, with any of its IDs, or all clients, have asked to be in a lobby.
    fn asked(&self, n: Option<usize>, lobby: &str) -> u32 {
        let all = self.entries.iter().filter(|((id, of), _)| {
            of == lobby && n.is_none_or(|n| self.ids.get(id).is_some_and(|own| own.client == n))
        });
        all.map(|(_, entry)| entry.asked).sum()
    }

    /// Checks what is told of where somebody is.
    ///
    /// # Errors
    /// If it was never there.
    pub fn check_at(
        &self,
        clients: &[Client],
        id: &str,
        at: Option<&Endpoint>,
        when: When,
    ) -> Result<(), String> {
        let own = self.ids.get(id).ok_or("nobody has that ID")?;
        let client = clients.get(own.client).ok_or("nobody has that ID")?;
        let at: SocketAddr = at.and_then(parse).ok_or("no endpoint is told")?;
        // The next one begins where this one ends; who is at another port is believed after a while.
        let ends = client.endpoints.iter().skip(1).map(|(_, since)| Some(*since)).chain([None]);
        let last = own.until.unwrap_or(when.now).min(when.now);
        let is_there = client.endpoints.iter().zip(ends).any(|((own_at, _), end)| {
            *own_at == at
                && end.is_none_or(|end| end >= own.since && last.since(end) < 2 * when.late)
        });
        is_there.then_some(()).ok_or_else(|| format!("it is not at {at}: {:?}", client.endpoints))
    }

    /// Checks what is told of a member of a lobby.
    ///
    /// # Errors
    /// If it is not in it, or not there.
    pub fn check_member(
        &self,
        clients: &[Client],
        lobby: &str,
        info: &ClientInfo,
        when: When,
    ) -> Result<(), String> {
        let id = &info.client_id;
        self.check_at(clients, id, info.public_endpoint.as_ref(), when)?;
        let is_in = self.may_be_in(id, lobby, when);
        is_in.then_some(()).ok_or_else(|| {
            let entry = self.entries.get(&(id.clone(), lobby.to_owned()));
            format!("{id} is not in the lobby: {entry:?} {:?}", self.ids.get(id))
        })
    }

    /// Checks that a client is told of another one.
    ///
    /// # Errors
    /// If they have nothing to do with each other.
    pub fn check_meeting(&self, n: usize, other: &str, when: When) -> Result<(), String> {
        let is_shared = |id: &str| {
            let mut lobbies = self.lobbies.keys();
            lobbies
                .any(|lobby| self.may_be_in(id, lobby, when) && self.may_be_in(other, lobby, when))
        };
        let has_asked = |one: &str, other: &str| {
            let last = self.meetings.get(&[one.to_owned(), other.to_owned()]);
            last.is_some_and(|(at, _)| when.now.since(*at) < when.late)
        };
        let may_meet = |id| is_shared(id) || has_asked(id, other) || has_asked(other, id);
        let may_meet = self.ids_of(n).any(may_meet);
        may_meet.then_some(()).ok_or_else(|| "they are in no lobby together".into())
    }

    /// Counts that a client was told something of a lobby, which comes no more often than somebody asks to be in it:
    /// the client itself, or `who` or anybody.
    ///
    /// # Errors
    /// If it comes more often.
    pub fn count(
        &mut self,
        n: usize,
        (what, who): (&str, Option<&str>),
        lobby: &str,
    ) -> Result<(), String> {
        let of_who = |id: &str| self.entries.get(&(id.to_owned(), lobby.to_owned()));
        let most = match (what, who) {
            ("left", Some(id)) => of_who(id).map_or(0, |entry| entry.asked),
            ("lobby_closed", _) => self.asked(Some(n), lobby),
            _ => self.asked(None, lobby),
        };
        // Who has got another ID may be in it with both.
        let own = self.ids_of(n).filter(|id| of_who(id).is_some()).count() as u32;
        let key = (n, format!("{what} {}", who.unwrap_or_default()), lobby.to_owned());
        let told = self.told.entry(key).or_default();
        *told += 1;
        let is_fine = *told <= most * own.max(1);
        is_fine.then_some(()).ok_or_else(|| format!("it is told {told} times, not {most}"))
    }

    /// How often a client may be told where another one is: twice for each time that one of them asks to be in a lobby
    /// of both, once if another host of it leaves, or one of them comes to another port, and as often as they ask for
    /// each other.
    #[must_use]
    pub fn most_told(&self, clients: &[Client], n: usize, other: &str) -> u32 {
        let Some(of) = self.ids.get(other) else { return 0 };
        let ports = |n: usize| clients.get(n).map_or(0, |client| client.endpoints.len() as u32 - 1);
        let mut most = 0;
        for lobby in self.lobbies.keys() {
            let [own, its] = [n, of.client].map(|n| self.asked(Some(n), lobby));
            if own > 0 && its > 0 {
                most += 2 * (own + its) + ports(n) + ports(of.client);
                let all = self.entries.iter().filter(|((_, of), _)| of == lobby);
                most += all.filter(|(_, entry)| entry.out.is_some()).count() as u32;
            }
        }
        let is_of = |id: &String, n| self.ids.get(id).is_some_and(|own| own.client == n);
        let of_both = |[one, other]: &[String; 2]| {
            is_of(one, n) && is_of(other, of.client) || is_of(one, of.client) && is_of(other, n)
        };
        let meetings = self.meetings.iter().filter(|(pair, _)| of_both(pair));
        most + meetings.map(|(_, (_, times))| times).sum::<u32>()
    }
}

/// An endpoint as it is told.
#[must_use]
pub fn parse(at: &Endpoint) -> Option<SocketAddr> {
    Some(SocketAddr::new(at.ip_address.parse().ok()?, u16::try_from(at.port).ok()?))
}
