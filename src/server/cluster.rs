//! The other nodes of a cluster, each of which is one more kind of peer.

use log::warn;

use super::Server;
use super::window::uptime;
use crate::clock::Now;
use crate::cluster::{About, Event, NodeId, Outbound, Spoken};
use crate::dialect::{Name, Outbox, Shows as _};
use crate::introductions::relay::remote::{News, Relaying};

impl Server {
    /// Something came that another node has sent, or whoever else can.
    pub fn on_node_bytes(&mut self, now: Now, bytes: &[u8], out: &mut Outbox) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.on_message(now.instant, bytes);
        if cluster.take_heard_about() {
            self.note_relays();
        }
        self.tell_dialects(now, out);
        self.tell_relayed(now, out);
    }

    /// What other nodes are to be sent since this was asked last.
    pub fn take_outbound(&mut self) -> Vec<Outbound> {
        self.cluster.as_mut().map(|cluster| cluster.take_outbound()).unwrap_or_default()
    }

    /// The names of the other nodes that are there.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.cluster.iter().flat_map(|cluster| cluster.there())
    }

    /// Whether there is a way to other nodes.
    pub fn set_connected(&mut self, now: Now, is_connected: bool) {
        self.cluster.iter_mut().for_each(|c| c.set_connected(now.instant, is_connected));
    }

    /// What this node tells others of itself.
    fn about(&mut self, now: Now) -> About {
        let spoken = Name::ALL.into_iter().filter_map(|name| {
            let census = self.dialects.get(name)?.census();
            Some(Spoken::new(name, census))
        });
        About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: uptime(now).as_secs(),
            connections: self.connections.len() as u64,
            dialects: spoken.collect(),
            relay: self.shared.relay.about(now),
        }
    }

    pub(super) fn wake_cluster(&mut self, now: Now, out: &mut Outbox) {
        let Some(cluster) = &mut self.cluster else { return };
        let anew =
            self.dialects.all_mut().map(|dialect| usize::from(dialect.take_anew())).sum::<usize>();
        if anew > 0 {
            cluster.begin_anew(now.instant);
        }
        if cluster.wants_about(now.instant) {
            let about = self.about(now);
            self.cluster
                .iter_mut()
                .for_each(|cluster| cluster.tell_about(now.instant, about.clone()));
        }
        let Some(cluster) = &mut self.cluster else { return };
        std::mem::take(&mut self.shared.unheard)
            .into_iter()
            .for_each(|node| cluster.want_all(node));
        cluster.on_wakeup(now.instant);
        self.tell_dialects(now, out);
        self.shared.relay.on_wakeup(now);
        self.tell_relayed(now, out);
    }

    /// Has the nodes told what dialects have put into the outbox for them.
    pub(super) fn post_since(&mut self, now: Now, before: usize, out: &Outbox) {
        let Some(cluster) = &mut self.cluster else { return };
        for (of, whom, bytes) in out.for_nodes_since(before) {
            cluster.post(now.instant, of, whom, bytes);
        }
        self.post_of_relays(now);
    }

    /// Has nodes told what there is to tell of relays.
    fn post_of_relays(&mut self, now: Now) {
        let Some(cluster) = &mut self.cluster else { return };
        for (node, bytes) in self.shared.relay.elsewhere().take_outbound() {
            cluster.post_relay(now.instant, node, &bytes);
        }
    }

    /// Which nodes have relays.
    pub(super) fn note_relays(&mut self) {
        let Some(cluster) = &self.cluster else { return };
        let relays = cluster.others().filter_map(|other| {
            let about = other.about?;
            let relay = about.relay?;
            Some(Relaying {
                node: other.id,
                told: relay.told(),
                is_apart: relay.is_apart,
                has_room: relay.has_room(),
                is_alone: about.is_relay_alone(),
                sessions: relay.sessions,
            })
        });
        self.shared.relay.elsewhere().set_nodes(relays);
    }

    fn handle_relay_of(&mut self, now: Now, node: NodeId, bytes: &[u8]) {
        if let Err(why) = self.shared.relay.on_node_message(now, node, bytes)
            && let Some(before) = self.odd_relay.say(now.instant)
        {
            let name = self.shared.nodes.of(node);
            warn!("cluster: what node {name} says of relays is not understood: {why}{before}");
        }
    }

    /// Tells dialects who is relayed by other nodes, and the journal how that ended.
    fn tell_relayed(&mut self, now: Now, out: &mut Outbox) {
        while let Some(News { attempt, is_given }) = self.shared.relay.elsewhere().next_news() {
            self.with(now, attempt.dialect, out, |dialect, cx| {
                dialect.on_relay(cx, &attempt, is_given);
            });
        }
        for (attempt, way) in self.shared.relay.elsewhere().take_ended() {
            self.shared.journal.note(now, &self.shared.nats, attempt, way);
        }
        self.post_of_relays(now);
    }

    pub(super) fn tell_dialects(&mut self, now: Now, out: &mut Outbox) {
        while let Some((event, names)) = self.next_event() {
            if let Some(names) = names {
                self.shared.nodes = names;
            }
            match event {
                Event::Joined(node) => {
                    self.note_relays();
                    self.shared.relay.on_node_joined(node);
                    self.with_all(now, out, |dialect, cx| dialect.on_node_joined(cx, node));
                }
                Event::Message(node, of, bytes) => {
                    self.with(now, of, out, |dialect, cx| {
                        dialect.on_node_message(cx, node, &bytes)
                    });
                }
                Event::Relay(node, bytes) => self.handle_relay_of(now, node, &bytes),
                Event::Gone(node) => {
                    self.shared.relay.on_node_gone(now, node);
                    self.with_all(now, out, |dialect, cx| dialect.on_node_gone(cx, node));
                }
            }
        }
    }

    /// The next event, and the names of all nodes if there may be a new one.
    fn next_event(&mut self) -> Option<(Event, Option<crate::cluster::Names>)> {
        let cluster = self.cluster.as_mut()?;
        let event = cluster.next_event()?;
        let names = matches!(event, Event::Joined(_)).then(|| cluster.names().clone());
        Some((event, names))
    }
}
