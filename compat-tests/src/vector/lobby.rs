//! Lobby replies: the exact bytes of the old server's JSON writer, and the hosts in them.

use std::fmt;

use serde::Deserialize;

use super::text::show;

/// A host that has to be in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its address and its eight data strings.
    pub fields: [String; 9],
    /// The mark whose second its creation time has to be.
    pub created: Option<String>,
}

/// A host as the server listed it. The order of the fields is that of the reply.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Entry {
    ip: String,
    data1: String,
    data2: String,
    data3: String,
    data4: String,
    data5: String,
    data6: String,
    data7: String,
    data8: String,
    created_time: u64,
}

/// What is wrong with a lobby reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LobbyFault {
    /// Not `\xf9`, something, `\n`.
    NoReply(String),
    /// What is between them is no list of hosts.
    NotAList(String),
    /// The right data in other bytes than the old server's JSON.
    OtherBytes {
        /// What its writer makes of the data.
        expected: String,
        /// What came.
        received: String,
    },
    /// Other hosts, or another order.
    OtherHosts {
        /// One line for each host.
        expected: Vec<String>,
        /// One line for each host.
        received: Vec<String>,
    },
    /// A creation time that is not right.
    Created {
        /// The address of the host.
        ip: String,
        /// What came.
        received: u64,
        /// The first and the last second that would be right.
        expected: (u64, u64),
    },
}

impl Entry {
    fn fields(&self) -> [&str; 9] {
        [
            &self.ip,
            &self.data1,
            &self.data2,
            &self.data3,
            &self.data4,
            &self.data5,
            &self.data6,
            &self.data7,
            &self.data8,
        ]
    }
}

/// The hosts of a reply (without `\xf9` and `\n`), if its bytes are exactly those that the old
/// server would have written for them.
pub(super) fn read(json: &[u8]) -> Result<Vec<Entry>, LobbyFault> {
    let entries: Vec<Entry> = serde_json::from_slice(json)
        .map_err(|e| LobbyFault::NotAList(format!("{}   ({e})", show(json))))?;
    let expected = write(&entries);
    if expected.as_bytes() != json {
        return Err(LobbyFault::OtherBytes {
            expected: show(expected.as_bytes()),
            received: show(json),
        });
    }
    Ok(entries)
}

/// Compares hosts and their order; `seconds` tells what is right for a mark.
pub(super) fn compare(
    groups: &[Vec<Row>],
    entries: &[Entry],
    seconds: impl Fn(Option<&str>) -> (u64, u64),
) -> Result<(), LobbyFault> {
    let mut left: Vec<Vec<&Row>> = groups.iter().map(|group| group.iter().collect()).collect();
    let mut groups_left = left.iter_mut().filter(|group| !group.is_empty());
    let mut group = groups_left.next();
    for entry in entries {
        if group.as_ref().is_some_and(|rows| rows.is_empty()) {
            group = groups_left.next();
        }
        let rows = group.as_deref_mut().ok_or_else(|| other_hosts(groups, entries))?;
        let found = rows.iter().position(|row| row.fields == entry.fields());
        let row = rows.swap_remove(found.ok_or_else(|| other_hosts(groups, entries))?);
        let (first, last) = seconds(row.created.as_deref());
        if !(first..=last).contains(&entry.created_time) {
            return Err(LobbyFault::Created {
                ip: entry.ip.clone(),
                received: entry.created_time,
                expected: (first, last),
            });
        }
    }
    if left.iter().any(|group| !group.is_empty()) {
        return Err(other_hosts(groups, entries));
    }
    Ok(())
}

fn other_hosts(groups: &[Vec<Row>], entries: &[Entry]) -> LobbyFault {
    let mut expected = Vec::new();
    for group in groups {
        for (n, row) in group.iter().enumerate() {
            let and = if n == 0 { "  " } else { "& " };
            expected.push(format!("{and}{}", line(&row.fields.each_ref().map(String::as_str))));
        }
    }
    let received = entries.iter().map(|entry| format!("  {}", line(&entry.fields()))).collect();
    LobbyFault::OtherHosts { expected, received }
}

/// A host as a vector would write it.
fn line(fields: &[&str; 9]) -> String {
    let used = fields.iter().rposition(|field| !field.is_empty()).unwrap_or(0);
    let mut out = fields[0].to_owned();
    for field in &fields[1..=used] {
        out.push_str(&format!(" {field:?}"));
    }
    out
}

/// The list in the bytes of Gson, as the old server set it up: compact, safe in HTML.
fn write(entries: &[Entry]) -> String {
    const KEYS: [&str; 9] =
        ["ip", "data1", "data2", "data3", "data4", "data5", "data6", "data7", "data8"];
    let mut out = String::from("[");
    for (n, entry) in entries.iter().enumerate() {
        out.push_str(if n == 0 { "{" } else { ",{" });
        for (key, value) in KEYS.iter().zip(entry.fields()) {
            out.push_str(&format!("\"{key}\":"));
            write_string(&mut out, value);
            out.push(',');
        }
        out.push_str(&format!("\"createdTime\":{}}}", entry.created_time));
    }
    out.push(']');
    out
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '=' | '\'' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

impl fmt::Display for LobbyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoReply(received) => {
                write!(f, "expected  a lobby reply, \\xf9 JSON \\n\nreceived  {received}")
            }
            Self::NotAList(received) => {
                write!(f, "expected  a list of hosts\nreceived  {received}")
            }
            Self::OtherBytes { expected, received } => write!(
                f,
                "the same hosts in other bytes\nexpected  {expected}\nreceived  {received}"
            ),
            Self::OtherHosts { expected, received } => {
                write!(f, "expected")?;
                expected.iter().try_for_each(|line| write!(f, "\n  {line}"))?;
                write!(f, "\nreceived")?;
                received.iter().try_for_each(|line| write!(f, "\n  {line}"))
            }
            Self::Created { ip, received, expected: (first, last) } => {
                write!(f, "createdTime of {ip}\nexpected  {first} to {last}\nreceived  {received}")
            }
        }
    }
}

impl std::error::Error for LobbyFault {}
