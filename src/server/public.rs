//! The lobby for web sites, on the port of the games: what lists show to everybody, and nothing else.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Config, Server};
use crate::admission::Admission;
use crate::clock::{Instant, Now};
use crate::dialect::{Asked, ConnId, Dialect as _, Name, Outbox, Reads};
use crate::http::answer::Body;
use crate::http::{Answer, Answering, Http, Request, Status};
use crate::introductions::is_inside;
use crate::limits;
use crate::places::Conn;
use crate::rates::Rates;
use crate::refusals::Reason;
use crate::timers::Timers;

/// Who asks for the lobby, and what was told lately.
#[derive(Debug)]
pub(super) struct Public {
    http: Http,
    admission: Admission,
    rates: Rates,
    /// By what was asked and from which side.
    kept: Timers<String, Vec<u8>>,
}

impl Public {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            http: Http::default(),
            admission: config.gmnet.admission.clone(),
            rates: Rates::new(config.limits.commands_per_second, 10),
            kept: Timers::new(limits::LOBBY_KEPT),
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.http.next_wakeup()
    }

    pub(super) fn forget(&mut self, id: ConnId) {
        self.http.forget(id);
    }

    pub(super) fn reads(&self, id: ConnId) -> Reads {
        self.http.reads(id)
    }

    pub(super) fn note_unread(&mut self, id: ConnId, bytes: usize) {
        self.http.note_unread(id, bytes);
    }
}

impl Server {
    /// Whether a connection has begun to speak HTTP.
    pub(super) fn speaks_http(&self, id: ConnId) -> bool {
        self.public.as_ref().is_some_and(|public| public.http.has(id))
    }

    /// When such a connection has asked last.
    pub(super) fn last_asked(&self, id: ConnId) -> Option<Instant> {
        self.public.as_ref()?.http.last_asked(id)
    }

    /// A connection begins to speak HTTP. If there are too many, another gives way.
    pub(super) fn begin_http(&mut self, now: Now, id: ConnId, out: &mut Outbox) {
        let Some(public) = &mut self.public else { return };
        let is_full = public.http.len() >= limits::LOBBY_CONNECTIONS;
        public.http.open(now.instant, id);
        if let Some(other) = public.http.who_gives_way().filter(|_| is_full) {
            self.forget(other);
            out.close(other);
        }
    }

    pub(super) fn read_http(&mut self, now: Now, id: ConnId, bytes: &[u8], out: &mut Outbox) {
        self.with_public(now, id, out, |http, out, answering| {
            http.read(now, id, bytes, out, answering);
        });
    }

    pub(super) fn end_http(&mut self, now: Now, id: ConnId, out: &mut Outbox) {
        self.with_public(now, id, out, |http, out, _| http.fin(id, out));
    }

    /// The time has come that the lobby has asked for.
    pub(super) fn wake_public(&mut self, now: Now, out: &mut Outbox) {
        let Some(public) = &mut self.public else { return };
        while public.kept.take_due(now.instant).is_some() {}
        let Some(next) = public.http.next_waiting() else {
            let before = out.len();
            public.http.wake(now, out, &mut |_| Answer::error(Status::Internal));
            return self.forget_closed(before, out);
        };
        self.with_public(now, next, out, |http, out, answering| http.wake(now, out, answering));
    }

    /// Does something with the connections, and answers what this one asks by that.
    fn with_public(
        &mut self,
        now: Now,
        id: ConnId,
        out: &mut Outbox,
        act: impl FnOnce(&mut Http, &mut Outbox, &mut Answering<'_>),
    ) {
        let Some(viewer) = self.places.get(id).map(|conn: &Conn| conn.peer().ip()) else { return };
        let Some(mut public) = self.public.take() else { return };
        let before = out.len();
        let Public { http, admission, rates, kept } = &mut *public;
        let mut refused = None;
        act(http, out, &mut |request| {
            let answer = if rates.allow(now.instant, viewer) {
                self.lobby(now, admission, kept, viewer, request)
            } else {
                Err((Status::Unavailable, Some(Reason::Requests)))
            };
            answer.unwrap_or_else(|(status, reason)| {
                refused = reason;
                let mut answer = Answer::error(status).for_everybody();
                if status == Status::Unauthorized {
                    let why = "401 Unauthorized: this server wants a key: /lobby?key=KEY\n";
                    answer.body = Body::Text(why.into());
                }
                answer
            })
        });
        self.public = Some(public);
        if let Some(reason) = refused {
            self.refused(now, reason, viewer);
        }
        self.forget_closed(before, out);
    }

    /// The lobby that is asked for.
    fn lobby(
        &self,
        now: Now,
        admission: &Admission,
        kept: &mut Timers<String, Vec<u8>>,
        viewer: IpAddr,
        request: &Request<'_>,
    ) -> Result<Answer, (Status, Option<Reason>)> {
        if request.path != "/lobby" {
            return Err((Status::NotFound, None));
        }
        let game = request.asked("game").unwrap_or_default();
        let key = request.asked("key");
        if admission.asks_for_key() && !admission.admits(key.as_deref(), &game) {
            return Err((Status::Unauthorized, Some(Reason::Key)));
        }
        // Hosts of other games are not registered here; nobody has done harm who asks for all.
        if !admission.asks_for_key() && !game.is_empty() && !admission.admits(None, &game) {
            return Err((Status::NotFound, Some(Reason::Game)));
        }
        let key = key.as_deref().filter(|_| admission.asks_for_key());
        let asked = Asked {
            game: &game,
            key,
            viewer,
            of_both_families: self.shared.relay.joins_families(),
            most: request
                .asked_number("limit")
                .map_or(limits::LOBBY_ROWS, |n| n.min(limits::LOBBY_ROWS)),
        };
        let (inside, v4) = (is_inside(viewer), viewer.is_ipv4());
        let question = format!("{inside} {v4} {} {key:?} {game:?}", asked.most);
        while kept.take_due(now.instant).is_some() {}
        let bytes = match kept.get(&question) {
            Some(bytes) => bytes.clone(),
            None => {
                let bytes = self.write_lobby(&asked);
                while kept.len() >= limits::LOBBIES_KEPT {
                    kept.take();
                }
                kept.arm_with(now.instant, question, bytes.clone());
                bytes
            }
        };
        let mut answer = Answer::of(Body::Json(bytes)).for_everybody();
        // What a key shows is nobody else's.
        let cache = if key.is_some() { "private, max-age=1" } else { "max-age=1" };
        answer.headers.push(("Cache-Control", cache.to_owned()));
        Ok(answer)
    }

    fn write_lobby(&self, asked: &Asked<'_>) -> Vec<u8> {
        #[derive(Serialize)]
        struct Lobby<'a> {
            game: &'a str,
            gmnet: Box<RawValue>,
            rooms: Box<RawValue>,
            events: Box<RawValue>,
        }
        let list = |name| {
            let mut bytes = Vec::new();
            if let Some(dialect) = self.dialects.get(name) {
                dialect.public_lobby(asked, &mut bytes);
            }
            // Nothing is what a dialect has that is not spoken.
            let text = String::from_utf8(bytes).ok().filter(|text| !text.is_empty());
            let list = text.and_then(|text| RawValue::from_string(text).ok());
            list.unwrap_or_else(|| RawValue::NULL.to_owned())
        };
        let [gmnet, rooms, events] = [Name::Gmnet, Name::Rooms, Name::Events].map(list);
        let lobby = Lobby { game: asked.game, gmnet, rooms, events };
        let mut bytes = serde_json::to_vec(&lobby).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Output, Via};
    use crate::server;
    use serde_json::Value;
    use std::net::SocketAddr;
    use std::time::Duration;

    struct World {
        server: Server,
        now: Now,
        conns: u32,
    }

    impl World {
        fn new(admission: Admission, public_lobby: bool) -> Self {
            let mut config = server::Config { public_lobby, ..server::Config::default() };
            config.gmnet.admission = admission.clone();
            config.rooms.admission = admission.clone();
            config.events.admission = admission;
            let now = Now { instant: Instant::from_micros(100_000_000), unix: 1_700_000_000 };
            Self { server: Server::new(config), now, conns: 0 }
        }

        fn open(&mut self, from: [u8; 4]) -> ConnId {
            self.conns += 1;
            let (id, now) = (ConnId { slot: self.conns, generation: 1 }, self.now);
            let peer = SocketAddr::from((from, 9));
            self.server.on_accept(now, || now.instant, id, peer, &mut Outbox::new());
            id
        }

        /// What is answered, and whether the connection is closed.
        fn send(&mut self, id: ConnId, text: &str) -> (String, bool) {
            let mut out = Outbox::new();
            self.server.on_bytes(self.now, id, text.as_bytes(), &mut out);
            let (mut said, mut closed) = (String::new(), false);
            for output in out.outputs() {
                match output {
                    Output::Tcp(to, bytes) if to == id => said += &String::from_utf8_lossy(bytes),
                    Output::Close(to) => closed |= to == id,
                    _ => {}
                }
            }
            (said, closed)
        }

        fn get(&mut self, target: &str) -> (String, Value) {
            let id = self.open([203, 0, 113, 99]);
            let (said, _) = self.send(id, &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
            let (head, body) = said.split_once("\r\n\r\n").expect("an answer");
            assert!(head.contains("Access-Control-Allow-Origin: *"), "{head}");
            (head.to_owned(), serde_json::from_str(body).unwrap_or_default())
        }

        fn host(&mut self, n: u8, game: &str, name: &str) {
            let mut out = Outbox::new();
            let at = SocketAddr::from(([203, 0, 113, n], 7000));
            self.server.on_datagram(self.now, Via::default(), at, b"reg\n", &mut out);
            let id = self.open([203, 0, 113, n]);
            self.send(id, &format!("reg2\n1.2.4\n{game}\n{name}\n\n\n\n\n\n\n"));
        }

        fn room(&mut self, n: u8, request: &str) {
            let at = SocketAddr::from(([203, 0, 113, n], 7000));
            let via = Via::default();
            self.server.on_datagram(self.now, via, at, request.as_bytes(), &mut Outbox::new());
        }

        fn events(&mut self, n: u8, game: &str, private: bool) {
            let id = self.open([203, 0, 113, n]);
            let login = format!(
                r#"{{"type":"request","name":"login","data":{{"id":"p{n}","game":"{game}"}},"request_id":1}}"#
            );
            let make = format!(
                r#"{{"type":"request","name":"create_room","data":{{"name":"e{n}","private":{private}}},"request_id":2}}"#
            );
            let (said, _) = self.send(id, &(login + &make));
            assert!(said.contains(r#""room""#), "{said}");
        }
    }

    #[test]
    fn the_lobby_is_told_as_games_see_it() {
        let mut world = World::new(Admission::default(), true);
        world.host(1, "Pong", "one");
        world.host(2, "Chess", "<two>");
        world.host(3, "<INV>", "hidden");
        world.room(4, "rh:Room 4");
        world.room(5, "rh:Room 5:private=1");
        world.events(6, "", false);
        world.events(7, "", true);
        world.events(8, "Pong", false);
        let (head, lobby) = world.get("/lobby");
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("max-age=1"), "{head}");
        let all = |of: &str, name: &str| {
            let list = lobby[of].as_array().unwrap();
            let names = list.iter().map(|one| one[name].as_str().unwrap().to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(all("gmnet", "data2"), ["<two>", "one"]);
        assert_eq!(all("gmnet", "ip"), ["203.0.113.2", "203.0.113.1"]);
        assert_eq!(all("rooms", "name"), ["Room 4"]);
        assert_eq!(all("events", "name"), ["e6"]);
        let text = lobby.to_string();
        for secret in
            ["203.0.113.3", "203.0.113.4", "203.0.113.6", ":7000", "hidden", "Room 5", "e7"]
        {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
        let (_, of_pong) = world.get("/lobby?game=Pong");
        assert_eq!(of_pong["gmnet"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&of_pong["rooms"], &of_pong["events"][0]["name"]),
            (&Value::Array(vec![]), &"e8".into())
        );
        assert!(world.get("/").0.starts_with("HTTP/1.1 404"));
        assert!(world.get("/api/v1/status").0.starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn it_is_made_anew_after_a_second() {
        let mut world = World::new(Admission::default(), true);
        assert_eq!(world.get("/lobby").1["gmnet"], Value::Array(vec![]));
        world.host(1, "Pong", "one");
        assert_eq!(world.get("/lobby").1["gmnet"], Value::Array(vec![]));
        world.now.instant = world.now.instant + limits::LOBBY_KEPT;
        assert_eq!(world.get("/lobby").1["gmnet"][0]["data2"], "one");
        for n in 0..100 {
            world.get(&format!("/lobby?game={n}"));
        }
        assert!(world.server.public.as_ref().unwrap().kept.len() <= limits::LOBBIES_KEPT);
    }

    #[test]
    fn who_has_no_key_sees_nothing() {
        let keys = vec!["first".to_owned(), "second".to_owned()];
        let mut world = World::new(Admission { keys, games: Vec::new() }, true);
        world.host(1, "first", "one");
        world.host(2, "second", "two");
        for target in ["/lobby", "/lobby?key=wrong", "/lobby?game=first"] {
            assert!(world.get(target).0.starts_with("HTTP/1.1 401"), "{target}");
        }
        let (head, lobby) = world.get("/lobby?key=first");
        assert!(head.contains("private"), "{head}");
        assert_eq!(lobby["gmnet"].as_array().unwrap().len(), 1);
        assert_eq!(lobby["gmnet"][0]["data2"], "one");
        let games = vec!["Pong".to_owned()];
        let mut world = World::new(Admission { keys: Vec::new(), games }, true);
        world.host(1, "Pong", "one");
        assert_eq!(world.get("/lobby").1["gmnet"].as_array().unwrap().len(), 1);
        assert_eq!(world.get("/lobby?game=Pong").1["gmnet"].as_array().unwrap().len(), 1);
        assert!(world.get("/lobby?game=Chess").0.starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn without_the_option_all_is_as_it_was() {
        let mut world = World::new(Admission::default(), false);
        let id = world.open([203, 0, 113, 1]);
        assert_eq!(
            world.send(id, "GET /lobby HTTP/1.1\r\nHost: x\r\n\r\n"),
            (String::new(), false)
        );
        assert_eq!(world.send(id, "version\n").0, "\u{fffd}1.2.5\n");
        // And with it to others.
        let mut world = World::new(Admission::default(), true);
        let id = world.open([203, 0, 113, 1]);
        assert_eq!(world.send(id, "G"), (String::new(), false));
        assert_eq!(world.send(id, "OLD\nversion\n").0, "\u{fffd}1.2.5\n");
        let id = world.open([203, 0, 113, 1]);
        for piece in ["G", "ET /lo", "bby HTTP/1.1\r\nHo", "st: x\r\n\r"] {
            assert_eq!(world.send(id, piece), (String::new(), false), "{piece}");
        }
        assert!(world.send(id, "\n").0.starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn connections_and_requests_have_bounds() {
        let mut world = World::new(Admission::default(), true);
        let mut first = None;
        for n in 0..=limits::LOBBY_CONNECTIONS {
            let [high, low] = (n as u16).to_be_bytes();
            let id = world.open([10, 1, high, low]);
            world.send(id, "GET /");
            first = first.or(Some(id));
        }
        assert!(!world.server.speaks_http(first.unwrap()), "who has begun first gives way");
        let public = world.server.public.as_ref().unwrap();
        assert_eq!(public.http.len(), limits::LOBBY_CONNECTIONS);
        let statuses = (0..4000).map(|_| world.get("/lobby").0.get(9..12).unwrap().to_owned());
        let statuses: Vec<_> = statuses.collect();
        let refused = statuses.iter().filter(|status| *status == "503").count();
        assert!(statuses[0] == "200" && refused >= 1900, "{refused}");
        world.now.instant = world.now.instant + Duration::from_secs(2000);
        let mut out = Outbox::new();
        world.server.on_wakeup(world.now, &mut out);
        assert_eq!(world.server.public.as_ref().unwrap().http.len(), 0);
        assert_eq!(world.server.places.len(), 0, "none is forgotten");
    }
}
