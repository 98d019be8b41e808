//! An event on the wire: what its fields say, and how it is written again for somebody else
//! without a change to what it carries. Values are kept as they were written, so that no number
//! and no unknown field is lost on the way.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::de::Read;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::limits;
use crate::refusals::Reason;

/// What an event wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// No answer.
    Pass,
    /// To know that it has arrived.
    ConfirmPass,
    /// To tell that one has arrived.
    Confirmation,
    /// An answer.
    Request,
    /// To be one.
    Response,
}

impl Kind {
    /// The word for it, and the name of its ID.
    #[must_use]
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Pass => ("pass", ""),
            Self::ConfirmPass | Self::Confirmation => ("confirm_pass", "pass_id"),
            Self::Request => ("request", "request_id"),
            Self::Response => ("response", "request_id"),
        }
    }
}

/// Why an object is no event.
#[derive(Debug)]
pub enum EventError {
    /// It is not JSON.
    Json(String),
    /// A field is missing or is not what it has to be.
    Field(&'static str),
}

impl EventError {
    /// The word for it on the wire.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json(_) => "bad_json",
            Self::Field(_) => "bad_event",
        }
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(why) => write!(f, "this is not JSON: {why}"),
            Self::Field(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for EventError {}

/// An event as it arrived.
#[derive(Debug)]
pub struct Event<'a> {
    /// What it wants.
    pub kind: Kind,
    /// What it is about; empty if it does not say.
    pub name: Cow<'a, str>,
    /// Whom it is for, if not for the server.
    pub dest: Option<Cow<'a, str>>,
    /// The `pass_id` or `request_id`, a text or a number, as it was written.
    pub id: &'a str,
    /// What it carries.
    pub data: Option<&'a RawValue>,
    /// How long it is, in bytes.
    pub length: usize,
    fields: Fields<'a>,
}

/// Fields as they were written, in their order.
pub(super) type Fields<'a> = SmallVec<[(Cow<'a, str>, &'a RawValue); 8]>;

/// A field name, borrowed where it has no escapes in it.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads an object, field by field. A name may be there more than once.
///
/// # Errors
/// If it is none.
pub(super) fn fields_of(json: &str) -> serde_json::Result<Fields<'_>> {
    read_fields(serde_json::Deserializer::from_str(json))
}

fn read_fields<'de, R: Read<'de>>(
    mut json: serde_json::Deserializer<R>,
) -> serde_json::Result<Fields<'de>> {
    /// Fills a list that stands where it is, as it is large.
    struct Filler<'de, 'a>(&'a mut Fields<'de>);

    impl<'de> Visitor<'de> for Filler<'de, '_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
            while let Some((Text(key), value)) = map.next_entry()? {
                // What another node passes on says also who has sent it.
                if self.0.len() >= limits::MEMBERS + usize::from(key == "from") {
                    let most = limits::MEMBERS;
                    return Err(M::Error::custom(format_args!(
                        "an object has more than {most} members"
                    )));
                }
                self.0.push((key, value));
            }
            Ok(())
        }
    }

    let mut fields = Fields::new();
    json.deserialize_map(Filler(&mut fields))?;
    json.end()?;
    Ok(fields)
}

/// The fields that the server looks at.
const KNOWN: [&str; 7] = ["type", "name", "data", "dest", "from", "pass_id", "request_id"];

fn is_twice(fields: &Fields<'_>, known: &str) -> bool {
    fields.iter().filter(|(key, _)| key == known).nth(1).is_some()
}

impl<'a> Event<'a> {
    /// Whether it has the server tell many, or of many: others would notice if a hundred peers asked
    /// for it at once.
    #[must_use]
    pub fn is_for_many(&self) -> bool {
        let rooms = [
            "create_room",
            "update_room",
            "delete_room",
            "list_rooms",
            "watch_rooms",
            "join_room",
            "quick_join",
            "leave_room",
            "kick",
        ];
        self.kind == Kind::Request && self.dest.is_none() && rooms.contains(&&*self.name)
    }

    /// Reads an object.
    ///
    /// # Errors
    /// If it is no event.
    pub fn parse(object: &'a [u8]) -> Result<Self, EventError> {
        let json = |error: &dyn fmt::Display| EventError::Json(error.to_string());
        let text = std::str::from_utf8(object).map_err(|error| json(&error))?;
        let fields = fields_of(text).map_err(|error| json(&error))?;
        if let Some(key) = KNOWN.iter().find(|known| is_twice(&fields, known)) {
            return Err(EventError::Json(format!("{key} is there twice")));
        }
        let find = |key: &str| find(&fields, key);
        let text =
            |key, why| find(key).map(|v| as_text(v).ok_or(EventError::Field(why))).transpose();
        let kind = text("type", "type has to be a text")?;
        let kind = kind.ok_or(EventError::Field("an event has a type"))?;
        let name = text("name", "name has to be a text")?;
        let dest = text("dest", "dest has to be a text")?;
        let kind = match &*kind {
            "pass" => Kind::Pass,
            "confirm_pass" => match name.as_deref() {
                None => Kind::Confirmation,
                Some("") if dest.is_none() => Kind::Confirmation,
                Some(_) => Kind::ConfirmPass,
            },
            "request" => Kind::Request,
            "response" => Kind::Response,
            _ => return Err(EventError::Field("there is no such type")),
        };
        let needs_name = matches!(kind, Kind::Pass | Kind::Request);
        let name = match name {
            Some(name) if name.len() > limits::NAME => {
                return Err(EventError::Field("the name is too long"));
            }
            None if needs_name => return Err(EventError::Field("such an event has a name")),
            name => name.unwrap_or_default(),
        };
        let id = match (kind, kind.words().1) {
            (Kind::Pass, _) => "",
            (_, "pass_id") => id(find("pass_id"), "pass_id is missing")?,
            (_, named) => id(find(named), "request_id is missing")?,
        };
        let data = find("data");
        Ok(Self { kind, name, dest, id, data, length: object.len(), fields })
    }

    /// Writes that the event is refused as the pass `error`, as nobody waits for an answer.
    pub fn write_refusal(&self, bytes: &mut Vec<u8>, fault: &Fault) {
        let id = Some(self.id).filter(|id| !id.is_empty());
        let remains = match self.kind.words().1 {
            "pass_id" => Remains { pass_id: id, ..Remains::default() },
            _ => Remains { request_id: id, ..Remains::default() },
        };
        remains.write_refusal(bytes, fault, true);
    }

    /// Whether another peer has said it.
    #[must_use]
    pub fn is_of_peer(&self) -> bool {
        self.fields.iter().any(|(key, _)| *key == "from")
    }

    /// Whether it says that something is wrong.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.fields.iter().any(|(key, _)| *key == "error")
    }

    /// Writes the event as it came, with another ID if there is one to be written.
    pub fn write_again(&self, bytes: &mut Vec<u8>, id: &str) {
        bytes.push(b'{');
        for (n, (key, value)) in self.fields.iter().enumerate() {
            if n > 0 {
                bytes.push(b',');
            }
            let is_id = !id.is_empty() && **key == *self.kind.words().1;
            write_field(bytes, key, if is_id { id } else { value.get() });
        }
        bytes.extend_from_slice(b"}\n");
    }

    /// Writes the event for whom it is passed on to: with another ID, and with who sent it.
    pub fn write_on(&self, bytes: &mut Vec<u8>, id: &str, from: &str) {
        bytes.push(b'{');
        for (key, value) in &self.fields {
            match &**key {
                "dest" | "from" => continue,
                // It may say what it confirms, but others know it by having no name.
                "name" if self.kind == Kind::Confirmation => continue,
                key if !id.is_empty() && key == self.kind.words().1 => write_field(bytes, key, id),
                key => write_field(bytes, key, value.get()),
            }
            bytes.push(b',');
        }
        write_text(bytes, "from");
        bytes.push(b':');
        write_text(bytes, from);
        bytes.extend_from_slice(b"}\n");
    }
}

/// A field whose value is JSON already. Line ends are left out: in JSON they stand between
/// tokens only, where nothing is needed, and readers take what we send line by line.
fn write_field(bytes: &mut Vec<u8>, key: &str, value: &str) {
    write_text(bytes, key);
    bytes.push(b':');
    if value.contains('\n') || value.contains('\r') {
        bytes.extend(value.bytes().filter(|b| !matches!(b, b'\n' | b'\r')));
    } else {
        bytes.extend_from_slice(value.as_bytes());
    }
}

fn write_text(bytes: &mut Vec<u8>, text: &str) {
    write_json(bytes, text);
}

/// Writing into memory cannot fail, and nothing that we write has keys that are no texts.
fn write_json(bytes: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let written = serde_json::to_writer(bytes, value);
    debug_assert!(written.is_ok());
}

/// A field of an event. What is null is left out.
fn find<'a>(fields: &Fields<'a>, key: &str) -> Option<&'a RawValue> {
    let value = fields.iter().find(|(name, _)| name == key).map(|(_, value)| *value);
    value.filter(|value| value.get() != "null")
}

/// What of an object that is no event tells its sender which of its events it was.
#[derive(Debug, Default)]
pub struct Remains<'a> {
    kind: Option<Kind>,
    name: Cow<'a, str>,
    pass_id: Option<&'a str>,
    request_id: Option<&'a str>,
}

impl<'a> Remains<'a> {
    /// Reads what can be read of it.
    #[must_use]
    pub fn of(object: &'a [u8]) -> Self {
        let read = read_fields(serde_json::Deserializer::from_slice(object));
        let Ok(fields) = read else { return Self::default() };
        let text = |key| find(&fields, key).and_then(as_text);
        let id_of = |key| id(find(&fields, key), "").ok().filter(|_| !is_twice(&fields, key));
        let kind = match text("type").as_deref() {
            Some("confirm_pass") => Some(Kind::ConfirmPass),
            Some("request") => Some(Kind::Request),
            _ => None,
        };
        let name = text("name").filter(|name| name.len() <= limits::NAME).unwrap_or_default();
        Self { kind, name, pass_id: id_of("pass_id"), request_id: id_of("request_id") }
    }

    /// Writes that it is refused: as the answer that it waits for, if it is known to wait for one and the
    /// connection `goes_on`; else as the pass `error`, with the IDs.
    pub fn write_refusal(&self, bytes: &mut Vec<u8>, fault: &Fault, goes_on: bool) {
        match (self.kind, self.pass_id, self.request_id) {
            (Some(Kind::Request), _, Some(id)) if goes_on => {
                write_response(bytes, &self.name, id, Err::<&(), _>(fault));
            }
            (Some(Kind::ConfirmPass), Some(id), _) if goes_on => {
                write_confirmation(bytes, id, Some(fault));
            }
            _ => {
                bytes.extend_from_slice(b"{\"type\":\"pass\",\"name\":\"error\",");
                write_field_of(bytes, "data", fault);
                let ids = [("pass_id", self.pass_id), ("request_id", self.request_id)];
                for (key, id) in ids.into_iter().filter_map(|(key, id)| Some((key, id?))) {
                    bytes.push(b',');
                    write_field(bytes, key, id);
                }
                bytes.extend_from_slice(b"}\n");
            }
        }
    }
}

/// A text, if it is one.
pub(super) fn as_text(value: &RawValue) -> Option<Cow<'_, str>> {
    let json = value.get();
    // It has been read as JSON, so what has no escapes is what stands between the quotes.
    match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(text) if !text.contains('\\') => Some(Cow::Borrowed(text)),
        _ => serde_json::from_str(json).ok().map(|Text(text)| text),
    }
}

/// An ID is a text or a number, and not long: the server has to remember it.
fn id<'a>(value: Option<&'a RawValue>, missing: &'static str) -> Result<&'a str, EventError> {
    let value = value.map(RawValue::get).ok_or(EventError::Field(missing))?;
    if value.len() > limits::ID_OF_EVENT {
        return Err(EventError::Field("the ID is too long"));
    }
    match value.as_bytes() {
        [b'"' | b'-' | b'0'..=b'9', ..] => Ok(value),
        _ => Err(EventError::Field("an ID is a text or a number")),
    }
}

/// What went wrong, for whom it concerns.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// One word.
    pub code: &'static str,
    /// A sentence for people.
    pub message: Cow<'static, str>,
    /// Why the server itself refuses it, if it does.
    #[serde(skip)]
    pub refusal: Option<Reason>,
}

impl Fault {
    /// A fault with its explanation.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), refusal: None }
    }

    /// The same, as something that the server refuses for this reason.
    #[must_use]
    pub fn because(self, reason: Reason) -> Self {
        Self { refusal: Some(reason), ..self }
    }
}

/// Data that says nothing: `{}`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Nothing {}

/// Writes a pass of the server.
pub fn write_pass(bytes: &mut Vec<u8>, name: &str, data: &impl Serialize) {
    #[derive(Serialize)]
    struct Pass<'a, T> {
        r#type: &'static str,
        name: &'a str,
        data: &'a T,
    }
    write_json(bytes, &Pass { r#type: "pass", name, data });
    bytes.push(b'\n');
}

/// Writes a request of the server.
pub fn write_request(bytes: &mut Vec<u8>, name: &str, id: &str) {
    #[derive(Serialize)]
    struct Request<'a> {
        r#type: &'static str,
        name: &'a str,
        data: Nothing,
        request_id: &'a str,
    }
    let request = Request { r#type: "request", name, data: Nothing {}, request_id: id };
    write_json(bytes, &request);
    bytes.push(b'\n');
}

/// Writes the server's answer to a request: what is in `Ok` goes into `data`.
pub fn write_response(
    bytes: &mut Vec<u8>,
    name: &str,
    id: &str,
    answer: Result<&impl Serialize, &Fault>,
) {
    bytes.extend_from_slice(b"{\"type\":\"response\",");
    write_field_of(bytes, "name", name);
    bytes.push(b',');
    match answer {
        Ok(data) => write_field_of(bytes, "data", data),
        Err(fault) => write_field_of(bytes, "error", fault),
    }
    bytes.push(b',');
    write_field(bytes, "request_id", id);
    bytes.extend_from_slice(b"}\n");
}

/// Writes that a `confirm_pass` arrived at the server, or why it did not arrive.
pub fn write_confirmation(bytes: &mut Vec<u8>, id: &str, error: Option<&Fault>) {
    bytes.extend_from_slice(b"{\"type\":\"confirm_pass\",");
    if let Some(fault) = error {
        write_field_of(bytes, "error", fault);
        bytes.push(b',');
    }
    write_field(bytes, "pass_id", id);
    bytes.extend_from_slice(b"}\n");
}

fn write_field_of(bytes: &mut Vec<u8>, key: &str, value: &(impl Serialize + ?Sized)) {
    write_text(bytes, key);
    bytes.push(b':');
    write_json(bytes, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed_on(event: &str) -> String {
        let event = Event::parse(event.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        event.write_on(&mut bytes, "\"7\"", "alice");
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_is_passed_on_is_as_it_was() {
        let event = r#"{"ä":1e400,"type":"request","dest":"bob","name":"move","x":{"b":1,"a":0.1000,"a":[]},
            "from":"mallory","request_id":12345678901234567890,"data":[12345678901234567890,
            -0.0, "\u00e9\ud83c\udfae\\"], "\u0061\n": null }"#;
        assert_eq!(
            passed_on(event),
            "{\"ä\":1e400,\"type\":\"request\",\"name\":\"move\",\
             \"x\":{\"b\":1,\"a\":0.1000,\"a\":[]},\"request_id\":\"7\",\
             \"data\":[12345678901234567890,            -0.0, \"\\u00e9\\ud83c\\udfae\\\\\"],\
             \"a\\n\":null,\"from\":\"alice\"}\n"
        );
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let cases = [
            (r#"{}"#, "bad_event"),
            (r#"{"type":1}"#, "bad_event"),
            (r#"{"type":"shout"}"#, "bad_event"),
            (r#"{"type":"pass"}"#, "bad_event"),
            (r#"{"type":"pass","name":null}"#, "bad_event"),
            (r#"{"type":"pass","name":"a","dest":3}"#, "bad_event"),
            (r#"{"type":"request","name":"a"}"#, "bad_event"),
            (r#"{"type":"request","name":"a","request_id":null}"#, "bad_event"),
            (r#"{"type":"request","name":"a","request_id":[1]}"#, "bad_event"),
            (r#"{"type":"confirm_pass","pass_id":true}"#, "bad_event"),
            (r#"{"type":"response","data":1}"#, "bad_event"),
            (r#"{"type":"pass","type":"pass","name":"a"}"#, "bad_json"),
            (r#"{"type":"pass","name":"a","x":01}"#, "bad_json"),
            (r#"{"type":"pass","name":"a","x":[}"#, "bad_json"),
            (r#"{"type":"pass","name":"a",}"#, "bad_json"),
            ("{\"type\":\"pass\",\"name\":\"a\",\"x\":\"\n\"}", "bad_json"),
            (r#"{"type":"pass","name":"\ud800"}"#, "bad_event"),
        ];
        for (event, code) in cases {
            let error = Event::parse(event.as_bytes()).expect_err(event);
            assert_eq!(error.code(), code, "{event}: {error}");
        }
        let error = Event::parse(b"{\"type\":\"pass\",\"name\":\"\xff\"}").unwrap_err();
        assert_eq!(error.code(), "bad_json");
    }

    #[test]
    fn a_confirm_pass_without_a_name_confirms() {
        let kind = |event: &str| Event::parse(event.as_bytes()).unwrap().kind;
        assert_eq!(kind(r#"{"type":"confirm_pass","name":"a","pass_id":1}"#), Kind::ConfirmPass);
        assert_eq!(kind(r#"{"type":"confirm_pass","pass_id":1}"#), Kind::Confirmation);
        for name in [r#""""#, "null"] {
            let event = format!(r#"{{"type":"confirm_pass","name":{name},"pass_id":1}}"#);
            assert_eq!(kind(&event), Kind::Confirmation, "{event}");
        }
        let to_a_peer = r#"{"type":"confirm_pass","name":"","pass_id":1,"dest":"bob"}"#;
        assert_eq!(kind(to_a_peer), Kind::ConfirmPass);
    }
}
