//! How a client of natpunch finds a server that is there: when it starts, and when its own is gone.

use super::*;

/// How often a lobby is opened again at another server.
const CREATES: usize = 5;

/// How often who waits for others looks whether the server is still there.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The same where there is another server to go on to.
const LOOK_OFTEN: Duration = Duration::from_secs(1);

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
    /// Registers with the next server, as this one is gone, and opens the lobby there again if it is our own.
    pub(super) fn move_on(&mut self, why: &str, time: Duration) -> Result<(), String> {
        let deadline = Instant::now() + time;
        let mut why = why.to_owned();
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
            let server = self.masters.current();
            match self.client.move_to(server, AGAIN, &self.admission) {
                Ok(()) => break,
                Err(error) => why = error.to_string(),
            }
        }
        self.masters.answered();
        say(format!("registered {} at {}", printable(self.client.id()), self.client.public()));
        (self.joined, self.refused) = (false, None);
        if let Some((name, max_players)) = self.own.clone() {
            for _ in 0..CREATES {
                let created = self.client.create(&name, max_players);
                created.map_err(|error| error.to_string())?;
                if self.wait(AGAIN, |session| session.joined || session.refused.is_some())? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether so many were met in this time. If there is another server to go on to, it is looked whether this
    /// one is still there.
    pub(super) fn wait_for_so_many(
        &mut self,
        players: usize,
        time: Duration,
    ) -> Result<bool, String> {
        let is_done = move |session: &Self| session.met() + 1 >= players;
        if !self.masters.are_several() {
            return self.wait(time, is_done);
        }
        let deadline = Instant::now() + time;
        while !self.wait(LOOK_OFTEN, is_done)? {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            self.look(time)?;
        }
        Ok(true)
    }

    /// Waits until it is stopped, or the server is gone or has forgotten this client, as after a restart:
    /// nobody comes any more then, unless there is another server.
    pub(super) fn wait_for_all(&mut self, time: Duration) -> Result<(), String> {
        self.refused = None;
        let every = if self.masters.are_several() { LOOK_OFTEN } else { LOOK_EVERY };
        loop {
            let ends = |session: &Self| (session.is_interrupted)() || session.is_forgotten();
            if self.wait(every, ends)? {
                if !self.is_forgotten() {
                    return Ok(());
                }
                let why = "the server has forgotten this client and its lobby";
                if !self.masters.are_several() {
                    return Err(why.to_owned());
                }
                self.move_on(why, time)?;
            }
            let asked = self.look(time);
            if (self.is_interrupted)() {
                return Ok(());
            }
            match asked {
                Err(why) if self.masters.are_several() && is_unknown(&why) => {
                    self.refused = Some(why);
                }
                asked => {
                    asked.map_err(|why| format!("the server does not answer any more: {why}"))?
                }
            }
        }
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.refused.as_deref().is_some_and(is_unknown)
    }

    /// Looks whether the server is still there.
    pub(super) fn look(&mut self, time: Duration) -> Result<(), String> {
        self.listed = false;
        self.ask(time, |s| s.client.list(), |s| s.listed)
    }
}

/// Whether a server that refuses something does not know who asks.
fn is_unknown(why: &str) -> bool {
    why.contains("not registered")
}
