//! The text of a vector: what it means, and what is said about one that is wrong.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use compat_tests::vector::{Action, Send, TextError, Vector, Wrong};
use proptest::prelude::*;

const HEAD: &str = "title: t\nwhy: w\n\n";

/// The steps of a vector with these lines.
fn steps(body: &str) -> Result<Vec<Action>, (usize, Wrong)> {
    match Vector::parse(&format!("{HEAD}{body}")) {
        Ok(vector) => Ok(vector.steps.into_iter().map(|step| step.action).collect()),
        Err(error) => Err((error.line - HEAD.lines().count(), error.wrong)),
    }
}

/// What the last step sends.
fn sent(bytes: &str) -> Send {
    match steps(&format!("a tcp 127.0.0.2\na>{bytes}")).unwrap().pop() {
        Some(Action::Send(_, send)) => send,
        other => unreachable!("{other:?} is not sending"),
    }
}

fn wrong(body: &str) -> (usize, Wrong) {
    steps(body).unwrap_err()
}

#[test]
fn the_head_is_read() {
    let vector = Vector::parse(
        "# comment\ntitle: A b\nwhy: c\n  d\nold: e\nserver: --name \"F g\"\n\nsleep 1ms\n",
    );
    let vector = vector.unwrap();
    assert_eq!(vector.title, "A b");
    assert_eq!(vector.why, "c d");
    assert_eq!(vector.old.as_deref(), Some("e"));
    assert_eq!(vector.options, ["--name", "F g"]);
    assert_eq!(vector.steps[0].line, 8);
}

#[test]
fn short_forms_are_what_gamemaker_sends() {
    for (short, long) in [
        (" connect 127.0.0.2", r" connect\n127.0.0.2\n\0"),
        (r#" reg2 1.2.4 "a b""#, r" reg2\n\01.2.4\n\0a b\n\0\n\0\n\0\n\0\n\0\n\0\n\0\n\0"),
        (r#" reg2 "" "\"=""#, r#" reg2\n\0\n\0"=\n\0\n\0\n\0\n\0\n\0\n\0\n\0\n\0"#),
        (
            " lobby2 data2=x limit=4",
            r" lobby2\n\0\n\0x\n\0\n\0\n\0\n\0\n\0\n\0\n\0date\n\0DESC\n\04\n\0",
        ),
        (
            r#" lobby2 data8="a b" sort=data1 dir="""#,
            r" lobby2\n\0\n\0\n\0\n\0\n\0\n\0\n\0\n\0a b\n\0data1\n\0\n\0\n\0",
        ),
    ] {
        assert_eq!(sent(short).pieces, sent(long).pieces, "{short}");
    }
}

#[test]
fn bytes_are_what_they_say() {
    let fixed = |text| sent(text).pieces[0].fixed().map(<[u8]>::to_vec);
    assert_eq!(fixed(r" \n\r\t\0\\\xff\u{e9}é").unwrap(), b"\n\r\t\0\\\xff\xc3\xa9\xc3\xa9");
    assert_eq!(fixed(r#" [settle 0s] {"a":1} {["#).unwrap(), br#"{"a":1} {["#);
    assert_eq!(fixed(" {repeat:3:ab}").unwrap(), b"ababab");
    assert_eq!(fixed(""), Some(Vec::new()));
    assert!(sent(" gm x").header);
    assert_eq!(fixed(" gm"), Some(Vec::new()));
    let pieces = sent(r" [pause 25ms] a|b\|c|");
    let fixed: Vec<_> = pieces.pieces.iter().map(|piece| piece.fixed().unwrap()).collect();
    assert_eq!(fixed, [&b"a"[..], b"b|c", b""]);
    assert_eq!(pieces.pause, Duration::from_millis(25));
}

#[test]
fn a_wrong_head_is_named() {
    let wrong = |text| Vector::parse(text).map_err(|e| (e.line, e.wrong)).unwrap_err();
    assert_eq!(wrong(""), (1, Wrong::NoTitle));
    assert_eq!(wrong("title: t\n\nsleep 1ms"), (1, Wrong::NoWhy));
    assert_eq!(wrong("title: t\nwhy: w\n"), (2, Wrong::NoSteps));
    assert_eq!(wrong("title: t\ntitle: u\n"), (2, Wrong::Twice("title".into())));
    assert_eq!(wrong("name: t\n"), (1, Wrong::Head("name: t".into())));
    assert_eq!(wrong("  t\n"), (1, Wrong::Indented));
    assert_eq!(wrong("title: t\nwhy: w\nserver: \"x\n\nsleep 1ms"), (1, Wrong::Quote));
}

#[test]
fn a_wrong_step_is_named() {
    let named = |body, line, expected| assert_eq!(wrong(body), (line, expected), "{body}");
    named("A tcp", 1, Wrong::Name("A tcp".into()));
    named("a tcp", 1, Wrong::NoAddress("a".into()));
    named("a tcp ::1", 1, Wrong::Address("::1".into()));
    named("sleep 1m", 1, Wrong::Time("1m".into()));
    named("sleep 61s", 1, Wrong::Time("61s".into()));
    for no_step in ["a", "a fly", "a!", "aé"] {
        named(no_step, 1, Wrong::Step(no_step.into()));
    }
    assert!(matches!(wrong("a> x"), (1, Wrong::NotOpen(_))));
    assert!(matches!(wrong("a udp 127.0.0.2\na> x"), (2, Wrong::NotOpen(_))));
}

#[test]
fn a_wrong_step_of_an_open_socket_is_named() {
    let open = "a tcp 127.0.0.2\n";
    let wrong = |step: &str| {
        let (line, wrong) = wrong(&format!("{open}{step}"));
        assert!(line >= 2, "{step}: line {line}");
        wrong
    };
    assert!(matches!(wrong("a tcp"), Wrong::Open(_)));
    assert!(matches!(wrong("a close\na> x"), Wrong::NotOpen(_)));
    assert!(matches!(wrong("a close rst\na< x"), Wrong::NotOpen(_)));
    assert_eq!(wrong("a> [gap 3ms] x"), Wrong::Option("gap 3ms".into()));
    assert_eq!(wrong("a< [gap]"), Wrong::Nothing);
    assert_eq!(wrong("a< [gap] x"), Wrong::Option("gap".into()));
    assert_eq!(wrong("a< [within 3ms x"), Wrong::Bracket);
    assert_eq!(wrong("a<"), Wrong::Nothing);
    assert_eq!(wrong("a> {port:b}"), Wrong::NoPort("b".into()));
    assert_eq!(wrong("a> {epoch}"), Wrong::TimeSent);
    assert_eq!(wrong("a< {epoch:m}"), Wrong::Mark("m".into()));
    assert_eq!(wrong("a> x\n  or y"), Wrong::Below("or y".into()));
    assert_eq!(wrong("a< x\n  y"), Wrong::Below("y".into()));
    assert_eq!(wrong("a lobby\n  & 127.0.0.2"), Wrong::Below("127.0.0.2".into()));
    assert_eq!(wrong("a lobby\n  127.0.0.2 @m"), Wrong::Mark("m".into()));
    assert!(matches!(wrong("a lobby\n  1 2 3 4 5 6 7 8 9 10"), Wrong::Words(_)));
    assert!(matches!(wrong("a lobby\n  1 \"\\xff\""), Wrong::NotPlain(_)));
    assert!(matches!(wrong("a> reg2 1 2 3 4 5 6 7 8 9 10"), Wrong::Words(_)));
    assert!(matches!(wrong("a> reg2 1 b=2"), Wrong::Words(_)));
    assert!(matches!(wrong("a> lobby2 data9=x"), Wrong::Words(_)));
    assert!(matches!(wrong("a close hard"), Wrong::Words(_)));
    assert_eq!(wrong("a> reg2 \"x"), Wrong::Quote);
    assert_eq!(wrong("a> reg2 \"x\"y"), Wrong::Quote);
}

#[test]
fn a_wrong_text_is_named() {
    let text = |text: &str| match wrong(&format!("a tcp 127.0.0.2\na> {text}")) {
        (2, Wrong::Text(error)) => error,
        other => unreachable!("{text}: {other:?}"),
    };
    for escape in [r"\", r"\q", r"\x", r"\x1", r"\xé", r"\u", r"\u{", r"\u{}", r"\u{d800}"] {
        assert!(matches!(text(escape), TextError::Escape(_)), "{escape}");
    }
    assert_eq!(text("{prot:a}"), TextError::Placeholder("prot:a".into()));
    assert_eq!(text("{epochs}"), TextError::Placeholder("epochs".into()));
    for repeat in ["{repeat:a}", "{repeat:x:a}", "{repeat:5000000:a}", "{repeat:1:{epoch}}"] {
        assert!(matches!(text(repeat), TextError::Repeat(_) | TextError::Placeholder(_)));
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = Vector::parse(&text);
        let _ = Vector::parse(&format!("{HEAD}{text}"));
        let _ = Vector::parse(&format!("{HEAD}a tcp 127.0.0.2\na> {text}"));
    }

    /// Nearly right is where slips are.
    #[test]
    fn no_shuffled_vector_makes_the_parser_panic(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "a", "b", " tcp", " udp", ">", "<", " lobby", " close", "127.0.0.2", "gm ", "reg2 ",
                "lobby2 ", "data1=", "\"", "[", "]", "within ", "pause ", "5ms", ",", "|", "\\", "\\x",
                "\\u{", "{port:", "{epoch", "{repeat:", "9:", "}", "\n", "\n  ", "or ", "& ", "@m",
                "mark m\n", "é", " ",
            ]),
            0..40,
        )
    ) {
        let text = parts.concat();
        let _ = Vector::parse(&format!("{HEAD}a tcp 127.0.0.2\na udp\n{text}"));
    }
}
