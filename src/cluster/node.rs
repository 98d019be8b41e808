//! Another node, as this one knows it: whether it is there, and the links to it and from it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::About;
use crate::clock::Instant;
use crate::limits::cluster as limits;

/// Another node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: Box<str>,
    /// Dialects know of it.
    pub(super) is_there: bool,
    /// Since when.
    pub(super) since: Instant,
    /// What it has told of itself.
    pub(super) about: Option<Box<About>>,
    pub(super) incarnation: u64,
    /// The highest number of those with which it has said that it is there.
    pub(super) hellos: u64,
    /// When it last said something that it had not said before.
    pub(super) heard: Instant,
    /// When it was heard last, and nothing was known to be missing of what it has said.
    pub(super) sound: Instant,
    /// Since when nothing is missing on the link from it.
    whole_since: Option<Instant>,
    /// Since when what it tells has not come, though it is heard.
    untold_since: Option<Instant>,
    /// The link to it.
    pub(super) out: Out,
    /// The link from it.
    pub(super) inn: In,
    /// When it may say as much as it may at once.
    full_at: Instant,
    /// It is to tell everything once more, but not before it may be asked for that again.
    is_unheard: bool,
    unheard_asked: Option<Instant>,
}

/// What another process of a node needs to be that node to all others.
#[derive(Debug, Serialize, Deserialize)]
pub struct Known {
    pub(super) name: String,
    pub(super) incarnation: u64,
    pub(super) links: u64,
    pub(super) hellos: u64,
    pub(super) nodes: Vec<KnownNode>,
}

/// Another node, as a process has known it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KnownNode {
    pub(super) name: String,
    is_there: bool,
    incarnation: u64,
    hellos: u64,
    link: u64,
    next: u64,
    is_broken: bool,
    /// It may be two seconds until it tells that again, and whose relay has room has to be known before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    about: Option<Box<About>>,
    /// When it was heard last.
    #[serde(default)]
    heard: Instant,
}

/// The place of something that is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) link: u64,
    pub(super) number: u64,
}

/// A link to another node.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) link: u64,
    number: u64,
    pub(super) began: Instant,
    /// When something was said on it last.
    pub(super) last: Instant,
    /// What dialects have said since the last part.
    pub(super) said: Vec<u8>,
}

/// A link from another node.
#[derive(Debug, Default)]
pub(super) struct In {
    /// Zero: none was ever begun.
    link: u64,
    /// The number of the next part.
    next: u64,
    /// When the last one came. One comes with each heartbeat, even if there is nothing to say.
    heard: Instant,
    /// Something is missing.
    is_broken: bool,
    /// Another process has heard what came before, so all has to be told once more.
    is_old: bool,
    /// When the other node was asked last.
    asked: Option<Instant>,
}

impl Out {
    pub(super) fn begin(&mut self, now: Instant, link: u64) {
        *self = Self { link, began: now, ..Self::default() };
    }

    /// The next part, and what is said in it.
    pub(super) fn next(&mut self) -> (Part, Vec<u8>) {
        let number = self.number;
        self.number += 1;
        (Part { link: self.link, number }, std::mem::take(&mut self.said))
    }
}

impl In {
    /// Whether a part is the next one. If one before it is missing nothing more is taken from this link.
    pub(super) fn take(&mut self, now: Instant, part: Part) -> bool {
        if part.link < self.link {
            return false;
        }
        if part.link > self.link {
            *self = Self { link: part.link, ..Self::default() };
        }
        if self.is_broken || part.number < self.next {
            return false;
        }
        self.is_broken = part.number > self.next;
        self.heard = now;
        self.next += u64::from(!self.is_broken);
        !self.is_broken
    }

    /// Nothing more is taken from this link. Returns its number.
    pub(super) fn give_up(&mut self, now: Instant) -> u64 {
        (self.is_broken, self.asked) = (true, Some(now));
        self.link
    }
}

impl Node {
    /// One of which nothing is known but that somebody names it.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            is_there: false,
            since: Instant::default(),
            about: None,
            incarnation: 0,
            hellos: 0,
            heard: Instant::default(),
            sound: Instant::default(),
            whole_since: None,
            untold_since: None,
            out: Out::default(),
            inn: In::default(),
            full_at: Instant::default(),
            is_unheard: false,
            unheard_asked: None,
        }
    }

    /// What another process needs of it.
    pub(super) fn known(&self) -> KnownNode {
        let In { link, next, is_broken, .. } = self.inn;
        KnownNode {
            name: self.name.to_string(),
            is_there: self.is_there,
            incarnation: self.incarnation,
            hellos: self.hellos,
            link,
            next,
            is_broken,
            about: self.about.clone(),
            heard: self.heard,
        }
    }

    /// One that another process has known.
    pub(super) fn restore(now: Instant, known: KnownNode) -> Self {
        /// What it says meanwhile may not have come here.
        const AT_LEAST: Duration = Duration::from_secs(1);
        let KnownNode { name, is_there, incarnation, hellos, link, next, is_broken, about, heard } =
            known;
        let inn = In { link, next, heard: now, is_broken, is_old: true, asked: None };
        // Else one that is dead would be kept for longer each time.
        let heard = heard.max(now.before(limits::GONE - AT_LEAST)).min(now);
        let sound = now;
        Self { is_there, about, incarnation, hellos, heard, sound, inn, ..Self::new(&name) }
    }

    /// It is there now, in this incarnation.
    pub(super) fn begin(&mut self, now: Instant, incarnation: u64, hellos: u64) {
        let before = std::mem::take(&mut self.inn);
        if self.incarnation == incarnation {
            // What was lost meanwhile is asked for, and what comes late of before is not taken.
            self.inn = In { is_broken: before.link != 0, asked: None, ..before };
        }
        if !self.is_there {
            (self.sound, self.untold_since) = (now, None);
        }
        (self.since, self.about) = (now, None);
        (self.is_there, self.incarnation, self.hellos) = (true, incarnation, hellos);
        self.heard = now;
    }

    /// Whether so much of what it says is lost that what is known of it may be of long ago.
    pub(super) fn is_stale(&mut self, now: Instant) -> bool {
        let is_cut = now - self.inn.heard >= limits::GONE;
        let is_whole = self.inn.link != 0 && !self.inn.is_broken && !is_cut;
        let whole_since = self.whole_since.filter(|_| is_whole).unwrap_or(now);
        self.whole_since = is_whole.then_some(whole_since);
        if is_whole && now - whole_since >= limits::WHOLE {
            (self.sound, self.untold_since) = (self.heard, None);
        }
        let is_stale = !is_whole && now - self.sound >= limits::GONE;
        if is_stale {
            self.untold_since.get_or_insert(self.sound);
            // What was known is forgotten, so it is asked for even if nothing turns out to be missing.
            (self.sound, self.inn.is_old) = (now, true);
        }
        is_stale
    }

    /// Whether what it tells has not come for so long that no lost messages explain it.
    pub(super) fn is_untold(&self, now: Instant) -> bool {
        self.is_there && self.untold_since.is_some_and(|since| now - since >= limits::ALONE)
    }

    /// It has said that it stops: what comes late does not bring it back.
    pub(super) fn leave(&mut self, incarnation: u64) {
        (self.incarnation, self.hellos) = (incarnation, u64::MAX);
    }

    /// Whether so many bytes more are taken from it.
    pub(super) fn takes(&mut self, now: Instant, bytes: usize) -> bool {
        const BURST: Duration = Duration::from_secs(2);
        let full_at = self.full_at.max(now);
        let is_taken = full_at - now <= BURST;
        if is_taken {
            let micros = bytes as u64 * 1_000_000 / u64::from(limits::NODE_BYTES);
            self.full_at = full_at + Duration::from_micros(micros);
        }
        is_taken
    }

    /// It is to tell everything once more.
    pub(super) fn want_all(&mut self) {
        self.is_unheard = true;
    }

    /// The link on which something is missing, if it is time to ask for everything.
    pub(super) fn missed(&mut self, now: Instant) -> Option<u64> {
        let may_ask = self.unheard_asked.is_none_or(|at| now - at >= limits::ASK_UNHEARD);
        if self.is_unheard && may_ask {
            (self.is_unheard, self.unheard_asked) = (false, Some(now));
            self.inn.is_old = true;
        }
        let is_time = self.inn.asked.is_none_or(|asked| now - asked >= limits::ASK_AGAIN);
        let wants_all = self.inn.is_broken || self.inn.is_old;
        (wants_all && is_time).then(|| {
            self.inn.asked = Some(now);
            self.inn.link
        })
    }
}
