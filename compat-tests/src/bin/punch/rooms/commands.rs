//! What the user of a chat types.

use compat_tests::rooms::Error;
use punchd::dialect::rooms::field::{self, Id};
use punchd::dialect::rooms::message::Request;
use punchd::dialect::rooms::options::Options;

use super::pair;
use super::session::Session;
use crate::common::say;

impl Session {
    pub(super) fn on_line(&mut self, line: &str) {
        let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
        let result = match command {
            "/close" | "/leave" => {
                self.over = Some(Ok(()));
                Ok(())
            }
            "/rename" => self.player.rename(argument),
            "/kick" | "/admit" => self.on_kick(command == "/kick", argument),
            "/lock" | "/unlock" => {
                let is_locked = Some(command == "/lock");
                let options = Options { is_locked, ..Options::default() };
                let so = if command == "/lock" { "nobody new comes in" } else { "all may come in" };
                self.player.change(&Request::Set(options)).map(|()| say(so))
            }
            "/data" => match pair(argument) {
                Ok(pair) => {
                    let data = vec![pair];
                    self.player.change(&Request::Set(Options { data, ..Options::default() }))
                }
                Err(error) => {
                    say(error);
                    Ok(())
                }
            },
            _ => {
                self.speak(line);
                Ok(())
            }
        };
        if let Err(error) = result {
            say(error);
        }
    }

    fn on_kick(&mut self, is_kick: bool, whom: &str) -> Result<(), Error> {
        match (field::id(whom.as_bytes()), whom.parse()) {
            (Some(id), _) if is_kick => self.player.kick(&Request::KickId(id)),
            (None, Ok(ip)) if is_kick => self.player.kick(&Request::KickIp(ip)),
            (Some(id), _) => return self.player.change(&Request::LetInId(id)),
            (None, Ok(ip)) => return self.player.change(&Request::LetInIp(ip)),
            _ => say("want an ID or an address"),
        }
        Ok(())
    }

    fn speak(&mut self, line: &str) {
        let line = if self.hosts { format!("host: {line}") } else { line.into() };
        let all: Vec<Id> = self.player.connected().collect();
        for id in all {
            self.player.say(id, &line);
        }
    }
}
