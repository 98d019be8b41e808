//! What somebody types to `punch events`, cut into words: those with blanks in them are in quotes.

use serde_json::{Map, Value, json};

/// The first word, and what comes behind it; none if there is no word. Quotes begin a word, or what is
/// behind the first `=` of one; those stay, as values are JSON.
pub(crate) fn first_word(line: &str) -> Result<Option<(String, &str)>, String> {
    let line = line.trim_start();
    let (key, value) = match line.find(|c: char| c == '=' || c == '"' || c.is_whitespace()) {
        Some(at) if line.get(at..).is_some_and(|rest| rest.starts_with('=')) => {
            line.split_at(at + 1)
        }
        _ => ("", line),
    };
    let length = match value.strip_prefix('"') {
        None => value.find(char::is_whitespace).unwrap_or(value.len()),
        Some(quoted) => end_of_quote(quoted).ok_or("a quote has no end")? + 2,
    };
    let (value, rest) = value.split_at_checked(length).unwrap_or((value, ""));
    if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
        return Err("a blank has to follow the quotes".to_owned());
    }
    let word = if key.is_empty() { unquoted(value) } else { format!("{key}{value}") };
    Ok(if length == 0 && key.is_empty() { None } else { Some((word, rest)) })
}

/// All words.
pub(crate) fn words(mut line: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    while let Some((word, rest)) = first_word(line)? {
        all.push(word);
        line = rest;
    }
    Ok(all)
}

/// The same without its quotes, if it has them.
pub(crate) fn unquoted(text: &str) -> String {
    let is_quoted = text.starts_with('"');
    let read = is_quoted.then(|| serde_json::from_str(text).ok()).flatten();
    read.unwrap_or_else(|| text.to_owned())
}

/// Where the quote is that ends this; those behind a backslash do not.
fn end_of_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}

/// Whether it is an event for somebody.
pub(crate) fn is_event(line: &str) -> bool {
    let verb = line.split_whitespace().next();
    verb.is_some_and(|verb| matches!(verb, "pass" | "confirm" | "request"))
}

/// How a command is used that there is.
pub(crate) fn usage(verb: &str) -> Option<&'static str> {
    Some(match verb {
        "create" => "create NAME [MAX] [MORE]",
        "join" => "join ROOM [PASSWORD]",
        "kick" => "kick ID",
        "let" => "let ID",
        "wait" => "wait SECONDS",
        "unwatch" => "unwatch, alone",
        "who" => "who, alone",
        "leave" => "leave, alone: one is in one room at most",
        "delete" => "delete, alone: one has one room at most",
        "secret" => "secret, alone",
        "help" => "help, alone",
        "quit" => "quit, alone",
        _ => return None,
    })
}

/// What the words behind `create`, or `set`, say of a room.
pub(crate) fn settings(words: &[&str], is_new: bool) -> Result<Value, String> {
    let (mut data, mut own) = (json!({}), Map::new());
    for word in words {
        match word.split_once('=') {
            Some(("password", word)) => data["password"] = json!(unquoted(word)),
            Some(("max", most)) => data["max_players"] = own_value(most),
            Some(("name", name)) => data["name"] = json!(unquoted(name)),
            Some((key, value)) => _ = own.insert(key.to_owned(), own_value(value)),
            None => match *word {
                "locked" | "unlocked" => data["locked"] = json!(*word == "locked"),
                "private" | "migrate" | "mesh" if is_new => data[*word] = json!(true),
                "public" if is_new => data["private"] = json!(false),
                "private" | "public" | "migrate" | "mesh" => {
                    return Err(format!(
                        "{word} cannot be changed: it is said when the room is made, by create"
                    ));
                }
                _ => return Err(format!("what is {word:?}? Own data is KEY=VALUE; see help")),
            },
        }
    }
    if !own.is_empty() {
        data["data"] = own.into();
    }
    Ok(data)
}

/// In which order rooms can be listed.
pub(crate) const ORDERS: [&str; 2] = ["newest", "players"];

/// What the words behind `rooms`, `watch` and `quick` say of which rooms are looked for.
pub(crate) fn looked_for(words: &[&str], orders: &[&str]) -> Result<Value, String> {
    let mut wanted = json!({"filter": {}});
    for word in words {
        match word.split_once('=') {
            Some((key, value)) => wanted["filter"][key] = own_value(value),
            None if *word == "free" => wanted["free"] = json!(true),
            None if orders.contains(word) => wanted["sort"] = json!(word),
            None => return Err(format!("what is {word:?}? Own data is KEY=VALUE; see help")),
        }
    }
    Ok(wanted)
}

/// A value as JSON has it, or else a text.
pub(crate) fn own_value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_blanks_are_in_quotes() {
        let cut = |line: &str| words(line).expect(line).join("|");
        assert_eq!(cut("  create  Room 4 "), "create|Room|4");
        assert_eq!(cut(r#"create "My \"big\" room" 4"#), r#"create|My "big" room|4"#);
        assert_eq!(
            cut(r#"set name="My room" map=a"b x={"a":"b"}"#),
            r#"set|name="My room"|map=a"b|x={"a":"b"}"#
        );
        assert_eq!(cut(r#"a "" ="x y" b="#), r#"a||="x y"|b="#);
        assert_eq!(cut(""), "");
        assert!(words("create \"My").is_err() && words(r#"join "a"b"#).is_err());
        assert_eq!(unquoted(r#""a b""#), "a b");
        assert_eq!(first_word("pass  bob chat"), Ok(Some(("pass".into(), "  bob chat"))));
    }
}
