//! What the user of a chat types: lines for all, and commands.

use compat_tests::rooms::Error;
use punchd::dialect::rooms::field;
use punchd::dialect::rooms::message::Request;
use punchd::dialect::rooms::options::Options;

use super::pair;
use super::refusals::explain;
use super::session::Session;
use crate::common::{printable, say};

/// What `/help` says, and who types a command that there is not.
pub(super) const COMMANDS: &str = "\
/leave             leave the room; of a room opened with --migrate, the host leaves it to the others
/help              this list
The host alone:
/close             close the room for all, also one opened with --migrate
/rename NAME       give the room another name
/kick ID or IP     kick and ban a player
/admit ID or IP    lift that ban
/lock, /unlock     close the room to new players, or open it again
/data KEY=VALUE    set own data of the room, such as map=castle
Anything that does not begin with / is sent to everyone.";

impl Session {
    pub(super) fn on_line(&mut self, line: &str) {
        let line = line.trim_end();
        let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
        match command {
            "" => {}
            "/leave" => self.over = Some(Ok(())),
            "/help" => say(COMMANDS),
            "/close" | "/rename" | "/kick" | "/admit" | "/lock" | "/unlock" | "/data" => {
                if !self.hosts {
                    return say(format!(
                        "the host alone may {command}; /help shows what others may"
                    ));
                }
                if let Err(why) = self.on_command_of_host(command, argument.trim()) {
                    say(why);
                }
            }
            command if command.starts_with('/') => {
                say(format!("there is no command {}. There are:\n{COMMANDS}", printable(command)));
            }
            _ => self.speak(line),
        }
    }

    fn on_command_of_host(&mut self, command: &str, argument: &str) -> Result<(), String> {
        let request = match command {
            "/close" => {
                (self.closes, self.over) = (true, Some(Ok(())));
                return Ok(());
            }
            "/rename" if argument.is_empty() => return Err("want a name: /rename NAME".into()),
            "/rename" => Request::Rename(argument.into()),
            "/lock" | "/unlock" => {
                let is_locked = Some(command == "/lock");
                Request::Set(Options { is_locked, ..Options::default() })
            }
            "/data" => {
                let data = vec![pair(argument)?];
                Request::Set(Options { data, ..Options::default() })
            }
            _ => match (field::id(argument.as_bytes()), argument.parse()) {
                (Some(id), _) if command == "/kick" => {
                    self.player.kick(&Request::KickId(id));
                    return Ok(());
                }
                (Some(id), _) => Request::LetInId(id),
                (None, Ok(ip)) if command == "/kick" => Request::KickIp(ip),
                (None, Ok(ip)) => Request::LetInIp(ip),
                _ => return Err(format!("want an ID or an address: {command} ID or IP")),
            },
        };
        if self.player.tell(request) {
            return Ok(());
        }
        Err("the master server has not answered what was typed before: not done".into())
    }

    /// Says what has become of a command.
    pub(super) fn on_answer(&mut self, request: &Request, result: Result<(), Error>) {
        if let Err(error) = result {
            return say(explain(error));
        }
        match request {
            Request::KickId(id) => say(format!("{id} is out, and stays out until /admit {id}")),
            Request::KickIp(ip) => say(format!("{ip} is out, and stays out until /admit {ip}")),
            Request::LetInId(id) => say(format!("{id} may come in again")),
            Request::LetInIp(ip) => say(format!("{ip} may come in again")),
            Request::Set(options) => {
                self.home.set(options);
                match options.is_locked {
                    Some(true) => say("nobody new comes in"),
                    Some(false) => say("all may come in"),
                    None => {}
                }
                for (key, value) in &options.data {
                    say(printable(&format!("the list says {key}={value} of the room now")));
                }
            }
            // What it is called now, all hear.
            _ => {}
        }
    }
}
