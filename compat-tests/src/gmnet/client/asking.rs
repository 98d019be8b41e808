//! How a client asks the master server for its host, and the next one if that is not there.

use std::sync::mpsc::{Receiver, TryRecvError, channel};

use super::*;

/// How soon a host is asked for again that was not found: it may not have gone on to that master server yet.
const AGAIN: Duration = Duration::from_secs(1);

/// How a master server is asked while a host is knocked at.
#[derive(Debug)]
pub(super) struct Next {
    /// It may take a while to accept, and knocks do not wait for it.
    opening: Option<Receiver<Result<Control, Error>>>,
    /// When to ask again.
    again: Option<Instant>,
    /// Whether it has told where the host is.
    has_told: bool,
}

fn ask(config: &ClientConfig) -> Result<Control, Error> {
    let control = Control::open(config.master, config.bind)?;
    std::thread::sleep(config.gap);
    control.send(&request(config))?;
    Ok(control)
}

fn request(config: &ClientConfig) -> Vec<u8> {
    wire::connect_at(config.protocol, config.host, config.host_port)
}

impl Client {
    /// Asks the master server, or the next one that accepts; without any it knocks directly.
    pub(super) fn ask_any(&mut self) -> Result<(), Error> {
        loop {
            match ask(&self.config) {
                Ok(control) => {
                    self.control = Some(control);
                    self.state = State::Asking { since: Instant::now() };
                    return Ok(());
                }
                Err(why) if self.config.others.is_empty() => {
                    return self.knock_directly(Answer::Unreachable, why);
                }
                Err(why) => self.move_on(why)?,
            }
        }
    }

    /// Asks the next master server, if there is one.
    pub(super) fn ask_next(&mut self, why: Error) -> Result<(), Error> {
        if self.config.others.is_empty() {
            return Err(why);
        }
        self.move_on(why)?;
        self.ask_any()
    }

    /// The master server is gone, after it has told where the host is: the next one may tell of where it is now, and
    /// tell it of this client. The socket stays, as the host knows it.
    pub(super) fn go_on_knocking(&mut self, why: Error) -> Result<(), Error> {
        let is_v4 = self.socket.local().is_ipv4();
        self.config.others.retain(|other| other.is_ipv4() == is_v4);
        self.next = None;
        if self.config.others.is_empty() {
            return Ok(());
        }
        self.move_on(why)?;
        let (sink, opening) = channel();
        let config = self.config.clone();
        // Nobody may wait for it any more.
        std::thread::spawn(move || sink.send(ask(&config)).ok());
        self.next = Some(Next { opening: Some(opening), again: None, has_told: false });
        Ok(())
    }

    /// What there is to do about that.
    pub(super) fn ask_meanwhile(&mut self) -> Result<(), Error> {
        let Some(next) = &mut self.next else { return Ok(()) };
        match next.opening.as_ref().map(Receiver::try_recv) {
            Some(Ok(Ok(control))) => (self.control, next.opening) = (Some(control), None),
            Some(Ok(Err(why))) => return self.go_on_knocking(why),
            Some(Err(TryRecvError::Disconnected)) => next.opening = None,
            Some(Err(TryRecvError::Empty)) | None => {}
        }
        if next.again.is_some_and(|again| Instant::now() >= again) {
            next.again = None;
            // A connection that is broken is noticed when it is read.
            let _ = self.control.as_ref().map(|control| control.send(&request(&self.config)));
        }
        if !next.has_told {
            self.show_port_again();
        }
        Ok(())
    }

    /// The next master server has told where the host is.
    pub(super) fn is_told(&mut self) {
        if let Some(next) = &mut self.next {
            (next.again, next.has_told) = (None, true);
        }
    }

    /// It does not know the host, or not yet.
    pub(super) fn ask_later(&mut self) {
        if let Some(next) = &mut self.next {
            next.again = Some(Instant::now() + AGAIN);
        }
    }

    /// From now on another one is the master server: shows it the port.
    fn move_on(&mut self, why: Error) -> Result<(), Error> {
        let next = self.config.others.remove(0);
        let ClientConfig { bind, port, line, .. } = self.config;
        if next.is_ipv4() != self.socket.local().is_ipv4() {
            self.socket = GameSocket::open(next, bind, port)?.on_line(line);
        }
        (self.config.master, self.control) = (next, None);
        self.left.push(why);
        self.show_port();
        Ok(())
    }

    /// How long to wait for the master server.
    pub(super) fn patience(&self) -> Duration {
        let ClientConfig { timeout, silence, ref others, .. } = self.config;
        if others.is_empty() { timeout } else { timeout.min(silence) }
    }

    pub(super) fn show_port(&mut self) {
        let ClientConfig { master, protocol, shows_nat, .. } = self.config;
        if shows_nat {
            self.socket.show_nat(master);
        }
        self.socket.send_raw(master, &wire::udp_connect(protocol));
        self.shown = Instant::now();
    }

    pub(super) fn show_port_again(&mut self) {
        if self.config.repeats && self.shown.elapsed() >= HELLO {
            self.shown = Instant::now();
            self.socket.send_raw(self.config.master, &wire::udp_connect(self.config.protocol));
        }
    }
}
