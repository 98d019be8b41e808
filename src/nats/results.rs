//! How punches ended, by dialect and by what the two sides are behind.

use super::Kind;
use crate::dialect::Name;

const DIALECTS: usize = Name::ALL.len();
const KINDS: usize = Kind::ALL.len();

/// Counts from the start of the server.
#[derive(Debug, Default)]
pub(super) struct Results {
    /// By dialect, the kinds of both sides (the lesser first), and whether it worked.
    counts: [[[[u64; 2]; KINDS]; KINDS]; DIALECTS],
}

impl Results {
    pub(super) fn count(&mut self, dialect: Name, mut kinds: [Kind; 2], worked: bool) {
        kinds.sort_unstable();
        let [one, other] = kinds;
        let of_pair = &mut self.counts[dialect as usize][one as usize][other as usize];
        of_pair[usize::from(worked)] += 1;
    }

    /// A table with a line for each pair that there was.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for dialect in Name::ALL {
            for one in Kind::ALL {
                for other in Kind::ALL {
                    let [failed, ok] = self.counts[dialect as usize][one as usize][other as usize];
                    let all = ok + failed;
                    if all > 0 {
                        let dialect = dialect.to_string();
                        lines.push(format!("{dialect:8}  {one:20}  {other:20}  {ok:6} of {all}"));
                    }
                }
            }
        }
        if lines.is_empty() {
            return vec!["no player has told how a punch ended".into()];
        }
        let head = format!("{:8}  {:20}  {:20}  connected", "dialect", "one side", "other side");
        lines.insert(0, head);
        lines
    }
}
