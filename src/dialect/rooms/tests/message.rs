//! Requests and answers as bytes.

use proptest::prelude::*;

use crate::dialect::rooms::field::{Id, Key};
use crate::dialect::rooms::message::{self, Bad, LONGEST_NAME, Request, Verb, Wanted};
use crate::dialect::rooms::options::Options;
use crate::dialect::{Name, of_datagram};
use crate::introductions::plan::Wish;

fn written(request: &Request) -> Vec<u8> {
    let mut bytes = Vec::new();
    request.write(&mut bytes);
    bytes
}

#[test]
fn ends_and_prefixes_do_not_count() {
    for text in ["ka", "ka\n", "ka\r\n", "ka\0", "ka\n\0\0\0", "k:secret:ka", "k::ka\n"] {
        let read = Request::read(text.as_bytes());
        assert!(matches!(read, Ok(Request::KeepAlive)), "{text:?}: {read:?}");
    }
    let padded = [b"rl".as_slice(), &[0; 510]].concat();
    assert!(matches!(Request::read(&padded), Ok(Request::List(None, _))));
}

#[test]
fn names_are_decoded() {
    let Ok(Request::Host(name, _)) = Request::read(b"rh:a%3Ab, %25\xc3\xa9") else { panic!() };
    assert_eq!(name, "a:b, %\u{e9}");
    assert!(matches!(Request::read(b"rh"), Ok(Request::Host(name, _)) if name.is_empty()));
    let longest = format!("rh:{}", "x".repeat(LONGEST_NAME));
    assert!(Request::read(longest.as_bytes()).is_ok());
    assert_eq!(Request::read((longest + "x").as_bytes()).unwrap_err(), Bad::Malformed(Verb::Rh));
}

#[test]
fn a_key_may_be_at_the_end_of_what_a_place_is_needed_for() {
    let (id, key) = ("0123456789abcdef", "00000000000000000000000000000007");
    let kc = format!("kc:id:{id}");
    let pc = format!("pc:{id}:fail");
    for text in ["ka", "lr", "cr", "rn:a", "rn:", &kc, "kc:ip:192.0.2.1", &pc] {
        let (plain, none) = Request::read_with_key(text.as_bytes()).unwrap();
        assert!(none.is_none(), "{text}");
        let signed = format!("k:secret:{text}:{key}\n");
        let (request, own) = Request::read_with_key(signed.as_bytes()).unwrap();
        assert!(own.unwrap().is(Key(7)));
        assert_eq!(written(&request), written(&plain));
        for wrong in [format!("{text}:{key}:"), format!("{text}:{id}"), format!("{text}:")] {
            assert!(matches!(Request::read(wrong.as_bytes()), Err(Bad::Malformed(_))), "{wrong}");
        }
    }
    for text in ["status", "rh:a", "rl", &format!("jr:{id}"), &format!("rc:{id}:{key}")] {
        assert!(Request::read(text.as_bytes()).is_ok());
        assert!(Request::read(format!("{text}:{key}:{key}").as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn wrong_fields_are_told_from_other_dialects() {
    let malformed: [&[u8]; 24] = [
        b"status:",
        b"rh:a:b",
        b"rh:%zz",
        b"rh:\xff",
        b"rh:0123456789abcdef",
        b"rl:",
        b"rl:1",
        b"jr",
        b"jr:",
        b"jr:0123456789abcdeg",
        b"jr:0123456789abcdef:1",
        b"pc:0123456789abcdef",
        b"pc:0123456789abcdef:maybe",
        b"lr:",
        b"cr:0123456789abcdef",
        b"kc",
        b"kc:id",
        b"kc:id:x",
        b"kc:ip:192.0.2",
        b"rn",
        b"rc:0123456789abcdef",
        b"rc:0123456789abcdef:00",
        b"ka:1",
        &[b"rl".as_slice(), &[0; 511]].concat(),
    ];
    for data in malformed {
        let first = data.split(|b| matches!(b, b':' | 0)).next().unwrap();
        match Request::read(data) {
            Err(Bad::Malformed(verb)) => assert_eq!(verb.to_string().as_bytes(), first),
            other => panic!("{}: {other:?}", data.escape_ascii()),
        }
    }
    for data in
        [&b""[..], b"\n", b"hello", b"OK", b"RH", b" ka", b"k:ka", b"k:", b"\xff\xfe", b"k:\xff:ka"]
    {
        assert_eq!(Request::read(data).unwrap_err(), Bad::Foreign, "{}", data.escape_ascii());
    }
    for data in [&b"er:ka:noroom"[..], b"rID:0123456789abcdef:0"] {
        assert_eq!(Request::read(data).unwrap_err(), Bad::Answer);
    }
}

fn wish() -> impl Strategy<Value = Wish> {
    prop::sample::select(vec![Wish::IfNeeded, Wish::Always, Wish::Never])
}

/// A text as it is when it has been cleaned.
fn text() -> impl Strategy<Value = String> {
    "\\PC{0,20}|[:,%=+]{0,4}".prop_map(|text| crate::lobby::names::clean(&text).into_owned())
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    let pair = ("[a-z:,%\u{1}]{1,9}", "[\\PC\u{7}]{0,12}");
    prop::collection::vec(pair, 0..4)
}

fn lan() -> impl Strategy<Value = Vec<std::net::SocketAddr>> {
    let all = ["192.168.1.5:40000", "[fd00::1]:7", "10.0.0.1:1"];
    let all: Vec<_> = all.iter().map(|at| at.parse().unwrap()).collect();
    prop::sample::subsequence(all, 0..=3)
}

/// All options there are, of which each request has those that it may have.
fn all_options() -> impl Strategy<Value = Options> {
    let flags = any::<[bool; 4]>();
    let cookie = || prop::option::of("[0-9a-f:]{0,16}");
    let switches = any::<[Option<bool>; 2]>();
    let password = prop::option::of("\\PC{0,16}|[:=%\u{1}]{1,4}");
    (
        wish(),
        text(),
        prop::option::of(1usize..=64),
        password,
        switches,
        flags,
        lan(),
        pairs(),
        cookie(),
    )
        .prop_map(|(wish, game, max, password, switches, flags, lan, data, cookie)| {
            let ([is_private, is_locked], [migrates, is_mesh, is_free, more]) = (switches, flags);
            Options {
                wish,
                game,
                max,
                password,
                is_private,
                is_locked,
                migrates,
                is_mesh,
                is_free,
                more,
                cookie,
                lan,
                data,
            }
        })
}

fn any_request() -> impl Strategy<Value = Request> {
    let id = || any::<u64>().prop_map(Id);
    let name = || text().prop_filter("short", |n| n.len() <= LONGEST_NAME);
    let code = any::<u64>().prop_map(|seed| {
        let mut random = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
        Wanted::Code(crate::lobby::code::Code::random(&mut random))
    });
    let wanted = prop_oneof![id().prop_map(Wanted::Id), code];
    let opening = || {
        all_options().prop_map(|all| Options {
            wish: Wish::default(),
            is_private: all.is_private.filter(|is| *is),
            is_locked: all.is_locked.filter(|is| *is),
            is_free: false,
            more: false,
            cookie: None,
            ..all
        })
    };
    let changes = all_options().prop_map(|all| Options {
        max: all.max,
        password: all.password,
        is_private: all.is_private,
        is_locked: all.is_locked,
        data: all.data,
        ..Options::default()
    });
    let search = all_options().prop_map(|all| Options {
        game: all.game,
        is_free: all.is_free,
        more: all.more,
        cookie: all.cookie,
        data: all.data,
        ..Options::default()
    });
    let entrance = all_options().prop_map(|all| Options {
        game: all.game,
        password: all.password,
        wish: all.wish,
        lan: all.lan,
        ..Options::default()
    });
    let any_entrance = all_options().prop_map(|all| Options {
        game: all.game,
        wish: all.wish,
        lan: all.lan,
        data: all.data,
        ..Options::default()
    });
    let place = lan().prop_map(|lan| Options { lan, ..Options::default() });
    prop_oneof![
        Just(Request::Status),
        (name(), opening()).prop_map(|(name, options)| Request::Host(name, options)),
        (prop::option::of(id()), search).prop_map(|(id, options)| Request::List(id, options)),
        (wanted, entrance).prop_map(|(wanted, options)| Request::Join(wanted, options)),
        any_entrance.prop_map(Request::JoinAny),
        changes.prop_map(Request::Set),
        id().prop_map(Request::LetInId),
        any::<u32>().prop_map(|ip| Request::LetInIp(std::net::Ipv4Addr::from(ip).into())),
        (id(), any::<bool>()).prop_map(|(id, worked)| Request::Punched(id, worked)),
        Just(Request::Leave),
        Just(Request::Close),
        id().prop_map(Request::KickId),
        any::<u32>().prop_map(|ip| Request::KickIp(std::net::Ipv4Addr::from(ip).into())),
        any::<u128>().prop_map(|ip| Request::KickIp(std::net::Ipv6Addr::from(ip).to_canonical())),
        name().prop_map(Request::Rename),
        (id(), any::<u128>(), place).prop_map(|(id, key, options)| Request::Return(
            id,
            Key(key),
            options
        )),
        Just(Request::KeepAlive),
    ]
}

proptest! {
    #[test]
    fn requests_survive_the_wire(request in any_request()) {
        let bytes = written(&request);
        prop_assume!(bytes.len() <= 512);
        prop_assert_eq!(of_datagram(&bytes), Name::Rooms);
        let read = Request::read(&bytes).unwrap();
        prop_assert_eq!(read.verb(), request.verb());
        prop_assert_eq!(written(&read), bytes);
    }

    #[test]
    fn any_bytes_are_read_or_not(data in prop::collection::vec(any::<u8>(), 0..700)) {
        let _ = Request::read(&data);
    }

    #[test]
    fn any_text_in_the_right_shape_is_read_or_not(
        data in "(k:[a-z]{0,3}:)?(status|rh|rl|jr|qj|pc|lr|cr|kc|li|rn|rs|rc|ka|er)(:[0-9a-f%\\PC]{0,33}|:(max|game|password|lan|d.a)=[0-9a-f%\\PC]{0,9}){0,4}[\n\0]{0,3}"
    ) {
        if let Ok(request) = Request::read(data.as_bytes()) {
            let bytes = written(&request);
            let again = Request::read(&bytes).unwrap();
            prop_assert_eq!(written(&again), bytes);
        }
    }
}

#[test]
fn the_field_that_is_wrong_is_found() {
    for (request, wrong) in [
        ("rh:Name:max=0:game=x\0", Some("max=0")),
        ("rh:Name:max=4:colour\n", Some("colour")),
        ("k:secret:jr:0123456789abcdef:password", Some("password")),
        ("rl:0123456789abcdef:max=3", Some("max=3")),
        ("rs:d.a=b:locked=1:0123456789abcdef0123456789abcdef", Some("locked=1")),
        ("lr:now", Some("now")),
        ("jr", None),
        ("jr:nowhere", None),
        ("ka", None),
        ("rh:Name:max=4", None),
    ] {
        assert_eq!(message::wrong_field(request.as_bytes()).as_deref(), wrong, "{request:?}");
    }
}
