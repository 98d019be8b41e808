//! How punches ended, by dialect and by what the two sides are behind.

use std::collections::BTreeMap;

use super::Kind;
use crate::dialect::Name;

/// Counts from the start of the server.
#[derive(Debug, Default)]
pub(super) struct Results {
    /// How many failed and how many worked, by dialect and the kinds of both sides (the lesser
    /// first).
    counts: BTreeMap<(Name, [Kind; 2]), [u64; 2]>,
}

impl Results {
    pub(super) fn count(&mut self, dialect: Name, mut kinds: [Kind; 2], worked: bool) {
        kinds.sort_unstable();
        let [failed, ok] = self.counts.entry((dialect, kinds)).or_default();
        *(if worked { ok } else { failed }) += 1;
    }

    /// A table with a line for each pair that there was.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for ((dialect, [one, other]), [failed, ok]) in &self.counts {
            let (dialect, all) = (dialect.to_string(), ok + failed);
            lines.push(format!("{dialect:8}  {one:20}  {other:20}  {ok:6} of {all}"));
        }
        if lines.is_empty() {
            return vec!["no player has told how a punch ended".into()];
        }
        let head = format!("{:8}  {:20}  {:20}  connected", "dialect", "one side", "other side");
        lines.insert(0, head);
        lines
    }
}
