//! Which lobbies there are, and how a client gets into one.

use super::*;

impl Session {
    pub(super) fn find_lobbies(&mut self, time: Duration) -> Result<(), String> {
        self.listed = false;
        self.ask(time, |s| s.client.list(), |s| s.listed)
    }

    pub(super) fn create(
        &mut self,
        name: &str,
        max_players: u32,
        time: Duration,
    ) -> Result<(), String> {
        let home = Home::Own(name.to_owned(), max_players);
        self.enter(home, time, |client| client.create(name, max_players))
    }

    pub(super) fn join(&mut self, lobby: &str, time: Duration) -> Result<(), String> {
        let (id, name) = self.find_lobby(lobby, time)?;
        self.enter(Home::Of(name), time, |client| client.join(&id))
    }

    /// Whoever registers again meanwhile is in it by itself, under another ID perhaps.
    fn enter(
        &mut self,
        home: Home,
        time: Duration,
        request: impl Fn(&Client) -> Result<(), Error>,
    ) -> Result<(), String> {
        self.joined = false;
        let before = self.home.replace(home);
        let own = self.client.id().to_owned();
        let request = |session: &Self| match session.client.id() == own {
            true => request(&session.client),
            false => Ok(()),
        };
        let entered = self.ask(time, request, |session| session.joined);
        if entered.is_err() {
            (self.home, self.back) = (before, None);
        }
        entered
    }

    /// The ID and name of a lobby that is given by one of them; waits until there is one of that name.
    fn find_lobby(&mut self, lobby: &str, time: Duration) -> Result<(String, String), String> {
        let deadline = Instant::now() + time;
        let mut has_said = false;
        loop {
            self.find_lobbies(time)?;
            let is_it = |info: &&LobbyInfo| info.lobby_name == lobby || info.lobby_id == lobby;
            if let Some(info) = self.lobbies.iter().find(is_it) {
                return Ok((info.lobby_id.clone(), info.lobby_name.clone()));
            }
            // A long list does not tell of all.
            if lobby.len() == 36 {
                return Ok((lobby.into(), lobby.into()));
            }
            if Instant::now() >= deadline {
                return Err(format!(
                    "there is no lobby \"{}\"\n`punch natpunch list` has those of --game, which is case-sensitive.",
                    printable(lobby)
                ));
            }
            if !has_said {
                has_said = true;
                let lobby = printable(lobby);
                say(format!("no lobby \"{lobby}\" yet; looking for it for {time:.0?}"));
            }
            self.wait(AGAIN / 4, |_| false)?;
        }
    }

    pub(super) fn print_lobbies(&self, with_members: bool) {
        for info in &self.lobbies {
            let (now, most) = (info.current_players, info.max_players);
            let (id, name) = (printable(&info.lobby_id), printable(&info.lobby_name));
            say(format!("{id} {now}/{most} {name}"));
            for member in info.members.iter().filter(|_| with_members) {
                print_client("  ", member);
            }
        }
        if self.lobbies.is_empty() {
            say("no lobbies");
        }
    }
}

pub(super) fn print_client(indent: &str, client: &ClientInfo) {
    let at = client.public_endpoint.clone().unwrap_or_default();
    let (id, ip) = (printable(&client.client_id), printable(&at.ip_address));
    say(format!("{indent}{id} {ip}:{}", at.port));
}
