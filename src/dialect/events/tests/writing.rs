//! Events as engines and languages write them.

use super::*;

/// The only answer to something.
fn answer(world: &mut World, id: ConnId, event: &str) -> Value {
    world.say(id, event);
    world.hears(id)
}

#[test]
fn what_is_null_is_left_out() {
    let mut world = World::new();
    let id = world.open();
    let login = r#"{"type":"request","name":"login","request_id":1,"dest":null,"pass_id":null,
                    "data":{"id":"bob","game":null,"key":null}}"#;
    assert_eq!(answer(&mut world, id, login)["data"]["id"], "bob");
    let list = r#"{"type":"request","name":"list_rooms","data":null,"request_id":1.0}"#;
    assert_eq!(answer(&mut world, id, list)["data"]["rooms"], json!([]));
    let pass = r#"{"type":"confirm_pass","name":"x","data":null,"dest":"bob","pass_id":1.0}"#;
    world.say(id, pass);
    let line = world.lines(id).remove(0);
    assert!(line.contains(r#""data":null"#), "to others it goes as it was written: {line}");
    let missing = r#"{"type":"pass","name":null}"#;
    assert_eq!(answer(&mut world, id, missing)["data"]["message"], "such an event has a name");
}

#[test]
fn events_may_have_nuls_and_byte_order_marks_around_them() {
    let mut world = World::new();
    let id = world.open();
    let ping = r#"{"type":"request","name":"ping","request_id":1}"#;
    let login = r#"{"type":"request","name":"login","data":{"id":"a"},"request_id":1}"#;
    world.say(id, format!("\u{feff}{login}\0\r\n\r\n\u{feff}{ping}\0\0{ping}\n\0"));
    assert_eq!(names(&world.heard(id)), ["login", "ping", "ping"]);
    assert!(world.closed.is_empty());
}

#[test]
fn a_refused_event_is_answered_with_the_id_it_had() {
    let mut world = World::new();
    let stranger = world.open();
    let early = r#"{"type":"response","data":1,"request_id":"r"}"#;
    assert_eq!(answer(&mut world, stranger, early)["request_id"], "r");
    let [id] = world.peers(["bob"]);
    let long = "x".repeat(limits::NAME + 1);
    for name in ["7", "null", &format!("\"{long}\"")] {
        let event = format!(r#"{{"type":"request","name":{name},"request_id":4.0,"data":{{}}}}"#);
        let refused = answer(&mut world, id, &event);
        assert_eq!((&refused["type"], &refused["request_id"]), (&json!("response"), &json!(4.0)));
        assert_eq!(refused["error"]["code"], "bad_event");
    }
    let refused = answer(&mut world, id, r#"{"type":"confirm_pass","name":7,"pass_id":"p"}"#);
    assert_eq!((&refused["type"], &refused["pass_id"]), (&json!("confirm_pass"), &json!("p")));
    let cases = [
        (r#"{"type":"shout","request_id":1,"pass_id":"p"}"#, json!(1), json!("p")),
        (r#"{"request_id":1}"#, json!(1), Value::Null),
        (r#"{"type":"request","name":"x"}"#, Value::Null, Value::Null),
        (r#"{"type":"request","name":"x","request_id":[1]}"#, Value::Null, Value::Null),
        (r#"{"type":7,"pass_id":"p","request_id":true}"#, Value::Null, json!("p")),
    ];
    for (event, request_id, pass_id) in cases {
        let refused = answer(&mut world, id, event);
        assert_eq!((&refused["type"], &refused["name"]), (&json!("pass"), &json!("error")));
        assert_eq!(
            (&refused["request_id"], &refused["pass_id"]),
            (&request_id, &pass_id),
            "{event}"
        );
        assert_eq!(refused["data"]["code"], "bad_event");
    }
    assert!(world.closed.is_empty());
    // What ends the connection is no answer.
    let twice = r#"{"type":"request","name":"x","name":"y","request_id":9}"#;
    let refused = answer(&mut world, id, twice);
    assert_eq!((&refused["name"], &refused["request_id"]), (&json!("error"), &json!(9)));
    assert!(world.closed.contains(&id));
}

#[test]
fn a_confirmation_may_have_a_name() {
    let mut world = World::new();
    let [alice, bob] = world.peers(["alice", "bob"]);
    for fields in [
        r#""name":"start""#,
        r#""name":"""#,
        r#""name":null"#,
        r#""name":"","dest":"alice""#,
        r#""x":1,"dest":null"#,
    ] {
        world.say(alice, r#"{"type":"confirm_pass","name":"start","pass_id":"s","dest":"bob"}"#);
        let asked = world.hears(bob)["pass_id"].clone();
        world.say(bob, format!(r#"{{"type":"confirm_pass",{fields},"pass_id":{asked}}}"#));
        let confirmed = world.hears(alice);
        assert_eq!((&confirmed["pass_id"], &confirmed["from"]), (&json!("s"), &json!("bob")));
        assert_eq!(confirmed.get("name"), None, "{fields}");
        assert!(world.heard(bob).is_empty());
    }
    // One of his own, although he was asked for a confirmation with the same ID.
    world.say(alice, r#"{"type":"confirm_pass","name":"start","pass_id":"s","dest":"bob"}"#);
    let asked = world.hears(bob)["pass_id"].clone();
    for (fields, code) in [
        (r#""name":"go""#, "unknown_pass"),
        (r#""name":"punch_result""#, "bad_request"),
        (r#""name":"start","dest":"nobody""#, "no_such_peer"),
    ] {
        world.say(bob, format!(r#"{{"type":"confirm_pass",{fields},"pass_id":{asked}}}"#));
        assert_eq!(world.hears(bob)["error"]["code"], code, "{fields}");
    }
    world.say(
        bob,
        format!(r#"{{"type":"confirm_pass","name":"start","dest":"alice","pass_id":{asked}}}"#),
    );
    assert_eq!(world.hears(alice)["name"], "start", "an event for her");
}

/// Whatever is wrong, the sentence is for people who write games in another language.
#[test]
fn no_sentence_shows_a_type_of_the_program() {
    let values = [
        "null",
        "true",
        "7",
        "-1.5",
        "1e99",
        "\"x\"",
        "\"\\ud800\"",
        "[]",
        "[7]",
        "{}",
        "{\"a\":1}",
    ];
    let mut events =
        vec!["{".to_owned() + "\"a\":tru}", "{\"a\" 1}".into(), "{1:2}".into(), "{,}".into()];
    for value in values {
        for field in ["type", "name", "data", "dest", "request_id", "pass_id"] {
            events.push(
                format!(r#"{{"type":"request",{field:?}:{value}}}"#)
                    .replace(r#""type":"request","type""#, r#""type""#),
            );
        }
        for (request, member) in [
            ("login", "id"),
            ("login", "game"),
            ("login", "key"),
            ("create_room", "name"),
            ("create_room", "max_players"),
            ("list_rooms", "limit"),
            ("list_rooms", "after"),
            ("join_room", "room"),
            ("join_room", "relay"),
            ("kick", "id"),
            ("local_endpoints", "local"),
        ] {
            events.push(format!(
                r#"{{"type":"request","name":"{request}","data":{{"{member}":{value}}},"request_id":1}}"#
            ));
        }
    }
    for event in events {
        let mut world = World::new();
        let [id] = world.peers(["bob"]);
        world.say(id, &event);
        for line in world.lines(id) {
            for word in [
                "usize", "u16", "u32", "u64", "f64", "str", "struct", "map", "sequence",
                "RawValue", "Option",
            ] {
                let words = line.split(|c: char| !c.is_alphanumeric());
                assert!(!words.into_iter().any(|w| w == word), "{event}: {line}");
            }
        }
    }
}
