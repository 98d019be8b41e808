//! What peers do next.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::plan::NODES;
use super::super::stage::Stage;
use super::passes::ARRIVES;
use super::peer::Wait;
use super::{Cast, Event};

/// Within this time a request is answered, whatever happens: what is passed on to a peer waits for 30 s.
const ANSWERED: Duration = Duration::from_millis(31_500);

#[derive(Clone, Copy, Debug)]
enum Act {
    Make,
    Join,
    QuickJoin,
    Leave,
    Delete,
    Kick,
    LetIn,
    Update,
    Pass,
    ConfirmPass,
    Request,
    Break,
    Move,
}

impl Cast {
    /// A peer does something, if it is logged in.
    pub(super) fn act(&mut self, stage: &mut Stage, n: usize) {
        use Act::{Break, ConfirmPass, Delete, Join, Kick, Leave, LetIn, Make, Move, Pass};
        use Act::{QuickJoin, Request, Update};
        let Some(peer) = self.peers.get(n).filter(|peer| peer.since.is_some()) else { return };
        let rng = &mut stage.rng;
        let act = match &peer.room {
            _ if peer.changes_room => rng.pick([Pass, ConfirmPass, Request]),
            None => rng.pick([
                Make,
                Make,
                Join,
                Join,
                Join,
                QuickJoin,
                Pass,
                ConfirmPass,
                Request,
                Break,
                Move,
            ]),
            Some(_) if peer.is_host() => rng.pick([
                Kick,
                Kick,
                LetIn,
                Update,
                Delete,
                Leave,
                Pass,
                Pass,
                ConfirmPass,
                Request,
                Request,
                Break,
                Move,
            ]),
            Some(_) => rng.pick([
                Leave,
                Leave,
                Pass,
                Pass,
                Pass,
                ConfirmPass,
                Request,
                Request,
                Break,
                Move,
            ]),
        };
        match act {
            Pass | ConfirmPass | Request => self.say_to_any(stage, n, act),
            Break | Move => {
                if stage.rng.permille(500) {
                    self.break_connection(stage, n, matches!(act, Move));
                }
            }
            _ => {
                if let Some((name, data)) = self.wish(stage, n, act) {
                    self.request(stage, n, name, data);
                }
            }
        }
    }

    /// What a peer asks the server for.
    fn wish(&mut self, stage: &mut Stage, n: usize, act: Act) -> Option<(&'static str, Value)> {
        let peer = self.peers.get_mut(n)?;
        let rng = &mut stage.rng;
        peer.changes_room =
            matches!(act, Act::Make | Act::Join | Act::QuickJoin | Act::Leave | Act::Delete);
        let found = match act {
            Act::Make => {
                let mut data = json!({
                    "name": format!("of {}", peer.id), "migrate": rng.permille(500),
                    "mesh": rng.permille(400), "private": rng.permille(200),
                });
                if rng.permille(300) {
                    data["max_players"] = (2 + rng.index(3)).into();
                }
                if rng.permille(150) {
                    data["password"] = format!("p{}", rng.index(1000)).into();
                }
                Some(("create_room", data))
            }
            Act::Join => {
                let rooms = self.rooms.iter().filter(|(_, room)| !room.has_ended);
                let rooms: Vec<_> = rooms.collect();
                rooms.get(rng.index(rooms.len())).map(|(id, room)| {
                    let mut data = match &room.code {
                        Some(code) if rng.permille(700) => json!({ "code": code }),
                        _ => json!({ "room": id }),
                    };
                    if let Some(password) = &room.password {
                        data["password"] = password.clone().into();
                    }
                    ("join_room", data)
                })
            }
            Act::QuickJoin => Some(("quick_join", json!({}))),
            Act::Leave => Some(("leave_room", json!({}))),
            Act::Delete => {
                let room = peer.room.as_ref().map(|room| room.room.clone());
                room.map(|room| ("delete_room", json!({ "room": room })))
            }
            Act::Kick | Act::LetIn => {
                let members = peer.room.as_ref().map_or(&[][..], |room| &room.members);
                let whom = members.get(1 + rng.index(members.len().saturating_sub(1)));
                let name = if matches!(act, Act::Kick) { "kick" } else { "let_in" };
                whom.map(|id| (name, json!({ "id": id })))
            }
            _ => Some(("update_room", json!({ "name": format!("named {}", rng.index(1000)) }))),
        };
        if found.is_none()
            && let Some(peer) = self.peers.get_mut(n)
        {
            peer.changes_room = false;
        }
        found
    }

    /// A peer asks the server for something.
    pub(super) fn request(&mut self, stage: &mut Stage, n: usize, name: &str, data: Value) {
        let Some(number) = self.wait_for(stage, n, (name, &data), None) else { return };
        let event = json!({"type": "request", "name": name, "data": data, "request_id": number});
        self.say(stage, n, &event.to_string());
    }

    /// A peer waits for an answer from now on.
    fn wait_for(
        &mut self,
        stage: &mut Stage,
        n: usize,
        (name, data): (&str, &Value),
        said: Option<u64>,
    ) -> Option<u64> {
        let peer = self.peers.get_mut(n)?;
        peer.requests += 1;
        let number = peer.requests;
        peer.waits
            .insert(number, Wait { name: name.into(), data: data.clone(), since: stage.now, said });
        for wait in [ARRIVES, ANSWERED] {
            stage.after(wait, Event::Answered(n, number).into());
        }
        Some(number)
    }

    /// A peer says something to another one, who may be there or not.
    fn say_to_any(&mut self, stage: &mut Stage, n: usize, act: Act) {
        let ids: BTreeSet<String> = self.peers.iter().map(|peer| peer.id.clone()).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        let Some(to) = ids.get(stage.rng.index(ids.len())).cloned() else { return };
        let meant = self.peers.iter().enumerate().filter(|(_, peer)| peer.id == to);
        let meant: BTreeSet<usize> = meant.map(|(n, _)| n).collect();
        let times = if stage.rng.permille(200) { 5 } else { 1 };
        for _ in 0..times {
            let said = self.passes.say(stage.now, n, &to, &meant);
            stage.after(ARRIVES, Event::Arrived(said).into());
            let data = json!({ "said": said });
            let event = match act {
                Act::Pass => json!({"type": "pass", "name": "said", "data": data, "dest": to}),
                Act::ConfirmPass => {
                    let number = self.wait_for(stage, n, ("said", &Value::Null), Some(said));
                    json!({"type": "confirm_pass", "name": "said", "data": data, "dest": to, "pass_id": number})
                }
                _ => {
                    let number = self.wait_for(stage, n, ("said", &Value::Null), Some(said));
                    json!({"type": "request", "name": "said", "data": data, "dest": to, "request_id": number})
                }
            };
            self.say(stage, n, &event.to_string());
        }
    }

    /// A peer sends something on its connection.
    pub(super) fn say(&mut self, stage: &mut Stage, n: usize, text: &str) {
        if let Some((node, conn)) = self.peers.get(n).and_then(|peer| peer.conn) {
            stage.send(node, conn, text.as_bytes());
        }
    }

    /// What a peer has asked must have been answered, at once where nothing is wrong.
    pub(super) fn check_answered(
        &mut self,
        stage: &Stage,
        n: usize,
        number: u64,
    ) -> Result<(), String> {
        let Some(peer) = self.peers.get(n) else {
            return Ok(());
        };
        let Some(wait) = peer.waits.get(&number) else { return Ok(()) };
        let from = wait.since.before(super::super::faults::SETTLED * 2);
        let all = (0..NODES).flat_map(|a| (0..NODES).map(move |b| (a, b)));
        let is_calm = all.into_iter().all(|pair| stage.faults.is_calm(pair, from, stage.now));
        if stage.now.since(wait.since) >= ANSWERED || is_calm && wait.said.is_none() {
            return Err(format!("peer {n} of events, {}, has no answer: {wait:?}", peer.id));
        }
        Ok(())
    }
}
