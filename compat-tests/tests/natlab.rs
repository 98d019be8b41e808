//! Hole punching over real NATs, where the machine has a laboratory for it: `natlab` builds a
//! small internet of network namespaces. Where it is missing, or namespaces are not allowed,
//! these tests are skipped and say why.

use std::process::Output;

use compat_tests::natlab::{self, run};
use compat_tests::{master, skipped};

const HOST: &str = "host --master $NATLAB_SERVER1:6510 --data1 natlab";
const JOIN: &str = "join --master $NATLAB_SERVER1:6510 $NATLAB_HOST_PUBLIC";

/// Runs natlab, which must succeed.
fn succeeds(arguments: &[&str]) {
    let _ = natlab::succeeds(arguments);
}

fn server(options: &str) -> String {
    format!("{} --port 6510 {options}", master::binary().display())
}

fn punch(arguments: &str) -> String {
    format!("{} {arguments}", env!("CARGO_BIN_EXE_punch"))
}

/// Joins over these pairs of NATs; each must succeed, which takes data both ways.
fn meet(pairs: &[&str]) {
    let pairs = pairs.join(" ");
    succeeds(&[
        "matrix",
        "--pairs",
        &pairs,
        "--require",
        &pairs,
        "--options",
        "delay=20",
        "--jobs",
        "2",
        "--server-cmd",
        &server(""),
        "--server-ready",
        "udp/6510",
        "--host-cmd",
        &punch(HOST),
        "--host-ready",
        "output ^registered",
        "--client-cmd",
        &punch(JOIN),
    ]);
}

#[test]
fn players_behind_the_usual_nats_meet() {
    meet(&["open/open", "full-cone/symmetric", "port-restricted/port-restricted"]);
}

#[test]
fn ports_that_count_are_foreseen() {
    meet(&[
        "symmetric-seq/port-restricted",
        "port-restricted/symmetric-seq",
        "symmetric-seq/symmetric-seq",
    ]);
}

/// The packet that shows a player's port comes a round trip before his connection, so it may be that of the one who came
/// before him. On loopback there is no round trip.
#[test]
fn players_behind_one_router_far_away_each_get_through() {
    const PLAYERS: usize = 15;
    let players: Vec<String> = std::iter::once("client".to_owned())
        .chain((2..=PLAYERS).map(|n| format!("client.{n}")))
        .map(|name| format!("{name}: {}", punch(&format!("{JOIN} --timeout 2"))))
        .collect();
    for delay in [25, 75, 150] {
        let site = format!("client=port-restricted:hosts={PLAYERS},delay={delay}");
        let (server, host) = (server(""), punch(HOST));
        let (server, host) = (format!("server: {server}"), format!("host: {host}"));
        let mut arguments = vec!["run", "--time-limit", "60", "--site", "host=port-restricted"];
        arguments.extend(["--site", &site, "--service", &server, "--ready", "server: udp/6510"]);
        arguments.extend(["--service", &host, "--ready", "host: output ^registered"]);
        for player in &players {
            arguments.extend(["--exec", player, "--pause", "0.2"]);
        }
        succeeds(&arguments);
    }
}

/// Nobody can foresee the port of such a host. It knocks first, and the client answers.
#[test]
fn who_is_easy_to_reach_answers_a_symmetric_host() {
    meet(&["symmetric/open", "symmetric/full-cone", "symmetric/restricted-cone"]);
}

/// Two commands, one behind a NAT that counts and one behind a strict one, either way round.
fn meet_across(host: &str, ready: &str, client: &str) {
    meet_behind(["symmetric-seq", "port-restricted"], "", [host, ready, client]);
    meet_behind(["port-restricted", "symmetric-seq"], "", [host, ready, client]);
}

/// The same behind these NATs, with a server that has these options.
fn meet_behind([one, other]: [&str; 2], options: &str, [host, ready, client]: [&str; 3]) {
    succeeds(&[
        "run",
        "--time-limit",
        "50",
        "--site",
        &format!("host={one}:delay=20"),
        "--site",
        &format!("client={other}:delay=20"),
        "--service",
        &format!("server: {}", server(options)),
        "--ready",
        "server: udp/6510",
        "--service",
        &format!("host: {}", punch(host)),
        "--ready",
        &format!("host: output {ready}"),
        "--exec",
        &format!("client: {}", punch(client)),
    ]);
}

#[test]
fn ports_that_count_are_foreseen_in_rooms() {
    meet_across(
        "rooms host Game --master $NATLAB_SERVER1:6510 --say welcome",
        "^room",
        "rooms join Game --master $NATLAB_SERVER1:6510 --expect welcome --for 12",
    );
}

#[test]
fn ports_that_count_are_foreseen_in_natpunch() {
    meet_across(
        "natpunch -a $NATLAB_SERVER1 -p 6510 create Game 4",
        "^created",
        "natpunch -a $NATLAB_SERVER1 -p 6510 join Game",
    );
}

#[test]
fn ports_that_count_are_foreseen_in_events() {
    meet_across(
        "events --id host --master $NATLAB_SERVER1:6510 --do 'create Game' --do 'wait 40'",
        "^made",
        "events --id client --master $NATLAB_SERVER1:6510 --do 'join Game' --do 'wait 3' \
         | grep 'connected to host'",
    );
}

#[test]
fn players_behind_home_routers_of_linux_meet() {
    // Needs more of the machine than the others: a kernel with nftables.
    meet(&["linux:firewall=drop/linux:firewall=drop"]);
}

/// With these seeds the packet is lost that shows the client's port to the server.
#[test]
fn what_is_lost_on_the_way_to_the_server_is_sent_again() {
    for seed in ["a", "g", "l"] {
        succeeds(&[
            "run",
            "--seed",
            seed,
            "--time-limit",
            "30",
            "--site",
            "host=port-restricted:delay=20",
            "--site",
            "client=port-restricted:delay=20,loss=20",
            "--service",
            &format!("server: {}", server("")),
            "--ready",
            "server: udp/6510",
            "--service",
            &format!("host: {}", punch(HOST)),
            "--ready",
            "host: output ^registered",
            "--exec",
            &format!("client: {} --timeout 10", punch(JOIN)),
        ]);
    }
}

/// A host is joined that has been idle for so many seconds, much longer than its NAT, which is
/// refreshed by packets from there, remembers anything.
fn join_an_idle_host(server_options: &str, refresh: &str, pause: &str) -> Option<Output> {
    let join = format!("{} --timeout 6", punch(JOIN));
    join_idle(server_options, [refresh, pause], [&punch(HOST), &join])
}

/// The same with these commands of players.
fn join_idle(
    server_options: &str,
    [refresh, pause]: [&str; 2],
    [host, join]: [&str; 2],
) -> Option<Output> {
    run(&[
        "run",
        "--time-limit",
        "70",
        "--site",
        &format!("host=port-restricted:delay=20,timeout=6,refresh={refresh}"),
        "--site",
        "client=port-restricted:delay=20",
        "--service",
        &format!("server: {}", server(server_options)),
        "--ready",
        "server: udp/6510",
        "--service",
        &format!("host: {host}"),
        "--ready",
        "host: output ^registered",
        "--pause",
        pause,
        "--exec",
        &format!("client: {join}"),
    ])
}

#[test]
fn an_idle_host_is_reached_with_keepalives() {
    // In routers with Linux, packets from outside keep a mapping as well as those from inside.
    let Some(output) = join_an_idle_host("--keepalive 2", "both", "16") else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn an_idle_host_is_lost_without_them() {
    let Some(output) = join_an_idle_host("--keepalive 0", "both", "16") else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    let told = text.lines().find_map(|line| line.split_once("the host is at "));
    let Some((_, told)) = told else { panic!("nothing was told:\n{text}") };
    // The client may still find it by chance: in the end it tries ports at random.
    assert!(!text.contains(&format!("welcomed by {told}")), "it was reached there:\n{text}");
}

#[test]
fn an_idle_host_whose_nat_forgets_is_asked_where_it_is() {
    // RFC 4787 asks for no more than that packets from inside keep a mapping.
    let Some(output) = join_an_idle_host("", "outbound", "30") else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Shipped games send nothing to the server by themselves.
#[test]
fn an_idle_host_of_a_shipped_game_is_asked_where_it_is() {
    let Some(shipped) = shipped() else { return };
    let join = format!("{} | tee /dev/stderr | grep '{}'", shipped.join, shipped.carried);
    let Some(output) = join_idle("", ["outbound", "30"], [&shipped.host, &join]) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Neither side, nor the owner, is told of blocked UDP: it is the router that both share.
#[test]
fn two_behind_one_router_are_told_that_it_is_in_the_way() {
    let join = format!("{} --timeout 12", punch(JOIN));
    let Some(output) = run(&[
        "run",
        "--time-limit",
        "50",
        "--site",
        "host=port-restricted",
        "--service",
        &format!("server: {}", server("")),
        "--ready",
        "server: udp/6510",
        "--service",
        &format!("host: {}", punch(HOST)),
        "--ready",
        "host: output ^registered",
        "--exec",
        &format!("host: {join} 2>&1 | grep 'behind the same router'"),
    ]) else {
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("(natlab): both are behind the same router, "), "{text}");
}

#[test]
fn a_host_whose_cable_was_pulled_leaves_the_lobby() {
    let lobby = punch("lobby --master $NATLAB_SERVER1:6510");
    succeeds(&[
        "run",
        "--time-limit",
        "40",
        "--site",
        "host=full-cone",
        "--site",
        "other=open",
        "--site",
        "viewer=open",
        "--service",
        &format!("server: {}", server("--ghost-limit 6 --keepalive 0")),
        "--ready",
        "server: udp/6510",
        "--service",
        &format!("host: {}", punch("host --master $NATLAB_SERVER1:6510 --data1 ghost")),
        "--ready",
        "host: output ^registered",
        "--service",
        &format!("other: {}", punch("host --master $NATLAB_SERVER1:6510 --data1 alive")),
        "--ready",
        "other: output ^registered",
        // No FIN, no RST, no ICMP: it is just not there any more.
        "--exec",
        "host: for i in $(ls /sys/class/net); do ip link set $i down; done",
        // Nothing is sent to it that could fail, before it has left the lobby.
        "--exec",
        &format!(
            "viewer: while {lobby} | grep -q ghost; do sleep 0.1; done; \
             {lobby} | grep alive && ! {} --timeout 3",
            punch(JOIN)
        ),
    ]);
}

/// Neither of these gets through by itself but by luck; counting ports are foreseen for `punch` alone.
const HARD: &[&str] = &[
    "symmetric/symmetric",
    "symmetric/port-restricted",
    "port-restricted/symmetric",
    "linux-random/linux:firewall=drop",
];
const COUNTING: &str = "symmetric-seq/symmetric-seq";

/// How many of the pairs carry data both ways, and how many do not; `host` and `join` are commands, and
/// the latter writes what `carried` looks for.
fn carried(pairs: &[&str], options: &str, players: &Players) -> Option<(usize, usize)> {
    let Players { host, join, carried } = players;
    // Of what is printed, not of what is run: that is in the report as well.
    let join = format!(
        "said=$({join}); echo \"$said\"; echo \"$said\" | grep -q '{carried}'; \
         test $? = 0 && word=yes || word=no; echo \"data=both=$word\"; exit 0"
    );
    let output = run(&[
        "matrix",
        "--pairs",
        &pairs.join(" "),
        "--options",
        "delay=20",
        "--jobs",
        "2",
        "--json",
        "-",
        "--server-cmd",
        &server(options),
        "--server-ready",
        "udp/6510",
        "--host-cmd",
        host,
        "--host-ready",
        "output ^registered",
        "--client-cmd",
        &join,
    ])?;
    let text = String::from_utf8_lossy(&output.stdout);
    let count = |word: &str| text.matches(&format!("data=both={word}")).count();
    let counts = (count("yes"), count("no"));
    assert_eq!(counts.0 + counts.1, pairs.len(), "not all were tried: {text}");
    eprintln!("{options:?} {pairs:?}: {counts:?}");
    Some(counts)
}

/// Commands of players, and what the client writes if data goes both ways.
struct Players {
    host: String,
    join: String,
    carried: &'static str,
}

/// Games as they were shipped, which a script next to natlab plays; none without it.
fn shipped() -> Option<Players> {
    let script = natlab::program()?.with_file_name("players").join("gmnet_punch.py");
    if !script.is_file() {
        skipped::note(&format!("there is no {}", script.display()));
        return None;
    }
    // The shortest time-out of a game that was seen; the relay comes before a quarter of it is over.
    let script = format!("python3 {} --timeout 5", script.display());
    Some(Players {
        host: format!("{script} host $NATLAB_SERVER1"),
        join: format!("{script} client $NATLAB_SERVER1 $NATLAB_HOST_PUBLIC"),
        carried: "data=yes",
    })
}

fn own() -> Players {
    let join = format!("{} --timeout 4", punch(JOIN));
    Players { host: punch(HOST), join, carried: "data goes both ways" }
}

const RELAY: &str = "--relay $NATLAB_SERVER2";

#[test]
fn shipped_games_behind_hard_nats_need_the_relay() {
    let Some(shipped) = shipped() else { return };
    let pairs = [HARD, &[COUNTING]].concat();
    let Some(relayed) = carried(&pairs, RELAY, &shipped) else { return };
    assert_eq!(relayed, (5, 0), "with a relay all play");
    fail_without_relay(&pairs, &shipped);
}

#[test]
fn players_of_punch_behind_hard_nats_need_the_relay() {
    let pairs = [HARD, &[COUNTING]].concat();
    let Some(relayed) = carried(&pairs, RELAY, &own()) else { return };
    assert_eq!(relayed, (5, 0), "with a relay all play");
    fail_without_relay(HARD, &own());
}

/// Without a relay at most one of the pairs gets through. Each does by luck now and then, when a port at
/// random is the one that is knocked at: so if several do they try again.
fn fail_without_relay(pairs: &[&str], players: &Players) {
    const TRIES: usize = 3;
    let through = (0..TRIES).map_while(|_| carried(pairs, "", players)).map(|(through, _)| through);
    let mut through = through.peekable();
    let is_there = through.peek().is_some();
    assert!(!is_there || through.any(|count| count <= 1), "they got through without a relay");
}

/// Pairs that no guess brings together: only what their players say, or the time that is up, shows it of
/// the first, of the second the server knows it before.
const RELAYED: [[&str; 2]; 2] = [["symmetric", "port-restricted"], ["symmetric", "symmetric"]];

fn meet_at_the_relay(host: &str, ready: &str, client: &str) {
    for pair in RELAYED {
        meet_behind(pair, RELAY, [host, ready, client]);
    }
}

#[test]
fn players_of_rooms_who_do_not_get_through_are_relayed() {
    meet_at_the_relay(
        "rooms host Game --master $NATLAB_SERVER1:6510 --say welcome",
        "^room",
        "rooms join Game --master $NATLAB_SERVER1:6510 --expect welcome --for 40",
    );
}

#[test]
fn players_of_events_who_do_not_get_through_are_relayed() {
    meet_at_the_relay(
        "events --id host --master $NATLAB_SERVER1:6510 --do 'create Game' --do 'wait 60'",
        "^made",
        "events --id client --master $NATLAB_SERVER1:6510 --do 'join Game' --do 'wait 3'",
    );
}

#[test]
fn players_of_natpunch_who_do_not_get_through_are_relayed() {
    meet_at_the_relay(
        "natpunch -a $NATLAB_SERVER1 -p 6510 create Game 4",
        "^created",
        "natpunch -a $NATLAB_SERVER1 -p 6510 join Game",
    );
}
