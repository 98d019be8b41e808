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
fn what_is_wrong_is_said_in_a_sentence_that_names_it() {
    const LABEL: &str = "has to be a text of at most 64 bytes without control characters";
    let id = "id has to be a text of 1 to 64 bytes without control characters".to_owned();
    let long = format!(r#"{{"id":"a","game":"{}"}}"#, "x".repeat(limits::LABEL + 1));
    let many = format!(r#"{{"local":[{}{{}}]}}"#, "{},".repeat(limits::LOCAL_ENDPOINTS));
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
            "local has to be a list of at most 8 objects".into(),
        ),
        (
            "local_endpoints",
            r#"{"local":[7]}"#,
            "local has to be a list of at most 8 objects".into(),
        ),
        ("local_endpoints", &many, "local has to be a list of at most 8 objects".into()),
        (
            "local_endpoints",
            r#"{"local":[{"ip":"10.0.0.1","port":0}]}"#,
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
    let object = Some("data has to be an object".to_owned());
    let mut world = World::new();
    let stranger = world.open();
    assert_eq!(wrong(&mut world, stranger, "login", r#"["carl","",null]"#), object);
    let [id] = world.peers(["bob"]);
    assert_eq!(wrong(&mut world, id, "create_room", r#"["x",5]"#), object);
    assert_eq!(wrong(&mut world, id, "list_rooms", "[null,null]"), object);
    for data in [r#"["7"]"#, "null", "5", "\"{}\""] {
        for request in ["join_room", "delete_room", "kick", "local_endpoints"] {
            assert_eq!(wrong(&mut world, id, request, data), object, "{request} {data}");
        }
    }
    let inside = r#"{"local":[["10.0.0.1",7777]]}"#;
    let why = wrong(&mut world, id, "local_endpoints", inside);
    assert_eq!(why.as_deref(), Some("local has to be a list of at most 8 objects"));
}
