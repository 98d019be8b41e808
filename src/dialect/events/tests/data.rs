//! What requests carry, and what is said where it is wrong.

use super::*;

/// What is wrong with the `data` of a request, in words; none if nothing is.
fn wrong(world: &mut World, id: ConnId, name: &str, data: &str) -> Option<String> {
    world.heard.remove(&id);
    world.say(id, format!(r#"{{"type":"request","name":"{name}","data":{data},"request_id":1}}"#));
    let answer = world.heard(id).into_iter().find(|event| event["type"] == "response");
    let answer = answer.expect("an answer");
    let error = answer.get("error")?;
    assert_eq!(error["code"], "bad_request", "{name} {data}: {error}");
    Some(error["message"].as_str().unwrap().to_owned())
}

#[test]
fn a_whole_number_is_one_however_it_is_written() {
    let mut world = World::new();
    let [id] = world.peers(["bob"]);
    for n in ["4", "4.0", "4.000", "4e0", "0.4E+1", "40e-1", "400.0e-2"] {
        let made = format!(r#"{{"name":"x","max_players":{n}}}"#);
        assert_eq!(wrong(&mut world, id, "create_room", &made), None, "{n}");
        let limit = format!(r#"{{"limit":{n}}}"#);
        let listed = world.ask(id, "list_rooms", serde_json::from_str(&limit).unwrap()).unwrap();
        assert_eq!(listed["rooms"][0]["max_players"], 4, "{n}");
        let local = format!(r#"{{"local":[{{"ip":"10.0.0.1","port":{n}}}]}}"#);
        assert_eq!(wrong(&mut world, id, "local_endpoints", &local), None, "{n}");
        assert_eq!(wrong(&mut world, id, "leave_room", "{}"), None);
    }
    for n in ["0", "0.0", "-0.0", "1e6", "4294967295.0"] {
        assert_eq!(
            wrong(&mut world, id, "list_rooms", &format!(r#"{{"limit":{n}}}"#)),
            None,
            "{n}"
        );
    }
    for n in ["4.5", "0.0", "-4.0", "-4", "1e400", "-1e400", "1e-400", "65.0", "\"4\"", "\"NaN\""] {
        let made = format!(r#"{{"name":"x","max_players":{n}}}"#);
        let why = wrong(&mut world, id, "create_room", &made);
        let want = "max_players has to be a whole number from 1 to 64";
        assert_eq!(why.as_deref(), Some(want), "{n}");
    }
    for n in ["0.5", "-1.0", "1e400", "18446744073709551616", "true"] {
        let why = wrong(&mut world, id, "list_rooms", &format!(r#"{{"limit":{n}}}"#));
        assert!(why.unwrap().starts_with("limit has to be a whole number from 0 to "), "{n}");
    }
}

#[test]
fn yes_and_no_may_be_numbers() {
    let mut world = World::new();
    let [id] = world.peers(["bob"]);
    let mut told = |ok: &str| {
        let data = format!(r#"{{"id":"eve","ok":{ok}}}"#);
        world.say(
            id,
            format!(r#"{{"type":"confirm_pass","name":"punch_result","data":{data},"pass_id":1}}"#),
        );
        world.hears(id)["error"]["message"].as_str().map(str::to_owned)
    };
    for ok in ["true", "false", "1.0", "0.0", "1", "0"] {
        assert_eq!(told(ok), None, "{ok}");
    }
    for ok in ["2", "0.5", "-1", "\"true\"", "[true]"] {
        assert_eq!(told(ok).as_deref(), Some("ok has to be true or false"), "{ok}");
    }
    assert_eq!(told("null").as_deref(), Some("ok is missing, it has to be true or false"));
}

#[test]
fn what_is_wrong_is_said_in_a_sentence_that_names_it() {
    const LABEL: &str = "has to be a text of at most 64 bytes without control characters";
    let id = "id has to be a text of 1 to 64 bytes without control characters".to_owned();
    let long = format!(r#"{{"id":"a","game":"{}"}}"#, "x".repeat(limits::LABEL + 1));
    let cases = [
        ("login", r#"{"id":1}"#, id.clone()),
        ("login", r#"{"id":""}"#, id.clone()),
        ("login", r#"{"id":"\n"}"#, id.clone()),
        ("login", r#"{"id":"\ud800"}"#, id.clone()),
        ("login", "{}", id.replace("has", "is missing, it has")),
        ("login", r#"{"id":null}"#, id.replace("has", "is missing, it has")),
        ("login", r#"{"id":"a","\u0069d":"b"}"#, "id is there twice".to_owned()),
        ("login", &long, format!("game {LABEL}")),
        ("login", r#"{"id":"a","key":[]}"#, "key has to be a text".to_owned()),
        ("create_room", r#"{"name":{}}"#, format!("name {LABEL}")),
        ("join_room", r#"{"room":7}"#, "room has to be a text".to_owned()),
        ("delete_room", "{}", "room is missing, it has to be a text".to_owned()),
        ("kick", r#"{"id":true}"#, "id has to be a text".to_owned()),
        ("list_rooms", r#"{"after":0}"#, "after has to be a text".to_owned()),
        (
            "local_endpoints",
            r#"{"local":{}}"#,
            "local has to be a list of at most 64 objects".into(),
        ),
        (
            "local_endpoints",
            r#"{"local":[7]}"#,
            "local has to be a list of at most 64 objects".into(),
        ),
        (
            "local_endpoints",
            r#"{"local":[{"ip":"10.0.0.1","port":0.0}]}"#,
            "port has to be a whole number from 1 to 65535".into(),
        ),
        (
            "local_endpoints",
            r#"{"local":[{"ip":"x","port":1}]}"#,
            "ip has to be an IP address".into(),
        ),
    ];
    for (request, data, why) in cases {
        let mut world = World::new();
        let id = if request == "login" { world.open() } else { world.login("bob").0 };
        assert_eq!(wrong(&mut world, id, request, data), Some(why), "{request} {data}");
    }
}

#[test]
fn data_is_an_object_and_never_a_list() {
    let object = Some("data has to be an object of at most 1024 members".to_owned());
    let mut world = World::new();
    let stranger = world.open();
    assert_eq!(wrong(&mut world, stranger, "login", r#"["carl","",null]"#), object);
    let [id] = world.peers(["bob"]);
    assert_eq!(wrong(&mut world, id, "create_room", r#"["x",5]"#), object);
    assert_eq!(wrong(&mut world, id, "list_rooms", "[null,null]"), object);
    for data in [r#"["7"]"#, "false", "5", "\"{}\""] {
        for request in ["join_room", "delete_room", "kick", "local_endpoints"] {
            assert_eq!(wrong(&mut world, id, request, data), object, "{request} {data}");
        }
    }
    let inside = r#"{"local":[["10.0.0.1",7777]]}"#;
    let why = wrong(&mut world, id, "local_endpoints", inside);
    assert_eq!(why.as_deref(), Some("local has to be a list of at most 64 objects"));
}

/// What each element and each member costs is bounded before they are looked at.
#[test]
fn lists_and_objects_are_not_read_beyond_what_anybody_needs() {
    let mut world = World::new();
    let [id] = world.peers(["bob"]);
    let list = |n: usize| {
        let one = r#"{"ip":"10.0.0.1","port":7777}"#;
        format!(r#"{{"local":[{}]}}"#, vec![one; n].join(","))
    };
    assert_eq!(wrong(&mut world, id, "local_endpoints", &list(limits::OBJECTS)), None);
    let why = wrong(&mut world, id, "local_endpoints", &list(limits::OBJECTS + 1));
    assert_eq!(why.as_deref(), Some("local has to be a list of at most 64 objects"));
    let object = |n: usize| {
        let members: Vec<String> = (0..n).map(|n| format!(r#""{n}":0"#)).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(wrong(&mut world, id, "list_rooms", &object(limits::MEMBERS)), None);
    let why = wrong(&mut world, id, "list_rooms", &object(limits::MEMBERS + 1));
    assert_eq!(why.as_deref(), Some("data has to be an object of at most 1024 members"));
}
