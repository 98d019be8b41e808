//! How a client of natpunch finds a server that is there: when it starts, and when its own is gone.

use super::*;
use crate::masters::SILENT;

/// How often it is looked whether the server is still there, if there is no other one.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The same where there is another server to go on to.
const LOOK_OFTEN: Duration = Duration::from_secs(1);

/// So many looks in a row that find nothing show that it is gone: [`SILENT`].
const MOST_UNANSWERED: u32 = 3;

/// How long it is tried to be in a lobby again: its host may first have to notice that the server is gone.
const BACK_WITHIN: Duration = Duration::from_secs(20);

/// The lobby that a client wants to be in.
#[derive(Clone, Debug)]
pub(super) enum Home {
    /// Its own: its name, and the players that there may be.
    Own(String, u32),
    /// Somebody else's: its name, or its ID if no list has told that.
    Of(String),
}

impl Home {
    fn name(&self) -> &str {
        let (Self::Own(name, _) | Self::Of(name)) = self;
        name
    }
}

/// Until when it is tried to be in that lobby again, and when next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Back {
    until: Instant,
    next: Instant,
}

/// When it was looked last whether the server is there, and how often in a row without an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looks {
    last: Option<Instant>,
    unanswered: u32,
}

/// Registers with the first server that is there. Whoever has to wait for that is told.
pub(super) fn register(
    masters: &mut Masters,
    bind: Option<IpAddr>,
    time: Duration,
    admission: &Admission,
) -> Result<Client, String> {
    let deadline = Instant::now() + time;
    let (mut first, mut has_said) = (time.min(AGAIN), false);
    let registered = loop {
        let registered = masters.ask(
            |masters| {
                let server = masters.current();
                let bind = bind.unwrap_or(any_towards(server));
                Client::register_for(server, bind, first, admission)
            },
            |error, _| !matches!(error, Error::Refused(_)),
        );
        let left = deadline.saturating_duration_since(Instant::now());
        match registered {
            Err(Error::NoAnswer { server, .. }) if !left.is_zero() => {
                if !std::mem::replace(&mut has_said, true) {
                    say(format!("{server} does not answer; trying for {time:.0?}"));
                }
                first = if masters.are_several() { left.min(SILENT) } else { left };
            }
            registered => break registered,
        }
    };
    let server = masters.current();
    registered.map_err(|error| match &error {
        Error::NoAnswer { .. } => format!(
            "no answer from {server} within {time:.1?}\nIs the server running there, does it speak \
             natpunch, and is UDP let through to that port? `punch probe` tells."
        ),
        Error::Refused(_) if admission.game.is_empty() && admission.key.is_empty() => {
            format!("{error}\nA server that admits only some games wants --game or --key.")
        }
        Error::Refused(_) => error.to_string(),
        Error::Socket { doing, source, .. } => format!("{error}\n{}", advice(doing, source)),
    })
}

impl Session {
    /// Registers again if the server has forgotten us, or with the next one if it is gone, and is in its lobby again.
    pub(super) fn tend(&mut self) -> Result<(), String> {
        if std::mem::take(&mut self.is_forgotten) {
            self.register_again()?;
        } else if self.masters.are_several() && self.is_silent() {
            self.move_on(format!("{} does not answer any more", self.masters.current()))?;
        }
        self.go_home()
    }

    /// Whether the server, which answers requests alone, has answered none for a while.
    fn is_silent(&mut self) -> bool {
        let last = self.looks.last.map(|last| last.elapsed());
        if last.is_some_and(|last| last < LOOK_OFTEN) {
            return false;
        }
        if last.is_none_or(|last| self.client.silence() < last) {
            self.looks.unanswered = 0;
        }
        if self.looks.unanswered >= MOST_UNANSWERED {
            return true;
        }
        // What cannot be sent is not answered. Who lists lobbies is in no list of clients any more.
        let _ = self.client.list_clients();
        self.looks = Looks { last: Some(Instant::now()), unanswered: self.looks.unanswered + 1 };
        false
    }

    fn register_again(&mut self) -> Result<(), String> {
        match self.client.move_to(self.masters.current(), AGAIN, &self.admission) {
            Ok(()) => self.registered(),
            Err(error) if self.masters.are_several() => return self.move_on(error.to_string()),
            // The next sign of life shows whether it is there.
            Err(Error::NoAnswer { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
        Ok(())
    }

    /// Registers with the next server, as this one is gone.
    pub(super) fn move_on(&mut self, mut why: String) -> Result<(), String> {
        let deadline = Instant::now() + self.time;
        loop {
            if (self.is_interrupted)() {
                return Err("stopped".to_owned());
            }
            if !self.masters.go_on(&why) {
                if Instant::now() >= deadline {
                    return Err(why);
                }
                std::thread::sleep(AGAIN);
            }
            match self.client.move_to(self.masters.current(), AGAIN, &self.admission) {
                Ok(()) => break,
                Err(error) => why = error.to_string(),
            }
        }
        self.registered();
        Ok(())
    }

    /// We have another ID, and are in no lobby.
    fn registered(&mut self) {
        self.masters.answered();
        say(format!("registered {} at {}", printable(self.client.id()), self.client.public()));
        (self.joined, self.refused, self.is_forgotten) = (false, None, false);
        self.looks = Looks::default();
        self.lobbies.clear();
        let now = Instant::now();
        self.back = self.home.as_ref().map(|_| Back { until: now + BACK_WITHIN, next: now });
    }

    /// Whether we look for the lobby of somebody else, to be in it again.
    pub(super) fn looks_for_home(&self) -> bool {
        self.back.is_some() && matches!(self.home, Some(Home::Of(_)))
    }

    /// Opens the own lobby again, or asks to be let into that of somebody else, once he has opened it.
    fn go_home(&mut self) -> Result<(), String> {
        let now = Instant::now();
        let Some((home, back)) = self.home.as_ref().zip(self.back) else { return Ok(()) };
        if self.joined {
            self.back = None;
        } else if self.refused.is_some() || now >= back.until {
            let name = printable(home.name());
            let why = match self.refused.take() {
                Some(why) => format!("not in the lobby \"{name}\" again: {}", printable(&why)),
                None => format!("there is no lobby \"{name}\" any more"),
            };
            say(&why);
            (self.home, self.back, self.homeless) = (None, None, Some(why));
        } else if now >= back.next {
            let of = |name: &String| {
                let is_it = |info: &&LobbyInfo| [&info.lobby_name, &info.lobby_id].contains(&name);
                self.lobbies.iter().find(is_it)
            };
            let (asked, gap) = match home {
                // The server may open one for each request.
                Home::Own(name, max_players) => (self.client.create(name, *max_players), AGAIN),
                Home::Of(name) => match of(name) {
                    Some(info) => (self.client.join(&info.lobby_id), AGAIN),
                    None => (self.client.list(), AGAIN / 4),
                },
            };
            self.back = Some(Back { next: now + gap, ..back });
            if !self.masters.are_several() {
                asked.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Waits until it is stopped, or nobody comes any more: the only server is gone, or the lobby.
    pub(super) fn wait_for_all(&mut self, time: Duration) -> Result<(), String> {
        while !self.wait(LOOK_EVERY, |session| (session.is_interrupted)())? {
            if let Some(why) = self.homeless.take() {
                return Err(why);
            }
            if self.masters.are_several() {
                continue;
            }
            self.listed = false;
            let asked = self.ask(time, |s| s.client.list(), |s| s.listed);
            if (self.is_interrupted)() {
                break;
            }
            asked.map_err(|why| format!("the server does not answer any more: {why}"))?;
        }
        Ok(())
    }
}

/// Whether a server that refuses something does not know who asks.
pub(super) fn is_unknown(why: &str) -> bool {
    why.contains("not registered")
}
