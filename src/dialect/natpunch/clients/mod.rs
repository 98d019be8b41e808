//! Who is registered, and from where.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use rand::Rng;

use super::by_game::ByGame;
use super::id::Uuid;
use crate::blocks::Blocks;
use crate::clock::Instant;
use crate::dialect::Keeping;
use crate::dialect::route::Route;
use crate::hash::Map;
use crate::holders::Holders;
use crate::limits;
use crate::prefixes::KeysBySource;
use crate::timers::Timers;

mod listing;
mod remote;
mod returning;

use listing::Listing;
use remote::Remote;
pub(super) use remote::Told;
use returning::Gone;
use serde::{Deserialize, Serialize};

/// A registered client.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Client {
    /// Where it is, as its datagrams show.
    pub(super) endpoint: SocketAddr,
    /// Where it registered, or has been for long.
    home: SocketAddr,
    /// When it came to its endpoint.
    moved: Instant,
    /// The port that says that it is this client now.
    claim: Option<Claim>,
    /// How to reach it.
    pub(super) via: Route,
    /// Where it is, as it sees itself.
    pub(super) local: Option<SocketAddr>,
    /// When its endpoint was heard of last.
    pub(super) heard: Instant,
    /// It has used its ID, so it has read what it was sent: nobody forged its registration.
    pub(super) proven: bool,
    /// The lobbies that it is in, or wants to get into.
    pub(super) lobbies: Vec<Uuid>,
    /// The game that it belongs to.
    pub(super) game: Box<str>,
    /// Which program it is, as far as it has shown.
    pub(super) program: Program,
    /// Whether lists of clients have it.
    listing: Listing,
    /// In how many lobbies it is host of somebody who comes from elsewhere. Such a client gives way to
    /// nobody.
    hosting: u32,
    /// Counts registrations.
    number: u64,
}

/// What is known of the program that a client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Program {
    #[default]
    Unknown,
    /// That of August 2025, whose server takes clients into a lobby at once: so its host never says
    /// that it has met them.
    SaysNothing,
    /// A newer one, whose host says so.
    SaysReady,
}

/// How somebody registers.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) via: Route,
    pub(super) endpoint: SocketAddr,
    /// Where it is, as it sees itself.
    pub(super) local: Option<SocketAddr>,
    pub(super) game: Box<str>,
}

/// Somebody who says that he is a client that was at another port.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Claim {
    endpoint: SocketAddr,
    since: Instant,
}

/// Who gives way before others: those in no lobby, and of these the newest.
type Rank = (bool, u64, Uuid);

impl Client {
    fn new(now: Instant, (via, endpoint): (Route, SocketAddr), game: Box<str>) -> Self {
        Self {
            endpoint,
            home: endpoint,
            moved: now,
            claim: None,
            via,
            local: None,
            heard: now,
            proven: false,
            lobbies: Vec::new(),
            game,
            program: Program::Unknown,
            listing: Listing::Not,
            hosting: 0,
            number: 0,
        }
    }

    /// Since when it has been where it is.
    pub(super) fn moved(&self) -> Instant {
        self.moved
    }

    fn rank(&self, id: Uuid) -> Rank {
        (self.lobbies.is_empty(), self.number, id)
    }
}

/// Why somebody cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There are too many clients.
    Full,
    /// Its address has too many.
    AddressFull,
}

impl Refusal {
    /// For people.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Full => "Server is full",
            Self::AddressFull => "Too many clients from this address",
        }
    }
}

/// All registered clients. Those whose registration may be forged are given up first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Clients {
    /// What is large is not in the table itself, half of which may be empty.
    all: HashMap<Uuid, Box<Client>>,
    by_endpoint: HashMap<SocketAddr, Uuid>,
    by_source: KeysBySource<Uuid>,
    shares: Holders<Rank>,
    registered: u64,
    unproven: Timers<Uuid>,
    proven: Timers<Uuid>,
    /// Those who can be met without a lobby.
    by_game: ByGame,
    gone: Timers<Uuid, Gone>,
    /// Those of other nodes.
    #[serde(skip)]
    elsewhere: Map<Uuid, Remote>,
    /// Which of those of this node others may have to be told; none: there are no others.
    #[serde(skip)]
    pub(super) news: Option<Vec<Uuid>>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            all: HashMap::new(),
            by_endpoint: HashMap::new(),
            by_source: KeysBySource::default(),
            shares: Holders::default(),
            registered: 0,
            unproven: Timers::new(limits::NATPUNCH_SILENCE),
            proven: Timers::new(limits::NATPUNCH_SILENCE),
            by_game: ByGame::default(),
            gone: Timers::new(limits::NATPUNCH_GONE),
            elsewhere: Map::default(),
            news: None,
        }
    }
}

impl Clients {
    /// Goes on with the clients of another process.
    pub(super) fn restore(&mut self, saved: Self) {
        let Self { all, by_endpoint, by_source, shares, registered, .. } = saved;
        (self.all, self.by_endpoint, self.by_source) = (all, by_endpoint, by_source);
        (self.shares, self.registered) = (shares, registered);
        self.unproven.restore(saved.unproven);
        self.proven.restore(saved.proven);
        self.gone.restore(saved.gone);
        self.list_anew();
    }

    /// At most so many whose addresses are blocked.
    pub(super) fn blocked(&self, blocks: &Blocks, most: usize) -> Vec<Uuid> {
        let blocked = self.all.iter().filter(|(_, client)| blocks.has(client.endpoint.ip()));
        blocked.map(|(id, _)| *id).take(most).collect()
    }

    /// A client of any node.
    pub(super) fn get(&self, id: Uuid) -> Option<&Client> {
        let own = self.all.get(&id).map(|client| &**client);
        own.or_else(|| self.elsewhere.get(&id).map(|remote| &*remote.client))
    }

    /// A client of any node.
    pub(super) fn get_mut(&mut self, id: Uuid) -> Option<&mut Client> {
        let own = self.all.get_mut(&id).map(|client| &mut **client);
        own.or_else(|| self.elsewhere.get_mut(&id).map(|remote| &mut *remote.client))
    }

    /// Whether there is a client with this ID at this node.
    pub(super) fn is_known(&self, id: &str) -> bool {
        id.parse().is_ok_and(|id: Uuid| self.all.contains_key(&id))
    }

    /// Who is at an endpoint.
    pub(super) fn at(&self, endpoint: SocketAddr) -> Option<Uuid> {
        self.by_endpoint.get(&endpoint).copied()
    }

    /// Whether an endpoint is that of somebody who wants to hear from us.
    pub(super) fn is_proven(&self, endpoint: SocketAddr) -> bool {
        self.at(endpoint).and_then(|id| self.get(id)).is_some_and(|client| client.proven)
    }

    /// The client with this ID, if it is what sent a datagram: then it is alive, and real.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        id: &str,
        via: Route,
        endpoint: SocketAddr,
    ) -> Option<Uuid> {
        let id = id.parse().ok()?;
        let client = self.all.get_mut(&id).filter(|client| client.endpoint == endpoint)?;
        // By another node anybody may have sent it who knows the ID and this endpoint: its answers went there.
        if via.node.is_some_and(|node| client.via.node != Some(node))
            && now - client.heard < limits::NATPUNCH_MOVE
        {
            return None;
        }
        if let Some(news) = self.news.as_mut().filter(|_| !client.proven) {
            news.push(id);
        }
        client.heard = now;
        client.proven = true;
        client.claim = None;
        if client.home != endpoint && now - client.moved >= limits::NATPUNCH_SETTLED {
            client.home = endpoint;
        }
        client.via = via;
        self.unproven.cancel(&id);
        self.proven.arm(now, id);
        self.put_on_list(id);
        Some(id)
    }

    /// Something came from an endpoint: who is there lives. Without its ID it may be forged, so it says
    /// nothing against a client that says that it has moved.
    pub(super) fn touch(&mut self, now: Instant, endpoint: SocketAddr) {
        let Some(id) = self.at(endpoint) else { return };
        let is_proven = self.get(id).is_some_and(|client| client.proven);
        let timers = if is_proven { &mut self.proven } else { &mut self.unproven };
        timers.arm(now, id);
    }

    /// A client has shown which program it is. What it has shown with its ID is not believed to be otherwise.
    pub(super) fn note_program(&mut self, id: Uuid, program: Program) {
        if let Some(client) = self.get_mut(id)
            && client.program != program
            && client.program != Program::SaysReady
        {
            client.program = program;
            self.changed(id);
        }
    }

    /// Registers who is at an endpoint, or gives it the ID that it has.
    pub(super) fn register(
        &mut self,
        now: Instant,
        arrival: Arrival,
        rng: &mut impl Rng,
    ) -> Result<Uuid, Refusal> {
        if let Some(id) = self.at(arrival.endpoint)
            && let Some(client) = self.all.get_mut(&id)
        {
            // Of one that has shown its ID this may be forged, and nothing changes but that it lives.
            if !client.proven {
                client.game = arrival.game;
                client.heard = now;
                client.via = arrival.via;
                client.local = arrival.local.or(client.local);
            }
            self.touch(now, arrival.endpoint);
            return Ok(id);
        }
        self.make_room(arrival.endpoint.ip())?;
        let id = Uuid::random(rng);
        self.insert(now, id, arrival, Listing::Not);
        Ok(id)
    }

    fn insert(&mut self, now: Instant, id: Uuid, arrival: Arrival, listing: Listing) {
        let Arrival { via, endpoint, local, game } = arrival;
        self.registered += 1;
        let new = Client::new(now, (via, endpoint), game);
        let client = Client { local, listing, number: self.registered, ..new };
        self.shares.change(endpoint.ip(), client.rank(id), 0, 1);
        self.all.insert(id, Box::new(client));
        self.by_endpoint.insert(endpoint, id);
        self.by_source.add(endpoint.ip(), id);
        self.unproven.arm(now, id);
    }

    fn make_room(&mut self, addr: IpAddr) -> Result<(), Refusal> {
        let of_source = self.by_source.of(addr);
        if of_source.len() >= limits::NATPUNCH_CLIENTS_PER_ADDRESS {
            let is_unproven = |id: &&Uuid| self.get(**id).is_some_and(|client| !client.proven);
            let oldest = of_source.iter().find(is_unproven).copied();
            self.remove(oldest.ok_or(Refusal::AddressFull)?);
        }
        if self.all.len() >= limits::NATPUNCH_CLIENTS {
            let oldest = self.unproven.pop().ok_or(Refusal::Full)?;
            self.remove(oldest);
        }
        Ok(())
    }

    /// Who has to go before a client of this address can be registered, if there is no room: one of
    /// the network that has most. The client may be in a lobby.
    pub(super) fn in_the_way(&self, addr: IpAddr) -> Option<Uuid> {
        let is_full = self.all.len() >= limits::NATPUNCH_CLIENTS
            && self.unproven.is_empty()
            && self.by_source.of(addr).len() < limits::NATPUNCH_CLIENTS_PER_ADDRESS;
        if is_full { self.shares.eviction_candidate(addr, 1).map(|(_, _, id)| id) } else { None }
    }

    /// A client is in a lobby, or wants to get into it.
    pub(super) fn enter(&mut self, id: Uuid, lobby: Uuid) {
        self.change(id, |client| client.lobbies.push(lobby));
    }

    /// It is not any more.
    pub(super) fn exit(&mut self, id: Uuid, lobby: Uuid) {
        self.change(id, |client| client.lobbies.retain(|other| *other != lobby));
    }

    /// A client is host of somebody who comes from elsewhere in one lobby more, or in one less.
    pub(super) fn is_host_of_others(&mut self, id: Uuid, is_host: bool) {
        self.change(id, |client| match is_host {
            true => client.hosting += 1,
            false => client.hosting = client.hosting.saturating_sub(1),
        });
    }

    fn change(&mut self, id: Uuid, change: impl FnOnce(&mut Client)) {
        let Some(client) = self.all.get_mut(&id) else {
            // It has its share at its own node.
            if let Some(client) = self.get_mut(id) {
                change(client);
            }
            return;
        };
        uncount(&mut self.shares, id, client);
        change(client);
        let addr = client.endpoint.ip();
        self.shares.change(addr, client.rank(id), 0, 1);
        if client.hosting > 0 {
            self.shares.protect(addr, client.rank(id), 1);
        }
    }

    /// A client says that it is at another port of its address now. IDs are no secret to those it
    /// plays with, and one of them could forge this. So it is believed if its old endpoint has gone
    /// quiet and since then the new one alone has kept saying so. The endpoint where it was before
    /// is believed at once, whoever has taken its place, until the new one has stood for
    /// [`limits::NATPUNCH_SETTLED`].
    pub(super) fn move_to(
        &mut self,
        now: Instant,
        id: &str,
        via: Route,
        endpoint: SocketAddr,
    ) -> Option<Uuid> {
        let id = id.parse().ok()?;
        let is_home = self.all.get(&id)?.home == endpoint && via.node.is_none();
        if let Some(other) = self.at(endpoint) {
            // Who has proven nothing may be forged to stand in the way.
            if !is_home || self.is_proven(endpoint) {
                return None;
            }
            self.remove(other);
        }
        let client = self.all.get_mut(&id)?;
        if client.endpoint.ip() != endpoint.ip() {
            return None;
        }
        if !is_home {
            let same = client.claim.filter(|claim| claim.endpoint == endpoint);
            let claim = same.unwrap_or(Claim { endpoint, since: now });
            client.claim = Some(claim);
            if now - client.heard < limits::NATPUNCH_MOVE
                || now - claim.since < limits::NATPUNCH_CLAIM
            {
                return None;
            }
        }
        self.by_endpoint.remove(&client.endpoint);
        client.endpoint = endpoint;
        client.moved = now;
        self.by_endpoint.insert(endpoint, id);
        (client.heard, client.via) = (now, via);
        self.changed(id);
        self.hear(now, &id.to_string(), via, endpoint)
    }

    /// Forgets a client.
    pub(super) fn remove(&mut self, id: Uuid) -> Option<Client> {
        let client = self.all.remove(&id)?;
        if client.proven {
            self.changed(id);
        }
        self.by_endpoint.remove(&client.endpoint);
        self.unproven.cancel(&id);
        self.proven.cancel(&id);
        self.by_source.remove(client.endpoint.ip(), &id);
        if let Listing::At(place) = client.listing {
            self.take_off_list(&client.game, client.endpoint.ip(), id, place);
        }
        uncount(&mut self.shares, id, &client);
        Some(*client)
    }

    /// A client that has been silent for too long; it is not armed any more.
    pub(super) fn pop_silent(&mut self, now: Instant) -> Option<Uuid> {
        self.unproven.pop_due(now).or_else(|| self.proven.pop_due(now))
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.unproven.next().into_iter().chain(self.proven.next()).min()
    }

    /// How many there are, of this node and others. Who is gone keeps its ID for a while, if it comes back.
    pub(super) fn kept(&self, each: &mut Keeping<'_>) {
        each("natpunch: clients", self.all.len());
        each("natpunch: endpoints", self.by_endpoint.len());
        each("natpunch: clients of other nodes", self.elsewhere.len());
        each("natpunch: games with clients", self.by_game.len());
    }

    /// How many there are at this node.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

fn uncount(shares: &mut Holders<Rank>, id: Uuid, client: &Client) {
    let addr = client.endpoint.ip();
    if client.hosting > 0 {
        shares.release(addr, client.rank(id), 1);
    }
    shares.change(addr, client.rank(id), 1, 0);
}
