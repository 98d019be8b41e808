//! Lines of the log as JSON, one object each, for programs that collect logs.

use std::io::{self, Write};

use log::Record;
use log::kv::{Error, Key, Value, VisitSource};
use serde::ser::{SerializeMap as _, Serializer as _};

use super::message;
use super::printable::Printable;
use crate::truncation::{self, Bounded};

/// Columns of what is known of a line: a name that is cut already, with what stands for the rest, fits.
const FIELD: usize = truncation::COLUMNS + truncation::ELLIPSIS.len();

/// Writes `{"time":...,"level":...,"message":...}` and what else is known of the line behind that, and ends
/// the line. The names stay what they are.
pub(super) fn write(line: &mut impl Write, time: &str, record: &Record<'_>) -> io::Result<()> {
    let mut writer = serde_json::Serializer::new(&mut *line);
    let mut object = writer.serialize_map(None)?;
    object.serialize_entry("time", time)?;
    object.serialize_entry("level", record.level().as_str())?;
    object.serialize_entry("message", &message(record).to_string())?;
    let mut fields = Fields(&mut object);
    // What cannot be written is no reason to lose the line.
    let _ = record.key_values().visit(&mut fields);
    object.end()?;
    line.write_all(b"\n")
}

struct Fields<'a, M>(&'a mut M);

impl<'kvs, M: serde::ser::SerializeMap> VisitSource<'kvs> for Fields<'_, M> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let written = match value.to_u64() {
            Some(number) => self.0.serialize_entry(key.as_str(), &number),
            None => {
                let text = Bounded(Printable(&value), FIELD).to_string();
                self.0.serialize_entry(key.as_str(), &text)
            }
        };
        written.map_err(|_| Error::msg("cannot be written"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use log::Level;

    #[test]
    fn no_field_is_longer_than_a_name_that_is_cut() {
        let (long, short) = ("x".repeat(7500), truncation::truncated(&"x".repeat(100)));
        let value = [("game", Value::from(&*long)), ("room", Value::from(&*short))];
        let mut bytes = Vec::new();
        let mut builder = Record::builder();
        let builder = builder.level(Level::Info).key_values(&value);
        write(&mut bytes, "", &builder.args(format_args!("{long}")).build()).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read["game"], "x".repeat(63) + "...");
        assert_eq!(read["room"], short);
        let message = read["message"].as_str().unwrap();
        assert!(message.len() <= limits::LOG_LINE + 3, "{}", message.len());
    }

    #[test]
    fn a_line_is_one_object_whatever_a_peer_says() {
        let evil = "a \"quoted\" \\ game\n\u{202e}\u{1b}[31m {\"level\":\"ERROR\"}";
        let fields: [(&str, &dyn std::fmt::Display); 1] = [("game", &evil)];
        let [(name, game)] = fields;
        let value = [(name, Value::from_display(&game)), ("times", Value::from(7_u64))];
        let mut bytes = Vec::new();
        let mut builder = Record::builder();
        let builder = builder.level(Level::Warn).key_values(&value);
        write(&mut bytes, "2026-01-31T12:00:00Z", &builder.args(format_args!("{evil}")).build())
            .unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.trim_end().chars().all(|c| (' '..='~').contains(&c)), "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["time"], "2026-01-31T12:00:00Z");
        assert_eq!(read["level"], "WARN");
        assert_eq!(read["message"], Printable(evil).to_string());
        assert_eq!(read["game"], Printable(evil).to_string());
        assert_eq!(read["times"], 7);
        assert!(text.starts_with("{\"time\":\"2026"), "{text}");
    }
}
