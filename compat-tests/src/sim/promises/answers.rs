//! What a client is answered: exactly once, in time, with a port that its host really has.

use std::net::{IpAddr, SocketAddr};

use punchd::clock::Instant;
use punchd::dialect::ConnId;
use punchd::limits;

use super::super::wire::{self, Message};
use super::{Book, Kept, Promise, Request, SLACK, broken};

impl Book {
    /// The server has written to a connection.
    ///
    /// # Errors
    /// If that breaks a promise.
    pub fn written(&mut self, now: Instant, id: ConnId, bytes: &[u8]) -> Kept {
        let Some(connection) = self.connections.get_mut(&id) else {
            return broken(Promise::OpenOnly, format!("{id:?} was written to after its end"));
        };
        if connection.is_foreign {
            return Ok(());
        }
        let Some(message) = wire::parse(bytes) else {
            let text = bytes.escape_ascii();
            return broken(Promise::OnePiece, format!("{id:?}: not one message: {text}"));
        };
        if let Message::Introduction(addr, port) = message {
            check_port_is_a_port(addr, port)?;
        }
        if connection.is_garbage {
            return Ok(());
        }
        match message {
            Message::Introduction(addr, port) => match connection.request {
                Some(request) => self.check_introduction(now, id, request, addr, port),
                None if connection.host.is_some() => self.check_notification(now, id, addr, port),
                None => broken(Promise::OneAnswer, format!("{id:?} was told of {addr} unasked")),
            },
            Message::NotFound => match connection.request {
                Some(request) => self.check_not_found(now, id, request),
                None => broken(Promise::OneAnswer, format!("{id:?} got an answer unasked")),
            },
            Message::Lobby(_) if connection.lobbies_due > 0 => {
                connection.lobbies_due -= 1;
                Ok(())
            }
            _ => broken(Promise::OneAnswer, format!("{id:?} got {message:?} unasked")),
        }
    }

    fn check_introduction(
        &mut self,
        now: Instant,
        id: ConnId,
        request: Request,
        addr: &str,
        port: &str,
    ) -> Kept {
        let is_of_host = |target: IpAddr| {
            let is_here = addr == target.to_string();
            self.hosts_at(target).any(|(_, _, host)| {
                let is_known = host.ports.iter().any(|known| known.to_string() == port);
                let is_it =
                    |at: &SocketAddr| at.ip().to_string() == addr && at.port().to_string() == port;
                is_here && is_known || host.own.is_none() && host.elsewhere.iter().any(is_it)
            })
        };
        let Some(target) = request.target.filter(|target| is_of_host(*target)) else {
            let what = format!("{id:?} asked for {:?}, was told {addr}:{port}", request.target);
            return broken(Promise::ShownPorts, what);
        };
        self.introductions += 1;
        self.note_owed(now, id, target, true);
        self.answer_given(now, id)
    }

    fn check_not_found(&mut self, now: Instant, id: ConnId, request: Request) -> Kept {
        self.not_found += 1;
        if let Some(target) = request.target {
            let is_live = self.hosts_at(target).any(|(_, connection, _)| connection.is_live_host());
            if is_live && self.are_told_apart(target) {
                return broken(
                    Promise::Found,
                    format!("{id:?} did not find {target}, which lives"),
                );
            }
            let is_away = self.hosts_at(target).next().is_none();
            let just_left = |(at, addr, ..): &(Instant, IpAddr, _, _)| {
                *addr == target && now - *at + SLACK < limits::HOST_RETURN
            };
            let may_wait = now - request.started < limits::INTRODUCTION_WAIT && !self.is_stopping;
            if is_away && may_wait && self.left.iter().any(just_left) {
                let what = format!("{id:?} did not find {target}, which may be coming back");
                return broken(Promise::Found, what);
            }
            self.note_owed(now, id, target, false);
        }
        self.answer_given(now, id)
    }

    fn answer_given(&mut self, now: Instant, id: ConnId) -> Kept {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.request = None;
            self.answered.push_back((now, connection.addr, id));
        }
        self.work(now, id);
        Ok(())
    }

    /// All that wait have been answered because the server stops.
    ///
    /// # Errors
    /// If somebody was not.
    pub fn check_stopped(&self) -> Kept {
        match self.connections.iter().find(|(_, connection)| connection.request.is_some()) {
            Some((id, _)) => {
                broken(Promise::OneAnswer, format!("the server stops and {id:?} still waits"))
            }
            None => Ok(()),
        }
    }

    pub(super) fn check_answers(&self, now: Instant) -> Kept {
        for (id, connection) in &self.connections {
            if let Some(request) = connection.request
                && now - request.started > limits::INTRODUCTION_WAIT + limits::LATE_HOST + SLACK
            {
                let target = request.target;
                return broken(Promise::InTime, format!("{id:?} still waits for {target:?}"));
            }
            if connection.lobbies_due > 0 && connection.request.is_none() {
                return broken(Promise::InTime, format!("{id:?} did not get the list"));
            }
        }
        Ok(())
    }
}

fn check_port_is_a_port(addr: &str, port: &str) -> Kept {
    match port.parse::<u16>() {
        Ok(0) => broken(Promise::NoPortZero, format!("told {addr} with port 0")),
        Ok(_) => Ok(()),
        Err(_) => broken(Promise::OnePiece, format!("told {addr} with port {port:?}")),
    }
}
