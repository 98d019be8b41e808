//! Several servers that are one to their players: nodes of a cluster. Each node owns its own peers, and tells
//! the others what they have to know of them. Messages go over NATS, which the state machine here knows nothing
//! of: it gives out bytes for one node or for all, and takes the bytes that came.
//!
//! # What a node tells others, and when
//!
//! * To all, each half second: `Hello`, with its name, its incarnation (when it was started) and a count, and each two
//!   seconds with [numbers](About) for the owner. Who has not said so for three seconds is gone; who says `Bye` is
//!   gone at once.
//! * To each node that it hears of, on a link of its own: parts, numbered from 0. First the dialects tell
//!   everything, each as it pleases ([`on_node_joined`](crate::dialect::Dialect::on_node_joined)), then each change,
//!   question and answer. What is said in one turn of the event loop is one part. When there is nothing to say for half
//!   a second an empty part follows, so that it is noticed if the last one was lost.
//! * A part comes once and in order: what has a number that was heard already is a copy; a number that leaves
//!   one out means that something is lost. Then the receiver drops what comes on that link, and asks
//!   with `Again`: the sender begins a new link, with a higher number, and tells everything. Until that
//!   has come the receiver keeps what it knew, so that nothing vanishes for a moment, but for three seconds at most.
//! * Who takes over from a process is the same node, with its incarnation and the links to it ([`Cluster::restore`]).
//! * A message names the incarnation that it is for, and that which it is from: what was meant for the process before,
//!   or comes from it, is dropped. A higher incarnation is a restart, and everything is told anew.
//!
//! So whatever is lost, late or repeated, a node knows of another all that this one has told, or asks.
//! Every message begins with a byte that counts the versions of this; another version is not read, and the owner is
//! told. Nodes trust each other: who may speak on the subjects of the cluster is up to NATS. But what they
//! send is parsed as what anybody sends, and bounded (see [`limits::cluster`](crate::limits::cluster)).

mod about;
mod links;
mod message;
mod names;
mod node;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;

use log::{info, warn};

use self::about::untold;
pub use self::about::{ALONE, About, Relay, Spoken};
use self::message::{Message, What};
pub use self::names::{Names, NodeId, check_name};
pub use self::node::Known;
use self::node::{Node, Part};
use crate::clock::Instant;
use crate::dialect::Name;
use crate::limits::cluster as limits;
use crate::timers::LogThrottle;

/// What parts about relays are called, in the place of a dialect.
const RELAY: &str = "relay";

/// For whom a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// One node.
    Node(NodeId),
    /// All others that are there.
    All,
}

/// What the owner decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name of this node.
    pub name: String,
    /// Higher than that of any process that had this name before: microseconds since 1970 at its start.
    pub incarnation: u64,
}

/// What dialects have to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A node is to be told everything.
    Joined(NodeId),
    /// A dialect of a node has said something.
    Message(NodeId, Name, Vec<u8>),
    /// A node has said something of relays.
    Relay(NodeId, Vec<u8>),
    /// A node is gone.
    Gone(NodeId),
}

/// Bytes that are to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// The name of the node that they are for; none: for all.
    pub to: Option<Box<str>>,
    /// The message.
    pub bytes: Vec<u8>,
}

/// Another node that is there.
#[derive(Clone, Copy, Debug)]
pub struct Other<'a> {
    /// Which one.
    pub id: NodeId,
    /// What it is called.
    pub name: &'a str,
    /// Since when it has been there.
    pub since: Instant,
    /// What it has told of itself.
    pub about: Option<&'a About>,
}

/// What this node knows of the others. No I/O, no clock.
#[derive(Debug)]
pub struct Cluster {
    config: Config,
    /// By their [`NodeId`]; none is ever taken away, only replaced when it is gone.
    nodes: Vec<Node>,
    names: Names,
    /// How many links there have been: their numbers only grow.
    links: u64,
    /// How often this node has said that it is there.
    hellos: u64,
    next_beat: Instant,
    /// What it tells of itself, as bytes too, and when that is to be told anew.
    about: About,
    about_bytes: Vec<u8>,
    next_about: Instant,
    /// Another node has told of itself.
    has_heard_about: bool,
    /// Since when there is no way to other nodes, if there is none.
    cut_since: Option<Instant>,
    /// When another process said last that it is this node.
    double_heard: Option<Instant>,
    /// Since when no other node has been there though there is a way to them, and whether the owner was told.
    alone_since: Option<Instant>,
    has_said_alone: bool,
    outbound: Vec<Outbound>,
    events: VecDeque<Event>,
    warnings: LogThrottle,
    full: LogThrottle,
    long: LogThrottle,
}

impl Cluster {
    /// A node that has heard of no other.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            nodes: Vec::new(),
            names: Names::default(),
            links: 0,
            hellos: 0,
            next_beat: Instant::default(),
            about: About::default(),
            about_bytes: Vec::new(),
            next_about: Instant::default(),
            has_heard_about: false,
            cut_since: Some(Instant::default()),
            double_heard: None,
            alone_since: None,
            has_said_alone: false,
            outbound: Vec::new(),
            events: VecDeque::new(),
            warnings: LogThrottle::default(),
            full: LogThrottle::default(),
            long: LogThrottle::default(),
        }
    }

    /// What another process needs to be this node to all others.
    #[must_use]
    pub fn known(&self) -> Known {
        let Config { name, incarnation } = &self.config;
        Known {
            name: name.clone(),
            incarnation: *incarnation,
            links: self.links,
            hellos: self.hellos,
            nodes: self.nodes.iter().map(Node::known).collect(),
        }
    }

    /// Goes on from what another process [knew](Self::known), if it had the name of this node and this one has heard of
    /// nobody yet. What others have said since comes by the same links; they are told everything by new ones, and asked
    /// for everything, as not all that they have told was handed over. False: this is another node.
    pub fn restore(&mut self, now: Instant, known: Known) -> bool {
        let Known { name, incarnation, links, hellos, nodes } = known;
        if !self.nodes.is_empty() || name != self.config.name {
            return false;
        }
        self.config.incarnation = incarnation;
        (self.links, self.hellos) = (links, hellos);
        let all = nodes.into_iter().filter(|node| check_name(&node.name).is_ok());
        for (n, known) in all.take(limits::NODES).enumerate() {
            self.names.set(NodeId::of(n), &known.name);
            let node = Node::restore(now, known);
            let is_there = node.is_there;
            self.nodes.push(node);
            if is_there {
                self.begin_link(now, NodeId::of(n), n);
            }
        }
        true
    }

    /// What the others are called.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The names of those that are there.
    pub fn there(&self) -> impl Iterator<Item = &str> {
        self.others().map(|other| other.name)
    }

    /// Those that are there.
    pub fn others(&self) -> impl Iterator<Item = Other<'_>> {
        let there = self.nodes.iter().enumerate().filter(|(_, node)| node.is_there);
        there.map(|(n, Node { name, since, about, .. })| Other {
            id: NodeId::of(n),
            name,
            since: *since,
            about: about.as_deref(),
        })
    }

    /// The next thing that dialects have to hear.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What is to be sent since this was asked last.
    pub fn take_outbound(&mut self) -> Vec<Outbound> {
        (0..self.nodes.len()).for_each(|n| self.post_said(n));
        std::mem::take(&mut self.outbound)
    }

    /// When [`Self::on_wakeup`] has something to do.
    #[must_use]
    pub fn next_wakeup(&self) -> Instant {
        self.next_beat
    }

    /// Something came, by whatever way: from another node, this one or anybody.
    pub fn on_message(&mut self, now: Instant, bytes: &[u8]) {
        let message = match message::read(bytes) {
            Ok(message) => message,
            Err(why) => return self.warn(now, format_args!("a message is not read: {why}")),
        };
        let Message { from, incarnation, .. } = message;
        if from == self.config.name {
            if incarnation != self.config.incarnation && matches!(message.what, What::Hello { .. })
            {
                self.double_heard = Some(now);
                self.warn(now, format_args!("another node calls itself {from} as well"));
            }
            return;
        }
        let Some((id, n)) = self.find_or_add(now, from) else { return };
        let Some(node) = self.nodes.get_mut(n) else { return };
        if node.is_there && incarnation < node.incarnation {
            return;
        }
        // That it is there is little, and is not to be lost with what is too much.
        let is_beat =
            matches!(message.what, What::Hello { about, .. } if about.len() <= limits::ABOUT);
        if !is_beat && !node.takes(now, bytes.len()) {
            return;
        }
        match message.what {
            What::Bye => {
                if node.incarnation <= incarnation {
                    node.leave(incarnation);
                    self.lose(id, n, "it has left");
                }
            }
            What::Hello { n: count, about } => {
                self.hello(now, (id, n), incarnation, Some(count));
                self.note_about((n, incarnation), count, about);
            }
            What::Part { to, link, number, said } => {
                if to != self.config.incarnation {
                    return;
                }
                self.hello(now, (id, n), incarnation, None);
                self.part(now, (id, n), Part { link, number }, said);
            }
            What::Again { to, link } => {
                if to == self.config.incarnation {
                    self.hello(now, (id, n), incarnation, None);
                    self.begin_again(now, (id, n), link);
                }
            }
        }
    }

    /// The time that [`Self::next_wakeup`] tells has come (or not yet: then nothing is to be done).
    pub fn on_wakeup(&mut self, now: Instant) {
        if now < self.next_beat {
            return;
        }
        self.next_beat = now + limits::HEARTBEAT;
        self.say_hello(self.next_about == now + limits::ABOUT_EVERY);
        self.note_alone(now);
        for n in 0..self.nodes.len() {
            let Some(node) = self.nodes.get_mut(n).filter(|node| node.is_there) else { continue };
            let id = NodeId::of(n);
            if now - node.heard >= limits::GONE {
                self.lose(id, n, "nothing was heard of it for 3 s");
                continue;
            }
            if node.is_stale(now) {
                let untold = node.is_untold(now).then(|| untold(&node.name));
                self.events.push_back(Event::Gone(id));
                self.begin_link(now, id, n);
                untold.into_iter().for_each(|what| self.warn(now, format_args!("{what}")));
                continue;
            }
            let is_quiet = now - node.out.last >= limits::HEARTBEAT / 2;
            let missed = node.missed(now);
            if is_quiet {
                self.post_part(now, n);
            }
            if let Some(link) = missed {
                self.ask_again(n, link);
            }
        }
    }

    /// A dialect has something to say to nodes.
    pub fn post(&mut self, now: Instant, of: Name, to: Whom, bytes: &[u8]) {
        if bytes.len() > limits::MESSAGE - limits::PART {
            if let Some(before) = self.long.say(now) {
                let length = bytes.len();
                warn!("cluster: a message of {length} bytes is too long for other nodes{before}");
            }
            return;
        }
        match to {
            Whom::Node(id) => self.say(now, id.place(), of.text(), bytes),
            Whom::All => (0..self.nodes.len()).for_each(|n| self.say(now, n, of.text(), bytes)),
        }
    }

    /// Something about relays is to be said to a node.
    pub fn post_relay(&mut self, now: Instant, to: NodeId, bytes: &[u8]) {
        self.say(now, to.place(), RELAY, bytes);
    }

    /// A dialect here has forgotten all that it knew: everything is told and asked for anew.
    pub fn begin_anew(&mut self, now: Instant) {
        for n in 0..self.nodes.len() {
            let Some(node) = self.nodes.get_mut(n).filter(|node| node.is_there) else { continue };
            let link = node.inn.give_up(now);
            self.ask_again(n, link);
            self.begin_link(now, NodeId::of(n), n);
        }
    }

    /// A dialect has not believed what this node has told, and would now: it is asked for everything.
    pub fn want_all(&mut self, of: NodeId) {
        self.nodes.get_mut(of.place()).into_iter().for_each(Node::want_all);
    }

    /// This node is about to stop.
    pub fn say_bye(&mut self) {
        self.send(None, What::Bye);
    }
}

impl Cluster {
    /// The place of the node with this name; none if there is no room for it.
    fn find_or_add(&mut self, now: Instant, name: &str) -> Option<(NodeId, usize)> {
        let known = self.nodes.iter().position(|node| *node.name == *name);
        let n = match known {
            Some(n) => n,
            None if self.nodes.len() < limits::NODES => {
                self.nodes.push(Node::new(name));
                self.nodes.len() - 1
            }
            None => {
                // Dialects have heard that it is gone, and know nothing of it any more.
                let gone = self.nodes.iter().position(|node| !node.is_there);
                let Some(n) = gone else {
                    if let Some(before) = self.full.say(now) {
                        let most = limits::NODES;
                        warn!("cluster: node {name} has no place beside {most} others{before}");
                    }
                    return None;
                };
                *self.nodes.get_mut(n)? = Node::new(name);
                n
            }
        };
        if known.is_none() {
            self.names.set(NodeId::of(n), name);
        }
        Some((NodeId::of(n), n))
    }

    /// A node shows that it lives, or has begun to.
    fn hello(
        &mut self,
        now: Instant,
        (id, n): (NodeId, usize),
        incarnation: u64,
        count: Option<u64>,
    ) {
        let Some(node) = self.nodes.get_mut(n) else { return };
        let was_there = node.is_there;
        let is_same = node.incarnation == incarnation;
        let is_news = count.is_some_and(|count| !is_same || count > node.hellos);
        if let Some(count) = count.filter(|_| is_news) {
            node.hellos = count;
            node.heard = now;
        }
        // What comes late from one that is gone does not bring it back.
        let is_back = !was_there && (is_news || !is_same && incarnation > node.incarnation);
        if !is_back && (is_same || !was_there) {
            return;
        }
        // All is told to it, so who begins all the time is heard by a later heartbeat.
        if !node.takes(now, limits::BEGIN_BYTES) {
            return;
        }
        node.begin(now, incarnation, count.unwrap_or(0));
        let name = &node.name;
        if was_there {
            info!(event = "node_restarted", node = &**name; "cluster: node {name} has begun anew");
        } else {
            info!(event = "node_there", node = &**name; "cluster: node {name} is there");
        }
        if !was_there {
            // It may wait for its next heartbeat to hear of this one.
            self.say_hello(true);
        }
        self.begin_link(now, id, n);
    }

    fn lose(&mut self, id: NodeId, n: usize, why: &str) {
        let Some(node) = self.nodes.get_mut(n) else { return };
        if std::mem::replace(&mut node.is_there, false) {
            let name = &node.name;
            info!(event = "node_gone", node = &**name; "cluster: node {name} is gone: {why}");
            self.events.push_back(Event::Gone(id));
        }
    }

    fn send(&mut self, to: Option<Box<str>>, what: What<'_>) {
        let Config { name, incarnation } = &self.config;
        let message = Message { from: name, incarnation: *incarnation, what };
        self.outbound.extend(message::write(&message).map(|bytes| Outbound { to, bytes }));
    }

    fn warn(&mut self, now: Instant, what: fmt::Arguments<'_>) {
        if let Some(before) = self.warnings.say(now) {
            warn!("cluster: {what}{before}");
        }
    }
}
