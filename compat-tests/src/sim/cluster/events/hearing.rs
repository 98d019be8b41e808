//! What peers are told.

use std::time::Duration;

use punchd::dialect::ConnId;
use serde_json::{Value, json};

use super::super::stage::Stage;
use super::{Cast, Event};

impl Cast {
    /// A peer was told something.
    pub(super) fn told(
        &mut self,
        stage: &mut Stage,
        n: usize,
        conn: (usize, ConnId),
        event: &Value,
    ) -> Result<(), String> {
        if self.peers.get(n).is_none_or(|peer| peer.conn != Some(conn)) {
            return Ok(());
        }
        let name = event["name"].as_str().unwrap_or_default();
        match event["type"].as_str() {
            Some("response") => self.answered(stage, n, event, "request_id"),
            Some("confirm_pass") if name.is_empty() => self.answered(stage, n, event, "pass_id"),
            Some("request") if event["from"].is_null() && name == "ping" => {
                let pong =
                    json!({"type": "response", "name": "ping", "data": {}, "request_id": "ping"});
                self.say(stage, n, &pong.to_string());
                Ok(())
            }
            Some("pass" | "confirm_pass" | "request") if name == "said" => {
                self.heard(stage, n, event)
            }
            Some("pass") if name == "error" => self.warned(stage, n, &event["data"]),
            Some("pass") if event["from"].is_null() => {
                self.told_of_room(stage, n, name, &event["data"])
            }
            _ => Err("it is no event that there is".into()),
        }
    }

    /// Another peer has said something.
    fn heard(&mut self, stage: &mut Stage, n: usize, event: &Value) -> Result<(), String> {
        let said = event["data"]["said"].as_u64().ok_or("it has no number")?;
        let Some(peer) = self.peers.get(n) else { return Ok(()) };
        self.passes.comes(said, n, &peer.id)?;
        let sender = self.passes.sender(said).and_then(|sender| self.peers.get(sender));
        if event["from"].as_str() != sender.map(|sender| &*sender.id) {
            return Err("somebody else has said that".into());
        }
        let answer = match event["type"].as_str() {
            Some("request") => json!({
                "type": "response", "name": "said", "data": {"said": said}, "request_id": event["request_id"]
            }),
            Some("confirm_pass") => json!({"type": "confirm_pass", "pass_id": event["pass_id"]}),
            _ => return Ok(()),
        };
        // Some never answer.
        if !stage.rng.permille(150) {
            let wait = match stage.rng.permille(800) {
                true => Duration::ZERO,
                false => stage.rng.millis(0..3000),
            };
            stage.after(wait, Event::Answer(n, peer.login, answer.to_string()).into());
        }
        Ok(())
    }

    /// The server says that something is wrong.
    fn warned(&mut self, stage: &mut Stage, n: usize, data: &Value) -> Result<(), String> {
        match data["code"].as_str() {
            Some("id_taken") => self.id_taken(stage, n),
            Some("no_udp") => Ok(()),
            // A login of its own at another node, which this one has heard of late.
            Some("resumed") => {
                self.disconnect(stage, n);
                let wait = stage.rng.millis(500..2000);
                stage.after(wait, Event::LogIn(n).into());
                Ok(())
            }
            _ => Err("nothing is wrong".into()),
        }
    }
}
