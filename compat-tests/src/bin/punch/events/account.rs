//! How a peer of events logs in, and how it comes back when its connection was lost, as where the
//! server was restarted.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use compat_tests::events::{EventClient, EventError, Login, Tls};
use compat_tests::shown::printable;
use serde_json::{Value, json};

use super::Session;
use crate::common::say;

/// How long it is tried to come back.
const BACK_WITHIN: Duration = Duration::from_secs(20);

/// Time between two tries.
const AGAIN: Duration = Duration::from_millis(500);

/// Who has come back and is put out again so soon is not wanted there.
const LASTS: Duration = Duration::from_secs(1);

/// How often a room is looked for that its host has to make again first.
const LOOKS: usize = 10;

/// Who logs in where.
pub(super) struct Account {
    pub(super) server: SocketAddr,
    pub(super) bind: Option<IpAddr>,
    pub(super) tls: Option<Tls>,
    pub(super) is_web: bool,
    pub(super) id: String,
    pub(super) game: String,
    pub(super) key: Option<String>,
}

impl Account {
    /// Logs in on a new connection, in the place of an earlier one if its secret is given.
    pub(super) fn login(&self, secret: Option<&str>) -> Result<(EventClient, Login), EventError> {
        let mut client = EventClient::connect_from(self.bind, self.server, self.tls.as_ref())?;
        if self.is_web {
            client.become_web()?;
        }
        client.on_request("echo", |request| Ok(request.data.clone()));
        let login = client.resume(&self.id, &self.game, self.key.as_deref(), secret)?;
        Ok((client, login))
    }
}

/// A room as it has to be made, or looked for, again.
#[derive(Clone, Debug)]
pub(super) enum Home {
    /// One's own, as `create_room` has it.
    Own(Value),
    /// Somebody else's: its name and password.
    Of(String, Option<String>),
}

impl Home {
    /// The same after `update_room`.
    pub(super) fn update(&mut self, changes: &Value) {
        let Self::Own(room) = self else { return };
        for (key, value) in changes.as_object().into_iter().flatten() {
            match value.as_object().filter(|_| key == "data") {
                Some(own) if room["data"].is_object() => {
                    own.iter().for_each(|(key, value)| room["data"][key] = value.clone());
                }
                _ => room[key] = value.clone(),
            }
        }
    }
}

/// Whether the connection is gone, and nobody has said why.
pub(super) fn is_lost(error: &EventError) -> bool {
    matches!(error, EventError::Closed(_) | EventError::Socket { .. })
}

impl Session {
    /// Logs in again, and is in its room again, if the connection was lost and not ended on purpose.
    pub(super) fn come_back(&mut self, error: EventError) -> Result<(), EventError> {
        let is_unwanted = self.back.is_some_and(|back| back.elapsed() < LASTS);
        if !is_lost(&error) || self.was_told_why || is_unwanted {
            return Err(error);
        }
        say(format_args!("{error}; coming back"));
        let secret = self.client.logged_in().map(|login| login.secret.clone());
        let secret = secret.filter(|secret| !secret.is_empty());
        let deadline = Instant::now() + BACK_WITHIN;
        let (client, login) = loop {
            match self.account.login(secret.as_deref()) {
                Ok(back) => break back,
                Err(again) if is_lost(&again) && Instant::now() < deadline => {
                    std::thread::sleep(AGAIN);
                }
                Err(last) => return Err(last),
            }
        };
        (self.client, self.back) = (client, Some(Instant::now()));
        let is_resumed = if login.resumed { ", in the place from before" } else { "" };
        say(format_args!("logged in again as {}{is_resumed}", printable(&login.id)));
        self.show_endpoint();
        if login.resumed {
            self.players = login.players.iter().map(|id| printable(id)).collect();
            self.room = login.room;
            return Ok(());
        }
        self.room = None;
        self.players.clear();
        if let Some(watched) = self.watched.clone() {
            self.client.watch_rooms(watched)?;
        }
        match self.go_home() {
            // The server has refused it; that is no reason to end.
            Err(EventError::Refused(fault)) => {
                self.fail(format_args!("not in the room again: {fault}"));
                Ok(())
            }
            result => result,
        }
    }

    /// Makes its room again, or finds that of somebody else who does.
    fn go_home(&mut self) -> Result<(), EventError> {
        match self.home.take() {
            None => Ok(()),
            Some(Home::Own(room)) => self.make(room),
            Some(Home::Of(name, password)) => {
                for _ in 0..LOOKS {
                    let rooms = self.client.list_rooms()?;
                    if let Some(room) = rooms.into_iter().find(|room| room.name == name) {
                        let data = json!({"room": room.room, "password": password});
                        let joined = self.client.join(data)?;
                        self.home = Some(Home::Of(name, password));
                        self.joined(joined);
                        return Ok(());
                    }
                    self.listen(AGAIN)?;
                }
                self.fail(format_args!("there is no room {} any more", printable(&name)));
                Ok(())
            }
        }
    }
}
