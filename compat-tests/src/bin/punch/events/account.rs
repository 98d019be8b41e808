//! How a peer of events logs in, and how it comes back when its connection was lost, as where the
//! server was restarted.

use std::net::{IpAddr, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use compat_tests::events::{EventClient, EventError, Login, Tls};
use compat_tests::shown::printable;
use serde_json::{Value, json};

use super::{LOOK_EVERY, Session};
use crate::common::{any_towards, say};
use crate::masters::{Masters, SILENT};

/// How long it is tried to come back.
const BACK_WITHIN: Duration = Duration::from_secs(20);

/// How long a server may take to accept, and to answer a login.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time between two tries.
const AGAIN: Duration = Duration::from_millis(500);

/// Who has come back and is put out again so soon is not wanted there.
const LASTS: Duration = Duration::from_secs(1);

/// How long a room is looked for that its host has to make again first.
const LOOKS_FOR: Duration = Duration::from_secs(5);

/// The same where its host may first have to notice that its server is gone, and others list its old room as
/// long as they have not.
const LOOKS_LONGER: Duration = Duration::from_secs(15);

/// Who logs in where.
pub(super) struct Account {
    pub(super) masters: Masters,
    pub(super) bind: Option<IpAddr>,
    /// Whose certificates to trust, where the connection is encrypted.
    pub(super) ca: Option<PathBuf>,
    pub(super) is_web: bool,
    pub(super) id: String,
    pub(super) game: String,
    pub(super) key: Option<String>,
}

impl Account {
    /// Logs in on a new connection with the first server that is there, in the place of an earlier one if its
    /// secret is given.
    pub(super) fn login(
        &mut self,
        secret: Option<&str>,
    ) -> Result<(EventClient, Login), EventError> {
        let mut masters = self.masters.clone();
        let result =
            masters.ask(|masters| self.login_at(masters, secret), |error, _| is_dead(error));
        self.masters = masters;
        result
    }

    fn login_at(
        &self,
        masters: &Masters,
        secret: Option<&str>,
    ) -> Result<(EventClient, Login), EventError> {
        let tls = self.ca.as_deref().map(|ca| Tls::trusting(ca, host_of(masters.name())));
        let patience = masters.patience(PATIENCE);
        let server = masters.current();
        let tls = tls.transpose()?;
        let mut client = EventClient::connect_within(patience, self.bind, server, tls.as_ref())?;
        if self.is_web {
            client.become_web()?;
        }
        client.on_request("echo", |request| Ok(request.data.clone()));
        let login = client.resume(&self.id, &self.game, self.key.as_deref(), secret)?;
        if masters.are_several() {
            client.give_up_silent(LOOK_EVERY, SILENT);
        }
        Ok((client, login))
    }

    /// A UDP socket for the way to the server.
    pub(super) fn open_udp(&self) -> std::io::Result<UdpSocket> {
        UdpSocket::bind((self.bind.unwrap_or(any_towards(self.masters.current())), 0))
    }
}

/// The name in `NAME:PORT`.
fn host_of(master: &str) -> &str {
    if master.parse::<IpAddr>().is_ok() {
        return master;
    }
    let host = master.rsplit_once(':').map_or(master, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
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

/// Whether the server is not there, or says nothing.
pub(super) fn is_dead(error: &EventError) -> bool {
    is_lost(error) || matches!(error, EventError::NoAnswer(_))
}

/// Whether a room cannot be joined because its node is gone.
fn is_of_the_dead(error: &EventError) -> bool {
    matches!(error.code(), Some("no_such_room" | "timeout"))
        || matches!(error, EventError::NoAnswer(_))
}

impl Session {
    /// Logs in again, and is in its room again, if the connection was lost and not ended on purpose.
    pub(super) fn come_back(&mut self, error: EventError) -> Result<(), EventError> {
        let is_unwanted = self.back.is_some_and(|back| back.elapsed() < LASTS);
        let are_several = self.account.masters.are_several();
        if !(is_lost(&error) || are_several && is_dead(&error)) || self.was_told_why || is_unwanted
        {
            return Err(error);
        }
        if !(are_several && self.account.masters.go_on(&error)) {
            say(format_args!("{error}; coming back"));
        }
        let secret = self.client.logged_in().map(|login| login.secret.clone());
        let secret = secret.filter(|secret| !secret.is_empty());
        let deadline = Instant::now() + BACK_WITHIN;
        let (client, login) = loop {
            match self.account.login(secret.as_deref()) {
                Ok(back) => break back,
                Err(again) if is_lost(&again) && Instant::now() < deadline => {
                    std::thread::sleep(AGAIN);
                }
                // Another node of a cluster may not have noticed yet that the one before is gone.
                Err(again)
                    if are_several
                        && (is_dead(&again) || again.code() == Some("id_taken"))
                        && Instant::now() < deadline =>
                {
                    std::thread::sleep(AGAIN);
                }
                Err(last) => return Err(last),
            }
        };
        (self.client, self.back) = (client, Some(Instant::now()));
        let is_resumed = if login.resumed { ", in the place from before" } else { "" };
        say(format_args!("logged in again as {}{is_resumed}", printable(&login.id)));
        let master = self.account.masters.current();
        if self.socket.local_addr().is_ok_and(|own| own.is_ipv4() != master.is_ipv4())
            && let Ok(socket) = self.account.open_udp()
        {
            self.socket = socket;
        }
        if login.resumed {
            self.players = login.players.iter().map(|id| printable(id)).collect();
            self.room = login.room;
        } else {
            self.room = None;
            self.players.clear();
            if let Some(watched) = self.watched.clone() {
                self.client.watch_rooms(watched)?;
            }
            match self.go_home() {
                // The server has refused it; that is no reason to end.
                Err(EventError::Refused(fault)) => {
                    self.fail(format_args!("not in the room again: {fault}"));
                }
                result => result?,
            }
        }
        // Last, as it takes a while to see that UDP is blocked.
        self.show_endpoint();
        Ok(())
    }

    /// Makes its room again, or finds that of somebody else who does.
    fn go_home(&mut self) -> Result<(), EventError> {
        match self.home.take() {
            None => Ok(()),
            Some(Home::Own(room)) => self.make(room),
            Some(Home::Of(name, password)) => {
                let are_several = self.account.masters.are_several();
                let time = if are_several { LOOKS_LONGER } else { LOOKS_FOR };
                let deadline = Instant::now() + time;
                while Instant::now() < deadline {
                    let rooms = self.client.list_rooms()?;
                    for room in rooms.into_iter().filter(|room| room.name == name) {
                        let data = json!({"room": room.room, "password": password});
                        match self.client.join(data) {
                            Ok(joined) => {
                                self.home = Some(Home::Of(name, password));
                                self.joined(joined);
                                return Ok(());
                            }
                            // One that was at the server that is gone.
                            Err(error) if are_several && is_of_the_dead(&error) => {}
                            Err(error) => return Err(error),
                        }
                    }
                    self.listen(AGAIN)?;
                }
                self.fail(format_args!("there is no room {} any more", printable(&name)));
                Ok(())
            }
        }
    }
}
