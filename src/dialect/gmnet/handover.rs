//! How the dialect goes on from what another process knew.

use super::Gmnet;
use crate::clock::Instant;

impl Gmnet {
    /// Goes on from that. What options decide stays as it is here; what follows from the rest is made anew.
    pub(super) fn restore(&mut self, now: Instant, saved: Self) {
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
            work_queue,
            throttled,
            resumed,
            heard: _,
            notices,
            port_probes,
            attempts,
            relays,
            asked,
            failed,
            unread,
            lookups,
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
        self.hosts.restore(hosts);
        let hosts = self.hosts.all_keys();
        self.keepalives.restore(now, keepalives, hosts.map(|(key, host)| (key, host.since)));
        self.ports.restore(ports);
        self.introductions.restore(introductions);
        self.stalls.restore(stalls);
        self.gaps.restore(gaps);
        self.work_queue.restore(work_queue);
        self.throttled.restore(throttled);
        self.notices.restore(notices);
        self.port_probes.restore(port_probes);
        self.attempts.restore(attempts);
        self.relays.restore(relays);
        self.asked = asked;
        self.failed.restore(failed);
        self.unread = unread;
        self.lookups.restore(lookups);
        self.commands.restore(commands);
        self.lines.restore(lines);
        (self.unpaired_regs, self.unpaired_connects) = (unpaired_regs, unpaired_connects);
        (self.resumed, self.much, self.refused) = (resumed, much, refused);
    }
}
