//! What hosts were told a moment ago. One whose connection ends may not have read that, as a game that changes its
//! data closes its connection and comes back by another: there it is told again. A game that did read it knocks
//! where it knocks already.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::notices::News;
use crate::clock::Instant;
use crate::dialect::ConnId;
use crate::limits;

/// What hosts were told, by their control connections, the oldest first.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Unread(VecDeque<(Instant, ConnId, News)>);

impl Unread {
    /// A host is told of a client.
    pub(super) fn note(&mut self, now: Instant, host: ConnId, news: News) {
        self.forget(now);
        if self.0.len() >= limits::UNREAD_NOTICES {
            self.0.pop_front();
        }
        self.0.push_back((now, host, news));
    }

    /// What a host may not have read. If it has closed its connection (FIN), that is what was sent while its FIN was
    /// under way; what had come before and was not read makes an error of the end.
    pub(super) fn take(&mut self, now: Instant, host: ConnId, is_closed: bool) -> Vec<News> {
        self.forget(now);
        let is_recent = |told: Instant| now - told <= limits::UNREAD_AT_END;
        let of_host = self.0.iter().filter(|(_, of, _)| *of == host);
        let unread = of_host
            .filter(|(told, _, news)| !is_closed || news.relay.is_some() || is_recent(*told));
        let news: Vec<_> = unread.map(|(_, _, news)| News { is_again: true, ..*news }).collect();
        self.0.retain(|(_, of, _)| *of != host);
        news
    }

    fn forget(&mut self, now: Instant) {
        while self.0.front().is_some_and(|(told, ..)| now - *told > limits::UNREAD) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn what_was_told_a_moment_ago_may_not_have_been_read() {
        let at = |ms: u64| Instant::from_micros(1000 * ms);
        let host = |slot| ConnId { slot, generation: 1 };
        let news = |port| News::from(SocketAddr::from(([192, 0, 2, 1], port)));
        let again = |port| News { is_again: true, ..news(port) };
        let mut unread = Unread::default();
        unread.note(at(0), host(1), news(1));
        unread.note(at(500), host(2), news(2));
        unread.note(at(600), host(1), news(3));
        assert_eq!(unread.take(at(1100), host(1), false), [again(3)]);
        assert_eq!(unread.take(at(1100), host(1), false), []);
        assert_eq!(unread.take(at(1500), host(2), false), [again(2)]);
        [0, 50, 100].iter().for_each(|ms| unread.note(at(1500 + ms), host(1), news(*ms as u16)));
        assert_eq!(unread.take(at(1610), host(1), true), [again(50), again(100)]);
        (0..2 * limits::UNREAD_NOTICES).for_each(|_| unread.note(at(1600), host(1), news(4)));
        assert_eq!(unread.0.len(), limits::UNREAD_NOTICES);
        unread.note(at(9000), host(1), news(5));
        assert_eq!(unread.0.len(), 1);
    }
}
