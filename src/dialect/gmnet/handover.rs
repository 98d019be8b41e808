//! How the dialect goes on from what another process knew.

use super::Gmnet;
use crate::clock::Instant;

impl Gmnet {
    /// Goes on from that. What options decide stays as it is here; what follows from the rest is made anew.
    pub(super) fn go_on(&mut self, now: Instant, saved: Self) {
        let Self {
            config: _,
            conns,
            hosts,
            ports,
            introductions,
            stalls,
            replies: _,
            gaps,
            keepalives,
            turns,
            throttled,
            resumed,
            notices,
            knocks,
            attempts,
            relays,
            asked,
            failed,
            unread,
            looks,
            unpaired_regs,
            unpaired_connects,
            unfinished: _,
            commands,
            lines,
            much,
            refused,
            spare: _,
            nodes: _,
            is_stopping: _,
        } = saved;
        for (id, conn) in conns.iter() {
            self.unfinished.count(conn.addr, id, conn.unfinished());
        }
        self.conns = conns;
        self.hosts.go_on(hosts);
        let hosts = self.hosts.all_keys();
        self.keepalives.go_on(now, keepalives, hosts.map(|(key, host)| (key, host.since)));
        self.ports.go_on(ports);
        self.introductions.go_on(introductions);
        self.stalls.go_on(stalls);
        self.gaps.go_on(gaps);
        self.turns.go_on(turns);
        self.throttled.go_on(throttled);
        self.notices.go_on(notices);
        self.knocks.go_on(knocks);
        self.attempts.go_on(attempts);
        self.relays.go_on(relays);
        self.asked = asked;
        self.failed.go_on(failed);
        self.unread = unread;
        self.looks.go_on(looks);
        self.commands.go_on(commands);
        self.lines.go_on(lines);
        (self.unpaired_regs, self.unpaired_connects) = (unpaired_regs, unpaired_connects);
        (self.resumed, self.much, self.refused) = (resumed, much, refused);
    }
}
