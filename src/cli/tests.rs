//! The options are sound, and mistakes are told in a sentence.

use super::*;

#[test]
fn the_options_are_sound() {
    Options::command().debug_assert();
}

#[test]
fn dialects_are_chosen_by_name() {
    let dialects = |args: &[&str]| {
        let options = Options::try_parse_from([&["punchd"], args].concat());
        options.map(|options| options.server(1).dialects)
    };
    assert_eq!(dialects(&[]).unwrap(), Name::ALL);
    let some = dialects(&["--dialects", "rooms, gmnet"]).unwrap();
    assert_eq!(some, [Name::Rooms, Name::Gmnet]);
    let error = dialects(&["--dialects", "room"]).unwrap_err().to_string();
    assert!(error.contains("gmnet, stun, rooms"), "{error}");
}

#[test]
fn a_rate_is_a_limit_or_none_and_nothing_between() {
    let rates = |n: &str| {
        let line = ["punchd", "--max-datagrams", n, "--max-commands", n];
        let options = Options::try_parse_from(line).map_err(|error| error.to_string())?;
        let limits = options.server(1).limits;
        Ok((limits.datagrams_per_second, limits.commands_per_second))
    };
    for n in [0, 1, 1_000_000] {
        assert_eq!(rates(&n.to_string()), Ok((n, n)));
    }
    for n in ["1000001", "4294967295", "4294967296", "many"] {
        let error: String = rates(n).unwrap_err();
        assert!(error.contains("from 1 to 1000000, or 0 for no limit"), "{error}");
    }
}

#[test]
fn an_address_that_nobody_has_is_refused() {
    let error = |option: &str, ip: &str| {
        let line = Options::try_parse_from(["punchd", option, ip]);
        line.map(drop).map_err(|error| error.to_string())
    };
    let many = ["255.255.255.255", "224.0.0.1", "ff02::1", "::ffff:224.0.0.1"];
    for ip in ["0.0.0.0", "::", "::ffff:0.0.0.0"].iter().chain(&many) {
        let why = error("--public-ip", ip).expect_err(ip);
        assert!(why.contains("by which players elsewhere reach this server"), "{ip}: {why}");
        let why = error("--alt-addr", ip).expect_err(ip);
        assert!(why.contains("want an address of this machine"), "{ip}: {why}");
    }
    for ip in many {
        let why = error("--bind", ip).expect_err(ip);
        assert!(why.contains("want an address of this machine, or 0.0.0.0"), "{ip}: {why}");
    }
    assert!(error("--bind", "1.2.3").unwrap_err().contains("want an address"));
    for (option, ip) in [
        ("--bind", "0.0.0.0,::"),
        ("--bind", "127.0.0.1"),
        ("--public-ip", "203.0.113.7"),
        ("--public-ip", "2001:db8::7"),
        ("--public-ip", "192.168.0.7"),
        ("--alt-addr", "127.0.0.2"),
    ] {
        assert_eq!(error(option, ip), Ok(()), "{option} {ip}");
    }
}

#[test]
fn the_start_up_line_tells_whom_it_serves() {
    let told = |args: &[&str]| {
        let options = Options::try_parse_from([&["punchd"], args].concat()).unwrap();
        options.serves(None)
    };
    const ALL: &str = "; speaks gmnet, stun, rooms, events, natpunch";
    assert_eq!(told(&[]), ALL);
    assert_eq!(told(&["--key", "a", "--key", "a"]), format!("; 1 key{ALL}"));
    assert_eq!(told(&["--key", "a,b,a"]), format!("; 2 keys{ALL}"));
    assert_eq!(told(&["--games", "A,B,A"]), format!("; only for the games \"A\", \"B\"{ALL}"));
    assert_eq!(told(&["--games", "A,B,C,D,E,F"]), format!("; only for 6 games{ALL}"));
    assert_eq!(told(&["--disable-lobby"]), format!("{ALL}; no lobby"));
    assert_eq!(told(&["--testing", "--disable-lobby"]), format!("{ALL}; testing"));
    assert_eq!(told(&["--public-ip", "203.0.113.7"]), format!("; told as 203.0.113.7{ALL}"));
    assert_eq!(told(&["--dialects", "rooms,stun"]), "; only stun, rooms");
    assert_eq!(told(&["--relay"]), format!("{ALL}; with a relay"));
    let list = std::env::temp_dir().join(format!("punchd-told-{}", std::process::id()));
    let tls = ["--tls-cert", "c", "--tls-key", "k", "--tls-required", "--block"];
    let tls = [&tls[..], &[list.to_str().unwrap()]].concat();
    std::fs::write(&list, "203.0.113.7\n").unwrap();
    assert_eq!(told(&tls), format!("{ALL}; TLS required; some are blocked"));
    std::fs::write(&list, "# nobody yet\n").unwrap();
    assert_eq!(told(&tls), format!("{ALL}; TLS required"));
    std::fs::remove_file(&list).unwrap();
}

#[test]
fn options_that_do_nothing_are_named() {
    let idle = |args: &[&str]| {
        let options = Options::try_parse_from([&["punchd"], args].concat()).unwrap();
        options.without_effect().join("\n")
    };
    assert_eq!(idle(&[]), "");
    assert_eq!(idle(&["--dialects", "natpunch", "--key", "a", "--relay"]), "");
    assert_eq!(idle(&["--testing", "--name", "A", "--lobby-ports", "--max-hosts", "3"]), "");
    assert!(idle(&["--testing", "--disable-lobby"]).starts_with("--disable-lobby has no effect"));
    let lobbies = idle(&["--disable-lobby", "--public-lobby"]);
    assert!(lobbies.starts_with("--public-lobby has no effect with --disable-lobby"), "{lobbies}");
    assert!(idle(&["--node", "a"]).starts_with("--node has no effect without --cluster"));
    let of_cluster = idle(&["--cluster-name", "a"]);
    assert!(of_cluster.starts_with("--cluster-name has no effect without"), "{of_cluster}");
    assert!(idle(&["--cluster-creds", "f"]).starts_with("--cluster-creds has no effect without"));
    assert!(idle(&["--name", "A"]).starts_with("--name has no effect without --testing"));
    let tls = ["--dialects", "rooms", "--tls-cert", "c", "--tls-key", "k", "--tls-required"];
    assert_eq!(
        idle(&tls),
        "--tls-cert has no effect, as --dialects leaves out events\n\
         --tls-required has no effect, as --dialects leaves out events"
    );
    let of_gmnet =
        ["--dialects", "rooms", "--keepalive", "7", "--notify-gap", "7", "--start-wait", "7"];
    assert_eq!(idle(&of_gmnet).matches("leaves out gmnet").count(), 3);
    assert_eq!(
        idle(&["--dialects", "gmnet", "--alt-port", "7", "--room-timeout", "7"]).lines().count(),
        2
    );
    let only_stun = ["--dialects", "stun", "--key", "a", "--relay", "--max-commands", "7"];
    let only_stun = idle(&only_stun);
    assert_eq!(only_stun.lines().count(), 3, "{only_stun}");
    assert!(only_stun.ends_with("leaves out gmnet, rooms, events, natpunch"), "{only_stun}");
}

#[test]
fn a_mistake_in_the_environment_names_its_variable() {
    let error = |value: &str| {
        let line = ["punchd", "--dialects", value, "--port", "0"];
        let error = Options::command().try_get_matches_from(line).unwrap_err();
        let of = |name: &OsStr| (name == "PUNCHD_DIALECTS").then(|| value.to_owned());
        name_variable(&Options::command(), error, of).to_string()
    };
    for value in ["foo", "rooms,foo"] {
        assert!(error(value).contains("invalid value 'foo' for 'PUNCHD_DIALECTS'"), "{value}");
    }
}

#[test]
fn old_options_have_one_dash_or_two() {
    let parsed = |line: &[&str]| {
        let line =
            [&["punchd"], line].concat().into_iter().map(|word| with_two_dashes(word.into()));
        Options::try_parse_from(line)
    };
    let line =
        ["-port", "6511", "-testing", "-name", "X", "-log=a.log", "-disable-lobby", "-quiet"];
    let options = parsed(&line).unwrap();
    assert_eq!((options.port, options.testing, options.quiet), (Some(6511), true, true));
    assert_eq!((options.name.as_str(), options.log), ("X", Some("a.log".into())));
    assert!(options.disable_lobby);
    // What one dash has meant before still does.
    let options = parsed(&["-qp7000", "-l", "b.log"]).unwrap();
    assert_eq!(
        (options.port, options.quiet, options.log),
        (Some(7000), true, Some("b.log".into()))
    );
    assert!(parsed(&["-prot", "6511"]).is_err());
}

/// What a parser of the library says is no help: "invalid digit found in string".
#[test]
fn a_wrong_value_is_told_what_to_be() {
    for option in Options::command().get_arguments() {
        let Some(name) = option.get_long().filter(|_| option.get_action().takes_values()) else {
            continue;
        };
        for wrong in ["no such thing", "-7", "99999999999999999999999"] {
            let line = ["punchd".to_owned(), format!("--{name}={wrong}")];
            let Err(error) = Options::command().try_get_matches_from(line) else { continue };
            if error.kind() == ErrorKind::MissingRequiredArgument {
                continue;
            }
            let said = error.to_string();
            let helps =
                ["want ", "possible values", "as in "].iter().any(|word| said.contains(word));
            assert!(helps, "--{name}={wrong}: {said}");
        }
    }
}

#[test]
fn short_help_fits_the_smallest_terminal() {
    let help = short_help().render_help().to_string();
    assert!(help.lines().count() <= 24, "{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    for name in IMPORTANT {
        let option = format!("--{}", name.replace('_', "-"));
        assert!(help.contains(&option), "{option}: {help}");
    }
    assert!(help.contains("--help shows more options"), "{help}");
}

#[test]
fn help_fits_a_screen() {
    let help = Options::command().render_help().to_string();
    assert!(help.lines().count() <= 60, "{help}");
    assert!(help.contains(&format!("[default: {PORT}]")), "{help}");
}

#[test]
fn every_option_is_an_environment_variable_as_well() {
    let command = Options::command();
    let tells = |id: &str| ["help", "version"].contains(&id);
    for option in command.get_arguments().filter(|option| !tells(option.get_id().as_str())) {
        let name = format!("PUNCHD_{}", option.get_id().as_str().to_uppercase());
        assert_eq!(option.get_env(), Some(name.as_ref()), "{option}");
    }
}

#[test]
fn the_old_command_line_works() {
    let line = ["punchd", "-p", "7000", "--name", "Mine", "--testing", "-q", "-l", "a.log"];
    let options = Options::try_parse_from(line).unwrap();
    assert_eq!((options.port, options.testing), (Some(7000), true));
    assert_eq!(options.name, "Mine");
    assert_eq!(options.log, Some("a.log".into()));
    assert_eq!(options.verbosity(), Verbosity::Quiet);
    assert!(!options.disable_lobby);
    let twice = ["punchd", "-q", "-q", "--port", "1", "--port", "7000"];
    assert_eq!(Options::try_parse_from(twice).unwrap().port, Some(7000), "the last counts");
}

/// These would take the place of what admits players now.
#[test]
fn what_no_game_can_show_is_wrong_and_what_some_can_is_not() {
    let read = |option: &str, text: &str| {
        let mut options = Options::try_parse_from(["punchd", option, text]).unwrap();
        options.read_files().map_err(|wrong| wrong[0].to_string())
    };
    for (option, longest) in [("--key", limits::LONGEST_KEY), ("--games", limits::LINE)] {
        let long = "x".repeat(longest);
        for good in ["a b", "\u{1f600}", "a\u{200b}", &long] {
            assert_eq!(read(option, &format!("ok,{good}")), Ok(()), "{option}");
        }
        for (bad, want) in [
            ("sesame\tb".to_owned(), "the control character U+0009"),
            ("s\0e\0s\0a\0m\0e".to_owned(), "the control character U+0000"),
            ("sesame\u{1b}[2J".to_owned(), "the control character U+001B"),
            ("sesame\u{85}b".to_owned(), "the control character U+0085"),
            ("\u{feff}\u{200b}".to_owned(), "no character of this "),
            (format!("{long}x"), "write a shorter one"),
        ] {
            let why = read(option, &format!("ok,{bad}")).unwrap_err();
            assert!(why.starts_with(&format!("{option} (PUNCHD_")), "{why}");
            assert!(why.contains(", number 2 of 2: ") && why.contains(want), "{why}");
            assert!(!why.contains("sesame") && !why.contains("xx"), "it may be secret: {why}");
        }
    }
}

#[test]
fn lists_have_no_empty_entries_and_blanks_around_commas_do_not_count() {
    let lists = |line: &[&str]| {
        let options = Options::try_parse_from([&["punchd"], line].concat());
        options.map(|options| (options.keys, options.games)).map_err(|error| error.to_string())
    };
    let (keys, games) = lists(&["--key", " a , b", "--key", "c", "--games", "A B , C"]).unwrap();
    assert_eq!(
        (keys, games),
        (vec!["a".into(), "b".into(), "c".into()], vec!["A B".into(), "C".into()])
    );
    for option in ["--key", "--games"] {
        for wrong in ["", ",", "a,", ",a", "a,,b", "a, ,b", "  "] {
            let why = lists(&[option, wrong]).unwrap_err();
            assert!(why.contains(" is empty: "), "{option} {wrong:?}: {why}");
        }
    }
}
