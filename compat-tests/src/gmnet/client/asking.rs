//! How a client asks the master server for its host, and the next one if that is not there.

use super::*;

impl Client {
    fn ask(&self) -> Result<Control, Error> {
        let control = Control::open(self.config.master, self.config.bind)?;
        std::thread::sleep(self.config.gap);
        let ClientConfig { protocol, host, host_port, .. } = self.config;
        control.send(&wire::connect_at(protocol, host, host_port))?;
        Ok(control)
    }

    /// Asks the master server, or the next one that accepts; without any it knocks directly.
    pub(super) fn ask_any(&mut self) -> Result<(), Error> {
        loop {
            match self.ask() {
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
