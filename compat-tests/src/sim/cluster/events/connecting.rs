//! How peers come and go.

use std::time::Duration;

use punchd::dialect::ConnId;
use serde_json::{Value, json};

use super::super::plan::NODES;
use super::super::stage::Stage;
use super::{Cast, Event};

/// Who is told so often that its ID is taken gives up.
const REFUSED: u32 = 12;

impl Cast {
    /// A peer connects to the node that it wants, or another one, and logs in.
    pub(super) fn log_in(&mut self, stage: &mut Stage, n: usize) {
        let Some(peer) = self.peers.get_mut(n) else { return };
        if peer.conn.is_some() || peer.has_left {
            return;
        }
        let Some(node) = stage.living(peer.node) else {
            return stage.after(Duration::from_secs(1), Event::LogIn(n).into());
        };
        let Some(conn) = stage.open(node, peer.at[0]) else { return };
        peer.login += 1;
        (peer.conn, peer.node, peer.since) = (Some((node, conn)), node, None);
        peer.changes_room = false;
        peer.has_shown = false;
        peer.keeps = stage.rng.permille(500);
        let mut data = json!({"id": peer.id, "game": "g", "keep": peer.keeps});
        if let (Some(secret), Some(data)) = (&peer.secret, data.as_object_mut()) {
            data.insert("secret".into(), secret.clone().into());
        }
        self.owners.insert((node, conn), n);
        self.request(stage, n, "login", data);
    }

    /// A peer has been let in.
    pub(super) fn logged_in(
        &mut self,
        stage: &mut Stage,
        n: usize,
        data: &Value,
    ) -> Result<(), String> {
        let Some(peer) = self.peers.get_mut(n) else { return Ok(()) };
        let text = |name: &str| data[name].as_str().map(String::from);
        if text("id").as_ref() != Some(&peer.id) {
            return Err("that is not its ID".into());
        }
        let secret = text("secret").ok_or("there is no secret")?;
        let is_back = data["resumed"] == true;
        if is_back && peer.secret.as_ref() != Some(&secret) {
            return Err("it has shown another secret".into());
        }
        peer.token = text("udp_token").ok_or("there is no token")?;
        (peer.secret, peer.since, peer.refused) = (Some(secret), Some(stage.now), 0);
        let waited = std::mem::take(&mut peer.waited);
        if is_back {
            peer.waits.extend(waited);
        }
        let node = peer.node;
        match data["room"].as_str().filter(|_| is_back) {
            Some(room) => {
                let room = room.to_owned();
                self.come_in(stage, n, &room, data)?;
                if let Some(room) = self.peers.get_mut(n).and_then(|peer| peer.room.as_mut()) {
                    room.has_joined = true;
                    room.is_told_again = true;
                }
            }
            None => peer.room = None,
        }
        self.summary.resumed += u64::from(is_back);
        self.passes.logged_in(n, node, stage.now);
        if let Some(peer) = self.peers.get(n) {
            let wait = stage.rng.millis(0..1500);
            stage.after(wait, Event::Show(n, peer.login).into());
        }
        Ok(())
    }

    /// A peer shows its game socket, now and again, as its datagrams may be lost.
    pub(super) fn show_socket(&mut self, stage: &mut Stage, n: usize, login: u32) {
        let Some(peer) = self.peers.get(n) else { return };
        let Some((node, _)) = peer.conn.filter(|_| peer.login == login) else { return };
        let (text, at) = (format!("udp:{}", peer.token), peer.at[1]);
        stage.datagram(node, at, text.as_bytes());
        stage.after(Duration::from_secs(10), Event::Show(n, login).into());
    }

    /// The connection of a peer has broken, or its node has died: it comes back, to that node or to another one.
    pub(super) fn lose_connection(&mut self, stage: &mut Stage, n: usize) {
        let Some(peer) = self.peers.get_mut(n) else { return };
        let Some(conn) = peer.conn.take() else { return };
        peer.since = None;
        peer.waited.append(&mut peer.waits);
        self.owners.remove(&conn);
        self.passes.gone(n, stage.now);
        let wait = stage.rng.millis(300..3000);
        stage.after(wait, Event::LogIn(n).into());
    }

    /// A node has closed the connection of a peer.
    pub(super) fn closed(
        &mut self,
        stage: &mut Stage,
        n: usize,
        conn: (usize, ConnId),
    ) -> Result<(), String> {
        stage.end(conn.0, conn.1);
        let Some(peer) = self.peers.get(n).filter(|peer| peer.conn == Some(conn)) else {
            return Ok(());
        };
        // Only for another login with its ID, which it has been told.
        if peer.refused == 0 && !peer.has_left {
            return Err(format!("the connection of peer {n} of events at {conn:?} was closed"));
        }
        self.lose_connection(stage, n);
        Ok(())
    }

    /// A peer's ID is taken: it tries again, or gives up.
    pub(super) fn id_taken(&mut self, stage: &mut Stage, n: usize) -> Result<(), String> {
        let Some(peer) = self.peers.get_mut(n) else { return Ok(()) };
        peer.refused += 1;
        let (id, refused) = (peer.id.clone(), peer.refused);
        let has_twin = self.peers.iter().filter(|peer| peer.id == id).count() > 1;
        if refused < REFUSED {
            let wait = stage.rng.millis(1500..3000);
            self.disconnect(stage, n);
            stage.after(wait, Event::LogIn(n).into());
            return Ok(());
        }
        if !has_twin {
            return Err("nobody else has that ID".into());
        }
        self.disconnect(stage, n);
        if let Some(peer) = self.peers.get_mut(n) {
            peer.has_left = true;
        }
        Ok(())
    }

    /// A peer's connection ends.
    pub(super) fn disconnect(&mut self, stage: &mut Stage, n: usize) {
        let Some(peer) = self.peers.get_mut(n) else { return };
        let Some(conn) = peer.conn.take() else { return };
        peer.since = None;
        peer.waits.clear();
        self.owners.remove(&conn);
        self.passes.gone(n, stage.now);
        stage.end(conn.0, conn.1);
    }

    /// A peer's connection breaks.
    pub(super) fn break_connection(&mut self, stage: &mut Stage, n: usize, moves: bool) {
        let Some((node, conn)) = self.peers.get(n).and_then(|peer| peer.conn) else { return };
        if moves {
            // The old connection still stands, as when a network changes.
            let others = node + 1 + stage.rng.index(NODES - 1);
            if let Some(peer) = self.peers.get_mut(n) {
                peer.node = others % NODES;
            }
        }
        self.lose_connection(stage, n);
        if let Some(peer) = self.peers.get_mut(n).filter(|_| moves) {
            peer.missed = peer.requests;
            if let Some(room) = &mut peer.room {
                room.has_missed = true;
            }
            peer.waited.clear();
        }
        if !moves || stage.rng.permille(500) {
            stage.end(node, conn);
        } else {
            self.left_open.insert((node, conn));
            let wait = stage.rng.millis(2000..15_000);
            stage.after(wait, Event::End(node, conn).into());
        }
    }

    /// A peer leaves, and does nothing more.
    pub(super) fn leave_for_good(&mut self, stage: &mut Stage, n: usize) {
        self.disconnect(stage, n);
        if let Some(peer) = self.peers.get_mut(n) {
            peer.has_left = true;
            peer.room = None;
        }
    }
}
