//! One run: the two halves of the relay, everybody around them, and what happens next.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use punchd::clock::{Instant, Now};
use punchd::dialect::{ConnId, Outbox};
use punchd::introductions::relay::forwarding::Forwarding;
use punchd::introductions::relay::{End, Order};
use punchd::server::Server;

use super::super::restarts::{self, Restarts};
use super::super::rng::Rng;
use super::super::trace::{Trace, Who};
use super::Summary;
use super::meddlers::Meddler;
use super::network::{Event, Network, Timer};
use super::plan::{MONTH_ENDS, Plan, is_relay};
use super::players::{Everybody, Player};
use super::promises::flow::Flows;
use super::promises::given::Given;
use super::promises::passed::Passed;
use super::promises::{Kept, Promise, broken};

/// Nothing needs longer when everybody has left: what is known of failures is forgotten last.
const DRAINS: Duration = Duration::from_secs(400);

/// More things happen only if one of the halves wakes up without cause, again and again.
const MOST_STEPS: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct World {
    pub(super) server: Server,
    pub(super) forwarding: Forwarding,
    restarts: Restarts,
    pub(super) out: Outbox,
    pub(super) net: Network,
    pub(super) players: Vec<Player>,
    pub(super) hard: Vec<std::net::IpAddr>,
    meddlers: Vec<Meddler>,
    /// Links by their connections.
    pub(super) conns: BTreeMap<ConnId, usize>,
    pub(super) free: Vec<u32>,
    pub(super) generation: u32,
    /// Sessions on their way to the relay's thread, and what is to end there.
    pub(super) channel: VecDeque<Order>,
    /// No report overtakes another.
    pub(super) reported: Instant,
    pub(super) given: Given,
    pub(super) passed: Passed,
    pub(super) flows: Flows,
    pub(super) summary: Summary,
    pub(super) trace: Trace,
    is_over: bool,
}

impl World {
    pub(super) fn new(seed: u64, trace: Trace) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::new(seed, &mut rng);
        let (server, relay) = (Server::new(plan.server()), plan.relay.clone());
        let restarts = Restarts::any(seed, plan.server(), 500);
        let mut net = Network::new(rng, plan);
        let all = Everybody::new(&mut net);
        net.after(Duration::from_secs(1), Event::Look);
        Self {
            server,
            forwarding: Forwarding::new(relay.bounds),
            restarts,
            out: Outbox::new(),
            net,
            players: all.players,
            hard: all.hard,
            meddlers: all.meddlers,
            conns: BTreeMap::new(),
            free: Vec::new(),
            generation: 0,
            channel: VecDeque::new(),
            reported: Instant::default(),
            given: Given::new(relay.clone()),
            passed: Passed::new(relay.bounds),
            flows: Flows::default(),
            summary: Summary { seeds: 1, ..Summary::default() },
            trace,
            is_over: false,
        }
    }

    pub(super) fn time(&self) -> Instant {
        self.net.now
    }

    pub(super) fn now(&self) -> Now {
        let instant = self.net.now;
        Now { instant, unix: self.net.plan.epoch + instant.micros() / 1_000_000 }
    }

    /// The same time with the number of its month.
    pub(super) fn in_month(&self) -> (Instant, u64) {
        let Now { instant, unix } = self.now();
        (instant, u64::from(unix >= MONTH_ENDS))
    }

    /// The time by the clock of the relay's thread.
    pub(super) fn thread_now(&self) -> Instant {
        self.net.now + self.net.plan.offset
    }

    pub(super) fn into_trace(self) -> Trace {
        self.trace
    }

    pub(super) fn summary(&self) -> Summary {
        let [direct, relayed, at_once, host_first, refused] = self.given.counts;
        let simulated = self.net.now.since(Instant::default());
        let (promised, trace) = (self.flows.promised, self.trace.hash());
        Summary {
            direct,
            relayed,
            at_once,
            host_first,
            refused,
            promised,
            simulated,
            trace,
            ..self.summary
        }
    }

    pub(super) fn run(&mut self) -> Kept {
        let begin = self.net.now;
        let (over, end) = (begin + self.net.plan.lasts, begin + self.net.plan.lasts + DRAINS);
        loop {
            let now = self.net.now;
            let by_server = self.server.next_wakeup().map(|at| at.max(now));
            let by_thread = self.forwarding.next_wakeup();
            let by_thread = by_thread.map(|at| at.before(self.net.plan.offset).max(now));
            let next = [by_server, by_thread, self.net.next()].into_iter().flatten().min();
            if !self.is_over && next.is_none_or(|at| at >= over) {
                self.net.now = over;
                self.leave();
                continue;
            }
            let Some(at) = next.filter(|at| *at < end) else { return self.check_end() };
            self.net.now = at;
            let now = self.now();
            if self.restarts.maybe(&mut self.server, now, &mut self.out) {
                restarts::pass_on(&mut self.forwarding, self.net.plan.relay.bounds);
            }
            self.given.passes(self.in_month())?;
            self.summary.steps += 1;
            if self.summary.steps > MOST_STEPS {
                return broken(Promise::Ends, "it wakes up without cause, again and again".into());
            }
            if by_server == Some(at) {
                self.server.on_wakeup(self.now(), &mut self.out);
                self.turn()?;
                self.given.ended.passes(at);
                self.check_journal()?;
            } else if by_thread == Some(at) {
                self.end_turn_of_thread()?;
            } else if let Some(event) = self.net.pop(at) {
                self.handle(event)?;
            }
            self.passed.check(at)?;
        }
    }

    fn handle(&mut self, event: Event) -> Kept {
        match event {
            Event::Open(link) => self.open(link),
            Event::Bytes(link, bytes) => self.bytes(link, &bytes),
            Event::End(link, is_reset) => self.end(link, is_reset),
            Event::Tell(link, bytes) => {
                self.tell(link, &bytes);
                Ok(())
            }
            Event::Datagram(from, to, data) => self.datagram(from, to, &data),
            Event::ThreadWakes => {
                self.take_orders()?;
                self.end_turn_of_thread()
            }
            Event::Report(report) => self.report(report),
            Event::Wake(player, timer) => {
                self.wake(player, timer);
                Ok(())
            }
            Event::Meddle(n) => {
                if let Some(meddler) = self.meddlers.get_mut(n).filter(|_| !self.is_over) {
                    meddler.act(n, &mut self.net);
                }
                Ok(())
            }
            Event::Forget(nat) => {
                self.net.nats[nat].forget();
                self.given.hopeless.forget(self.net.now, self.net.nats[nat].addr());
                Ok(())
            }
            Event::Look => self.look(),
        }
    }

    fn wake(&mut self, n: usize, timer: Timer) {
        if self.is_over && timer == Timer::Start {
            return;
        }
        let net = &mut self.net;
        let is_excused = match &mut self.players[n] {
            Player::Host(host) => {
                host.wake(timer, net);
                host.is_gone
            }
            Player::Client(client) => {
                client.wake(timer, net);
                client.is_idle()
            }
        };
        if is_excused || timer == Timer::AskAgain {
            self.flows.excuse_player(n);
        }
    }

    /// What the server wrote arrives, at a player who listens there.
    fn tell(&mut self, link: usize, bytes: &[u8]) {
        let player = self.net.links[link].player;
        if !self.net.is_heard(link) {
            // A host that comes back at this moment never knows.
            self.flows.excuse_player(player);
            return;
        }
        match &mut self.players[player] {
            Player::Host(host) => host.hear(bytes, &mut self.net),
            Player::Client(client) => client.hear(bytes, &mut self.net),
        }
    }

    /// Looks whether those who were told of the relay get through.
    fn look(&mut self) -> Kept {
        self.excuse_intruders();
        let aims_at = |n| match self.players.get(n) {
            Some(Player::Client(client)) => client.aims_at(),
            _ => None,
        };
        self.flows.check((self.net.now, self.net.plan.play.every), aims_at)?;
        if !self.is_over {
            self.net.after(Duration::from_secs(1), Event::Look);
        }
        Ok(())
    }

    /// Two players behind one address play where one of them was told to: it has tried ports, and was let in
    /// there before the other one was. The relay cannot tell them apart, and nothing is promised of either.
    fn excuse_intruders(&mut self) {
        let mut at = BTreeMap::new();
        for (n, player) in self.players.iter().enumerate() {
            if let Player::Client(client) = player
                && let Some((to, true)) = client.aims_at()
            {
                at.entry((client.nat, to)).or_insert_with(Vec::new).push(n);
            }
        }
        for players in at.into_values().filter(|players| players.len() > 1) {
            players.into_iter().for_each(|n| self.flows.excuse_player(n));
        }
    }

    /// Everybody leaves.
    fn leave(&mut self) {
        self.is_over = true;
        self.trace.note(self.net.now, "over", Who::Server, b"");
        for n in 0..self.players.len() {
            if let Player::Client(client) = &mut self.players[n] {
                client.returns = 0;
            }
            self.wake(n, Timer::Leave);
        }
    }

    pub(super) fn check_journal(&self) -> Kept {
        self.given.ended.check(self.server.journal().noted())
    }

    /// Nothing is left of anything.
    fn check_end(&self) -> Kept {
        self.check_journal()?;
        self.passed.check_end()?;
        let left = (self.given.len(), self.server.relay().len());
        if left != (0, 0) || self.forwarding.next_wakeup().is_some() || !self.channel.is_empty() {
            return broken(Promise::Ends, format!("sessions are left: {left:?}"));
        }
        if let Some(at) = self.server.next_wakeup() {
            return broken(Promise::Ends, format!("nobody is left, it wants to wake at {at:?}"));
        }
        Ok(())
    }

    /// Counts why a session is over.
    pub(super) fn count_end(&mut self, end: End) {
        self.summary.ended[match end {
            End::Unanswered => 0,
            End::Idle => 1,
            End::UsedUp => 2,
            End::GaveWay => 3,
        }] += 1;
    }

    /// Whether this is an address of the relay.
    pub(super) fn is_at_relay(&self, to: std::net::SocketAddr) -> bool {
        is_relay(to.ip()) && self.net.plan.relay.ports.contains(&to.port())
    }
}
