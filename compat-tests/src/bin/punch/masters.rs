//! The master servers that a player knows: which one it talks to, and which comes next.

use std::collections::VecDeque;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::common::{LOCAL_MASTER, resolve_all, say, spelled};

/// So long a master server may say nothing while there is another one: longer than the 2.5 s that it may wait
/// for a player's UDP packet.
pub(crate) const SILENT: Duration = Duration::from_secs(3);

/// The option of nearly all commands.
#[derive(clap::Args)]
pub(crate) struct Named {
    /// Master server, or A,B: B is used if A is gone
    #[arg(long, value_name = "HOST:PORT", default_value = LOCAL_MASTER)]
    #[arg(value_delimiter = ',', value_parser = name)]
    master: Vec<Name>,
}

impl Named {
    /// All addresses that they have.
    pub(crate) fn masters(&self, bind: Option<IpAddr>) -> Result<Masters, String> {
        Masters::find(&self.master, bind)
    }
}

/// How a master server was named, and the addresses that this name has.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    text: String,
    found: Result<Vec<SocketAddr>, String>,
}

/// A name that has no address now is no reason to end if there is another one.
pub(crate) fn name(text: &str) -> Result<Name, String> {
    let text = spelled(text)?;
    Ok(Name { found: resolve_all(&text), text })
}

/// An address, and the name that it was found by.
#[derive(Clone, Debug)]
struct At {
    addr: SocketAddr,
    name: String,
}

/// Master servers, in the order in which they are tried. There is always one.
#[derive(Clone, Debug)]
pub(crate) struct Masters {
    current: At,
    others: VecDeque<At>,
    /// How many have failed in a row.
    failed: usize,
}

impl Masters {
    /// This one alone.
    pub(crate) fn only(master: SocketAddr) -> Self {
        let current = At { addr: master, name: master.to_string() };
        Self { current, others: VecDeque::new(), failed: 0 }
    }

    /// All that these names have; a local address leads to those of its kind only. Names that have none are
    /// told of, and left out.
    pub(crate) fn find(names: &[Name], bind: Option<IpAddr>) -> Result<Self, String> {
        let (mut all, mut unknown) = (VecDeque::<At>::new(), Vec::new());
        for Name { text, found } in names {
            match found {
                Ok(found) => {
                    for addr in found {
                        if all.iter().all(|at| at.addr != *addr) {
                            all.push_back(At { addr: *addr, name: text.clone() });
                        }
                    }
                }
                Err(why) => unknown.push(format!("{text}: {why}")),
            }
        }
        let is_reached = |at: &At| bind.is_none_or(|ip| ip.is_ipv4() == at.addr.is_ipv4());
        if all.iter().any(is_reached) {
            all.retain(is_reached);
        }
        let Some(current) = all.pop_front() else { return Err(unknown.join("\n")) };
        unknown.iter().for_each(|why| say(format!("{why}; leaving it out")));
        Ok(Self { current, others: all, failed: 0 })
    }

    /// The one that is talked to.
    pub(crate) fn current(&self) -> SocketAddr {
        self.current.addr
    }

    /// What it was called when it was given, perhaps with its port.
    pub(crate) fn name(&self) -> &str {
        &self.current.name
    }

    /// Whether there is another one.
    pub(crate) fn are_several(&self) -> bool {
        !self.others.is_empty()
    }

    /// Those that come next, in order.
    pub(crate) fn others(&self) -> Vec<SocketAddr> {
        self.others.iter().map(|at| at.addr).collect()
    }

    /// How long to wait for an answer of the current one: not for all of the time while one is left that
    /// has not been tried.
    pub(crate) fn patience(&self, time: Duration) -> Duration {
        if self.failed < self.others.len() { time.min(SILENT) } else { time }
    }

    /// The current one has answered.
    pub(crate) fn answered(&mut self) {
        self.failed = 0;
    }

    /// Goes on to the next one, as the current one does not answer, and says so. False: all have been tried
    /// now, and there has to be a pause before this one is again.
    pub(crate) fn go_on(&mut self, why: impl Display) -> bool {
        self.failed += 1;
        if self.failed > self.others.len() {
            self.failed = 0;
            return false;
        }
        if let Some(next) = self.others.pop_front() {
            self.others.push_back(std::mem::replace(&mut self.current, next));
        }
        say(format!("{why}; going on to the master server {}", self.current()));
        true
    }

    /// What the first of them says that answers: the last one has the last word.
    pub(crate) fn ask<T, E: Display>(
        &mut self,
        mut ask: impl FnMut(&Self) -> Result<T, E>,
        is_dead: impl Fn(&E, SocketAddr) -> bool,
    ) -> Result<T, E> {
        loop {
            match ask(self) {
                Err(error)
                    if self.are_several()
                        && is_dead(&error, self.current())
                        && self.go_on(&error) => {}
                result => {
                    self.answered();
                    return result;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masters(names: &[&str], bind: Option<&str>) -> Result<Masters, String> {
        let names: Vec<Name> = names.iter().map(|text| name(text).unwrap()).collect();
        Masters::find(&names, bind.map(|ip| ip.parse().unwrap()))
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_is_tried_once_and_then_there_is_a_pause() {
        let mut masters = masters(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"], None).unwrap();
        for round in [[1, 2, 3], [3, 1, 2], [2, 3, 1]] {
            for (now, is_next) in round.into_iter().zip([true, true, false]) {
                assert_eq!(masters.current(), at(&format!("127.0.0.1:{now}")));
                let time = Duration::from_secs(9);
                assert_eq!(masters.patience(time) < time, is_next, "{now}");
                assert_eq!(masters.go_on("dead"), is_next, "{now}");
            }
        }
        // One that has answered in between is as good as new.
        assert!(masters.go_on("dead"));
        masters.answered();
        assert!(masters.go_on("dead") && masters.go_on("dead") && !masters.go_on("dead"));
        let mut only = Masters::only(at("127.0.0.1:1"));
        assert!(!only.are_several() && !only.go_on("dead"));
        assert_eq!(only.current(), at("127.0.0.1:1"));
    }

    #[test]
    fn names_have_all_their_addresses_and_a_wrong_one_is_left_out() {
        let of = |names: &[&str], bind| {
            masters(names, bind).map(|all| [vec![all.current()], all.others()].concat())
        };
        let both = vec![at("127.0.0.1:6510"), at("[::1]:7")];
        assert_eq!(of(&["127.0.0.1", "[::1]:7", " 127.0.0.1:6510"], None), Ok(both));
        assert_eq!(of(&["127.0.0.1", "[::1]:7"], Some("::1")), Ok(vec![at("[::1]:7")]));
        // Whoever gives an address that leads nowhere hears so from the system.
        assert_eq!(of(&["127.0.0.1:7"], Some("::1")), Ok(vec![at("127.0.0.1:7")]));
        assert_eq!(of(&["no such name", "[::1]:7"], None), Ok(vec![at("[::1]:7")]));
        assert!(of(&["no such name"], None).unwrap_err().starts_with("no such name: "));
        assert!(name("").is_err() && name(" ").is_err());
        let local = of(&["localhost:7"], None).unwrap();
        assert!(local.iter().all(|at| at.port() == 7 && at.ip().is_loopback()), "{local:?}");
    }

    #[test]
    fn the_first_that_answers_is_believed_also_if_it_refuses() {
        let mut all = masters(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"], None).unwrap();
        let asked = all.ask(
            |masters| match masters.current().port() {
                1 => Err("dead"),
                _ => Err::<(), _>("refused"),
            },
            |error, _| *error == "dead",
        );
        assert_eq!((asked, all.current().port()), (Err("refused"), 2));
        let asked = all.ask(|masters| Err::<(), _>(masters.current().to_string()), |_, _| true);
        assert_eq!(asked, Err("127.0.0.1:1".to_owned()));
        assert_eq!(all.current().port(), 1, "the one that has had the last word");
    }
}
