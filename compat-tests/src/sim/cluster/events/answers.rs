//! What comes of the requests of peers.

use serde_json::{Value, json};

use super::super::stage::Stage;
use super::{Cast, Made};

impl Cast {
    /// A request is answered, or something that was said is confirmed.
    pub(super) fn answered(
        &mut self,
        stage: &mut Stage,
        n: usize,
        event: &Value,
        by: &str,
    ) -> Result<(), String> {
        let number = event[by].as_u64().ok_or("it has not the ID of a request")?;
        let Some(peer) = self.peers.get_mut(n) else { return Ok(()) };
        let Some(wait) = peer.waits.remove(&number) else {
            return match number <= peer.missed {
                true => Ok(()),
                false => Err("it does not wait for that (any more)".into()),
            };
        };
        let error = event["error"]["code"].as_str();
        if error != Some("timeout") {
            self.summary.answered_in_time += 1;
        }
        if let Some(said) = wait.said {
            return self.passes.answered(said, event, error);
        }
        if event["name"] != *wait.name {
            return Err(format!("it has asked for {}", wait.name));
        }
        let Some(peer) = self.peers.get_mut(n) else { return Ok(()) };
        if matches!(
            &*wait.name,
            "create_room" | "join_room" | "quick_join" | "leave_room" | "delete_room"
        ) {
            peer.changes_room = false;
        }
        match (&*wait.name, error) {
            ("login", Some("id_taken")) => self.id_taken(stage, n),
            ("login", None) => self.logged_in(stage, n, &event["data"]),
            ("login", Some(_)) => Err("it may log in".into()),
            ("create_room", None) => self.made(stage, n, &event["data"], &wait.data),
            ("join_room" | "quick_join", None) => {
                let room = event["data"]["room"].as_str().ok_or("it names no room")?.to_owned();
                self.come_in(stage, n, &room, &event["data"])
            }
            // Nobody waits for an answer to that which is lost.
            ("leave_room" | "delete_room", None) | ("leave_room", Some("timeout")) => {
                peer.left = peer.room.take().map(|room| room.room);
                Ok(())
            }
            ("join_room" | "quick_join", Some("timeout")) => {
                peer.gave_up = Some(stage.now);
                Ok(())
            }
            ("create_room", Some(why)) => Err(format!("it may make a room: {why}")),
            (_, Some("bad_request" | "unknown_request" | "not_logged_in")) => {
                Err("there is nothing wrong with its request".into())
            }
            // It is in none that it knows of.
            ("join_room" | "quick_join", Some("in_room")) => {
                Err("it is in no room as far as it knows".into())
            }
            _ => Ok(()),
        }
    }

    /// A peer has made a room.
    fn made(&mut self, stage: &Stage, n: usize, data: &Value, asked: &Value) -> Result<(), String> {
        let room = data["room"].as_str().ok_or("it names no room")?.to_owned();
        let Some(peer) = self.peers.get(n) else { return Ok(()) };
        let made = Made {
            node: peer.node,
            code: data["code"].as_str().map(Into::into),
            password: asked["password"].as_str().map(Into::into),
            is_mesh: asked["mesh"] == true,
            has_ended: false,
        };
        if self.rooms.insert(room.clone(), made).is_some() {
            return Err("there is such a room already".into());
        }
        self.lists.opened(stage.now, room.clone(), peer.node);
        let id = peer.id.clone();
        self.come_in(stage, n, &room, &json!({"host": id, "players": [id]}))
    }
}
