//! Commands are carried out as they come, unless others would wait too long for that.

use std::io::Write as _;

use log::warn;

use super::command::{Command, Go, Verb};
use super::names::Left;
use super::{Config, Gmnet, TESTING, TESTING_INFOS, VERSION, version};
use crate::dialect::{ConnId, Context, Name};
use crate::limits;
use crate::refusals::Reason;

impl Gmnet {
    /// Reads what came on a connection and carries out what is complete.
    pub(super) fn run(&mut self, cx: &mut Context<'_>, id: ConnId, chunk: &[u8]) {
        self.work_queue.begin(cx.now.instant);
        let Some(conn) = self.conns.get_mut(id) else { return };
        let mut reader = std::mem::take(&mut conn.reader);
        let (before, was_amid) = (reader.size(), reader.is_amid_command());
        let mut spare = std::mem::take(&mut self.spare);
        let read = if conn.is_waiting() {
            reader.hold(chunk)
        } else {
            reader.read(chunk, &mut spare, |command| self.carry_out(cx, id, command))
        };
        self.spare = spare;
        let Some(conn) = self.conns.get_mut(id) else { return };
        let amid = reader.is_amid_command() && !conn.is_waiting();
        let ended = conn.finished && !conn.is_waiting();
        if amid && !was_amid {
            conn.times.progress = cx.now.instant;
        }
        let slow = amid && cx.now.instant - conn.times.progress > limits::COMMAND_TIME;
        conn.reader = reader;
        // Nearly always nothing is left, as before.
        if before + conn.unfinished() > 0 {
            self.count_unfinished(id);
        }
        match read {
            Err(error) => self.refuse(cx, id, Reason::TooLong, &error.to_string()),
            Ok(_) if ended => self.close(cx, id, Left::Closed),
            Ok(_) if slow => {
                self.refuse(cx, id, Reason::Unfinished, "its command trickles in for too long");
            }
            Ok(_) if amid => self.stalls.arm(cx.now.instant, id),
            Ok(_) => self.stalls.cancel(&id),
        }
        while self.unfinished.bytes() > self.config.limits.total()
            && let Some(id) = self.unfinished.largest()
        {
            let why = "too much is unfinished, and its address has most of it";
            self.refuse(cx, id, Reason::Unfinished, why);
        }
    }

    /// Counts what is not finished on a connection.
    pub(super) fn count_unfinished(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get(id) {
            self.unfinished.count(conn.addr, id, conn.unfinished());
        }
    }

    /// Carries out a command, unless others would wait too long for it or the address of the
    /// connection has done too much: then the connection waits, and what its peer sends after it.
    pub(super) fn carry_out(&mut self, cx: &mut Context<'_>, id: ConnId, command: &Command) -> Go {
        let can_wait = command.verb == Verb::Lobby2 && self.work_queue.is_spent();
        if can_wait || self.work_queue.is_slice_spent() {
            self.wait_for_turn(id, command);
            return Go::Stop;
        }
        let Some(conn) = self.conns.get_mut(id) else { return Go::Stop };
        if !self.commands.allow(cx.now.instant, conn.addr) {
            if let Some(before) = self.much.say(cx.now.instant) {
                let addr = conn.addr;
                warn!(
                    dialect = "gmnet", event = "refused", address:% = addr,
                    reason = Reason::Requests.name();
                    "{addr} has to wait: it sends more than --max-commands allows{before}"
                );
            }
            if !std::mem::replace(&mut conn.is_put_off, true) {
                cx.refused(Name::Gmnet, Reason::Requests, conn.addr);
            }
            conn.deferred = Some(Box::new(command.clone()));
            self.throttled.arm(cx.now.instant, id);
            return Go::Stop;
        }
        (conn.times.progress, conn.is_put_off) = (cx.now.instant, false);
        if matches!(command.verb, Verb::Reg | Verb::Reg2 | Verb::Connect | Verb::Lobby2) {
            conn.times.last_use = cx.now.instant;
        }
        self.work_queue.spend(limits::COMMAND_WORK);
        self.execute(cx, id, command)
    }

    /// Has a command wait for the next turn.
    pub(super) fn wait_for_turn(&mut self, id: ConnId, command: &Command) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.deferred = Some(Box::new(command.clone()));
        self.work_queue.wait(conn.addr, id);
    }

    /// Goes on with what waits for a turn, as far as this turn goes.
    pub(super) fn take_turns(&mut self, cx: &mut Context<'_>) {
        if self.work_queue.is_empty() && self.resumed.is_empty() {
            return;
        }
        self.work_queue.begin_turn(cx.now.instant);
        while let Some(id) = self.work_queue.take() {
            self.carry_out_deferred(cx, id);
        }
    }

    /// Tries again what had to wait.
    pub(super) fn carry_out_deferred(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.work_queue.begin(cx.now.instant);
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Some(command) = conn.deferred.take() else { return };
        if self.carry_out(cx, id, &command) == Go::On {
            self.run(cx, id, b"");
        }
        self.count_unfinished(id);
    }

    /// Lets the connections go on that have waited for an answer and got it. What they have sent
    /// ahead may end another's wait, whose connection goes on as well: so all of them together do
    /// what one connection may do at a time, and the rest in the next turn.
    pub(super) fn resume(&mut self, cx: &mut Context<'_>) {
        if self.resumed.is_empty() {
            return;
        }
        self.work_queue.begin(cx.now.instant);
        let before = self.work_queue.spent();
        while !self.work_queue.is_slice_spent_since(before)
            && let Some(id) = self.resumed.pop_front()
        {
            self.run(cx, id, b"");
        }
    }

    pub(super) fn execute(&mut self, cx: &mut Context<'_>, id: ConnId, command: &Command) -> Go {
        match command.verb {
            Verb::Reg2 => return self.reg2(cx, id, command),
            Verb::Reg => return self.register(cx, id, None),
            Verb::Connect => return self.connect(cx, id, command.param(0)),
            Verb::Lobby2 => return self.lobby(cx, id, command),
            Verb::IsTesting => {
                self.answer(cx, id, |b, config| b.extend([TESTING, config.testing.into()]));
            }
            Verb::TestingInfos => self.answer(cx, id, write_testing_infos),
            Verb::Version => {
                self.answer(cx, id, |b, _| _ = write_line(b, VERSION, version::SPOKEN));
            }
        }
        Go::On
    }

    /// Sends a message on a connection in one piece.
    pub(super) fn answer(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnId,
        fill: impl FnOnce(&mut Vec<u8>, &Config),
    ) {
        cx.out.tcp(id, |bytes| fill(bytes, &self.config));
        if let Some(conn) = self.conns.get_mut(id) {
            conn.times.quiet_until = cx.now.instant + self.config.notify_gap;
        }
    }
}

fn write_testing_infos(bytes: &mut Vec<u8>, config: &Config) {
    if config.testing {
        let _ = write_line(bytes, TESTING_INFOS, &config.name);
        let _ = writeln!(bytes, "{}\n{}", version::SPOKEN, version::OLDEST);
    } else {
        bytes.extend([TESTING_INFOS, 0]);
    }
}

fn write_line(bytes: &mut Vec<u8>, message: u8, text: &str) -> std::io::Result<()> {
    bytes.push(message);
    writeln!(bytes, "{text}")
}
