//! What a player asks the master server, again and again until it is answered.

use super::*;

impl Player {
    /// All rooms.
    ///
    /// # Errors
    /// If the master server does not answer, or refuses.
    pub fn list(&mut self) -> Result<Vec<Entry>, Error> {
        self.list_with(&Options::default())
    }

    /// Those that are looked for.
    ///
    /// # Errors
    /// If the master server does not answer, or refuses.
    pub fn list_with(&mut self, options: &Options) -> Result<Vec<Entry>, Error> {
        let (mut all, mut after): (Vec<Entry>, _) = (Vec::new(), None);
        let waited = self.patience;
        let deadline = Instant::now() + waited;
        loop {
            let mut page = None;
            let request = Request::List(after, options.clone());
            let asked = self.ask_until(deadline, &request, |message| {
                if let Message::List(entries, more) = message {
                    // Of a page that comes twice, the second is not the next one.
                    let is_new = entries.first().is_none_or(|entry| !all.contains(entry));
                    page = is_new.then(|| (entries.clone(), *more));
                }
                page.is_some()
            });
            match asked {
                Err(Error::NoAnswer { .. }) if !all.is_empty() => {
                    return Err(Error::Endless { waited });
                }
                asked => asked?,
            }
            self.events.retain(|event| !matches!(event, Event::Told(Message::List(..))));
            let Some((entries, more)) = page else { return Ok(all) };
            all.extend(entries);
            after = match more {
                More::None => return Ok(all),
                More::AfterLast => all.last().map(|entry| entry.room),
                More::After(room) => Some(room),
            };
        }
    }

    /// Sends a request every half second until it is answered.
    pub(in crate::rooms) fn ask(
        &mut self,
        request: &Request,
        done: impl FnMut(&Message) -> bool,
    ) -> Result<(), Error> {
        self.ask_until(Instant::now() + self.patience, request, done)
    }

    /// The same, with the time at which to give up.
    fn ask_until(
        &mut self,
        deadline: Instant,
        request: &Request,
        mut done: impl FnMut(&Message) -> bool,
    ) -> Result<(), Error> {
        let verb = request.verb();
        while Instant::now() < deadline {
            self.send(request);
            let again = deadline.min(Instant::now() + AGAIN);
            while Instant::now() < again {
                let seen = self.events.len();
                if seen > MOST_EVENTS {
                    return Err(Error::TooMuch { master: self.master });
                }
                self.advance()?;
                for event in self.events.iter().skip(seen) {
                    match event {
                        Event::Told(Message::Refused(to, reason)) if *to == verb.to_string() => {
                            return Err(Error::Refused { verb, reason: reason.clone() });
                        }
                        Event::Told(message) if done(message) => return Ok(()),
                        _ => {}
                    }
                }
                std::thread::sleep(STEP);
            }
        }
        Err(Error::NoAnswer { master: self.master, verb })
    }

    pub(in crate::rooms) fn send(&mut self, request: &Request) {
        let mut bytes = self.prefix.clone();
        request.write(&mut bytes);
        if let Some(place) = self.place
            && is_signed(request)
        {
            bytes.push(b':');
            place.key.write(&mut bytes);
        }
        if matches!(request, Request::List(..)) {
            // Pays for a full page.
            bytes.resize(512, 0);
        }
        self.enet.socket().ask_master(&bytes);
        self.last_ask = Instant::now();
        self.unheard.get_or_insert(self.last_ask);
    }
}

/// Whether a request ends with the key of its sender, so that nobody else can send it.
fn is_signed(request: &Request) -> bool {
    use Request::{
        Close, KeepAlive, KickId, KickIp, Leave, LetInId, LetInIp, Punched, Rename, Set,
    };
    match request {
        Punched(..) | Leave | Close | KickId(_) | KickIp(_) | Rename(_) | KeepAlive => true,
        _ => matches!(request, LetInId(_) | LetInIp(_) | Set(_)),
    }
}
