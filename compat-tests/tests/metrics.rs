//! `/metrics`: the numbers are those of the players that there are, whoever comes adds no series, and what
//! PROTOCOL.md and the dashboard for Grafana name is there. `promtool` of Prometheus has no complaint.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use compat_tests::company::get_through;
use compat_tests::events::EventClient;
use compat_tests::folder::Folder;
use compat_tests::gmnet::{Host, HostConfig};
use compat_tests::http::{get, get_with};
use compat_tests::master::{Master, loopback};
use compat_tests::rooms::Player;
use compat_tests::{natpunch, raw, skipped};
use serde_json::{Value, json};

const WAIT: Duration = Duration::from_secs(20);
const TOKEN: &str = "0123456789abcdef0123";

/// A server with a window, and where that is.
fn start(options: &[&str]) -> (Master, SocketAddr) {
    const LINE: &str = "the owner's window is at http://";
    let master = Master::start(&[&["--http", "127.0.0.1:0"], options].concat());
    master.wait_for_log(LINE);
    let log = master.log();
    let (_, rest) = log.split_once(LINE).expect("the line");
    let at = rest.split('/').next().and_then(|at| at.parse().ok());
    (master, at.expect("an address"))
}

/// The same with a certificate for TLS, so that there is every metric.
fn start_with_certificate() -> (Master, SocketAddr) {
    let folder = Folder::new();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.file(name));
    std::fs::write(&certificate, made.cert.pem()).expect("writing");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("writing");
    let mut options = vec!["--tls-cert", &certificate, "--tls-key", &key];
    // Of a node of a cluster, too, which is alone.
    if cfg!(feature = "cluster") {
        options.extend(["--cluster", "nats://127.0.0.1:1", "--node", "a"]);
    }
    start(&options)
}

/// What is told, by name and labels.
fn told(window: SocketAddr) -> BTreeMap<String, f64> {
    let response = get(window, "/metrics").expect("metrics");
    assert_eq!(response.status, 200);
    assert_eq!(response.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let samples = response.body.lines().filter(|line| !line.starts_with('#'));
    let read = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        (series.to_owned(), value.parse().expect("a number"))
    };
    samples.map(read).collect()
}

/// A STUN request that nobody else sends.
fn ask_stun(master: &Master) {
    let socket = raw::udp(loopback());
    socket.set_read_timeout(Some(WAIT)).expect("its options");
    let question = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    socket.send_to(&question, master.addr()).expect("sending");
    socket.recv(&mut [0; 256]).expect("an answer");
}

/// A host and a client meet in a room.
fn meet(master: &Master) -> [Player; 2] {
    let player =
        || Player::new(master.addr(), SocketAddr::new(loopback(), 0), WAIT).expect("a player");
    let mut both = [player(), player()];
    let room = both[0].host("Meeting").expect("a room").room;
    both[1].join(room).expect("a place");
    get_through(master, &mut both);
    both
}

#[test]
fn numbers_are_those_of_what_was_done_in_each_dialect() {
    let (master, window) = start(&[]);
    let before = told(window);
    assert!(before["process_start_time_seconds"] > 1.7e9);
    let config = HostConfig::new(master.addr()).on(loopback());
    let _hosts = ["Pong", "Chess"]
        .map(|game| Host::registered(config.clone().with_data(&[game]), WAIT).expect("a host"));
    let _players = meet(&master);
    let mut events = EventClient::connect(master.addr(), None).expect("connecting");
    events.login_with("ann", "", None).expect("logged in");
    events.make_room(json!({"name": "Arena"})).expect("a room");
    let mut wrong = EventClient::connect(master.addr(), None).expect("connecting");
    wrong.send_text("{]").expect("sending");
    let error = wrong.wait_for("error", WAIT).expect("an error");
    assert_eq!(error.data["code"], "bad_json");
    let _client = natpunch::Client::register(master.addr(), loopback()).expect("registered");
    // Players ask by themselves, too.
    let answered = r#"punchd_answer_seconds_count{dialect="stun"}"#;
    let without = told(window)[answered];
    for _ in 0..3 {
        ask_stun(&master);
    }
    let now = told(window);
    assert_eq!(now[answered] - without, 3.0);
    for (series, want) in [
        ("punchd_healthy", 1.0),
        ("punchd_connections", 3.0),
        (r#"punchd_dialect_up{dialect="gmnet"}"#, 1.0),
        (r#"punchd_hosts{dialect="gmnet"}"#, 2.0),
        (r#"punchd_hosts{dialect="rooms"}"#, 1.0),
        (r#"punchd_hosts{dialect="events"}"#, 1.0),
        (r#"punchd_hosts{dialect="natpunch"}"#, 0.0),
        (r#"punchd_clients{dialect="natpunch"}"#, 1.0),
        (r#"punchd_introductions_total{dialect="rooms",way="direct"}"#, 1.0),
        (r#"punchd_introductions_total{dialect="rooms",way="failed"}"#, 0.0),
        (r#"punchd_introductions_total{dialect="gmnet",way="direct"}"#, 0.0),
        (r#"punchd_refusals_total{dialect="events",reason="malformed"}"#, 1.0),
        (r#"punchd_refusals_total{dialect="unknown",reason="blocked"}"#, 0.0),
        (r#"punchd_limit_used{limit="connections"}"#, 3.0),
        ("punchd_relay_sessions", 0.0),
    ] {
        assert_eq!(now.get(series), Some(&want), "{series} of {now:#?}");
    }
    let sum = |prefix: &str| -> f64 {
        now.iter().filter(|(series, _)| series.starts_with(prefix)).map(|(_, value)| value).sum()
    };
    let ways: Vec<_> = now.keys().filter(|s| s.starts_with("punchd_nat_introductions")).collect();
    assert_eq!((ways.len(), sum("punchd_nat_introductions_total")), (45, 1.0));
    assert!(now[r#"punchd_answer_seconds_count{dialect="events"}"#] >= 2.0);
    let took = now[r#"punchd_answer_seconds_sum{dialect="stun"}"#];
    assert!(took > 0.0 && took < 10.0, "{took}");
    assert_eq!(now["process_start_time_seconds"], before["process_start_time_seconds"]);
    assert!(now["process_cpu_seconds_total"] >= before["process_cpu_seconds_total"]);
    assert!(now["process_resident_memory_bytes"] > 1e6);
    let series = |told: &BTreeMap<String, f64>| told.keys().cloned().collect::<Vec<_>>();
    assert_eq!(series(&now), series(&before));
}

/// Each is of another game, has another name and comes from another port or address.
#[test]
fn a_thousand_peers_add_no_series() {
    let (master, window) = start(&["--max-hosts", "100000", "--max-datagrams", "100000"]);
    let before: Vec<String> = told(window).into_keys().collect();
    let sockets: Vec<_> = (0..1000).map(|_| raw::udp(loopback())).collect();
    for (n, socket) in sockets.iter().enumerate() {
        let question = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[n as u8; 12]].concat();
        socket.send_to(format!("rh:Room {n}").as_bytes(), master.addr()).expect("sending");
        socket.send_to(&question, master.addr()).expect("sending");
    }
    let deadline = Instant::now() + WAIT;
    loop {
        let now = told(window);
        let answered = now[r#"punchd_answer_seconds_count{dialect="rooms"}"#];
        if answered >= 1000.0 {
            let after: Vec<String> = now.into_keys().collect();
            assert_eq!(after, before);
            return;
        }
        assert!(Instant::now() < deadline, "{answered} of 1000 answered");
    }
}

#[test]
fn they_are_the_owners() {
    let (_master, window) = start(&["--http-token", TOKEN]);
    let status =
        |headers: &[(&str, &str)]| get_with(window, "/metrics", headers).expect("asked").status;
    assert_eq!(status(&[("Host", "localhost")]), 401);
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(status(&[("Host", "localhost"), ("Authorization", &bearer)]), 200);
    let (_master, window) = start(&[]);
    let foreign = get_with(window, "/metrics", &[("Host", "evil.example")]).expect("asked");
    assert_eq!(foreign.status, 421);
}

#[test]
fn promtool_has_no_complaint() {
    let (master, window) = start(&[]);
    ask_stun(&master);
    let text = get(window, "/metrics").expect("metrics").body;
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut child = match command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return skipped::note(&format!("promtool of Prometheus: {error}")),
    };
    let mut input = child.stdin.take().expect("its input");
    input.write_all(text.as_bytes()).expect("writing");
    drop(input);
    let output = child.wait_with_output().expect("its output");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(output.status.success() && said.concat().is_empty(), "{said:?}");
}

/// A metric as it is described: its type and its labels.
type Described = BTreeMap<String, (String, BTreeSet<String>)>;

/// What stands in backquotes.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).expect(path)
}

fn chapter() -> String {
    let text = read("PROTOCOL.md");
    let (_, rest) = text.split_once("\n# Metrics\n").expect("the chapter");
    rest.split_once("\n# ").map_or(rest, |(chapter, _)| chapter).to_owned()
}

fn documented(chapter: &str) -> Described {
    let rows = chapter.lines().filter(|line| line.starts_with("| `p"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`').to_owned();
        (name, (cells[2].to_owned(), quoted(cells[3])))
    };
    rows.map(row).filter(|(name, _)| is_built_in(name)).collect()
}

/// Whether the server that is tested can tell it.
fn is_built_in(name: &str) -> bool {
    cfg!(feature = "cluster") || !name.starts_with("punchd_cluster")
}

/// The same as a server tells it.
fn described(text: &str) -> Described {
    let mut all = Described::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
            all.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((name, rest)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let family = family.filter(|family| all.contains_key(*family)).unwrap_or(name);
            let labels = &mut all.get_mut(family).expect("its type comes first").1;
            let keys = rest.split("=\"").filter_map(|part| part.rsplit(['{', ',']).next());
            labels.extend(
                keys.filter(|key| !key.contains(['"', '}']) && *key != "le").map(str::to_owned),
            );
        }
    }
    all
}

#[test]
fn the_table_in_protocol_md_is_complete() {
    let (_master, window) = start_with_certificate();
    let text = get(window, "/metrics").expect("metrics").body;
    let chapter = chapter();
    assert_eq!(documented(&chapter), described(&text));
    // The values of labels are the ones that are told.
    for (label, of) in [
        ("| `dialect` |", "dialect=\""),
        ("| `way` |", "way=\""),
        ("| `nat`, `other_nat` |", "nat=\""),
        ("| `reason` |", "reason=\""),
    ] {
        let row = chapter.lines().find(|line| line.starts_with(label)).expect("a row");
        let mut told: BTreeSet<String> = text
            .split(of)
            .skip(1)
            .filter_map(|rest| rest.split_once('"').map(|(value, _)| value.to_owned()))
            .collect();
        told.remove("unknown").then(|| told.insert("unknown".to_owned()));
        if of == "dialect=\"" {
            told.remove("unknown");
        }
        assert_eq!(quoted(&row[label.len()..]), told, "{label}");
    }
}

/// All that is asked of Prometheus anywhere in a dashboard.
fn asked(value: &Value, all: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let is_metric =
                |word: &&str| word.starts_with("punchd_") || word.starts_with("process_");
            all.extend(words.filter(is_metric).map(str::to_owned));
        }
        Value::Array(values) => values.iter().for_each(|value| asked(value, all)),
        Value::Object(map) => map.values().for_each(|value| asked(value, all)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_what_there_is_and_leaves_nothing_out() {
    let dashboard: Value =
        serde_json::from_str(&read("compat-tests/grafana/punchd.json")).expect("JSON");
    let mut asked_for = BTreeSet::new();
    asked(&dashboard, &mut asked_for);
    let (_master, window) = start_with_certificate();
    let names: BTreeSet<String> = told(window)
        .into_keys()
        .map(|series| series.split('{').next().unwrap_or_default().to_owned())
        .collect();
    asked_for.retain(|name| is_built_in(name));
    let missing: Vec<_> = asked_for.difference(&names).collect();
    assert!(missing.is_empty(), "nobody tells {missing:?}");
    for name in documented(&chapter()).into_keys() {
        let is_shown = asked_for.iter().any(|asked| asked.starts_with(&name));
        assert!(is_shown, "the dashboard has no {name}");
    }
    let mut ids: Vec<_> =
        dashboard["panels"].as_array().expect("panels").iter().map(|p| p["id"].as_u64()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), dashboard["panels"].as_array().expect("panels").len());
}

/// What Grafana needs of a dashboard that is imported; there is none here to ask.
#[test]
fn the_dashboard_has_what_grafana_requires() {
    const COLUMNS: u64 = 24;
    let dashboard: Value =
        serde_json::from_str(&read("compat-tests/grafana/punchd.json")).expect("JSON");
    // Version 36 is the first in which a data source has a type and a uid. Grafana gives the dashboard a number.
    assert!(
        dashboard["schemaVersion"].as_u64().is_some_and(|version| (36..=42).contains(&version))
    );
    assert!(
        dashboard["id"].is_null() && dashboard["uid"].as_str().is_some_and(|uid| uid.len() <= 40)
    );
    assert!(dashboard["title"].is_string() && dashboard["time"]["from"].is_string());
    let variables: BTreeSet<&str> = dashboard["templating"]["list"]
        .as_array()
        .expect("variables")
        .iter()
        .filter_map(|variable| variable["name"].as_str())
        .collect();
    assert!(variables.contains("datasource"), "{variables:?}");
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a title");
        let kind = panel["type"].as_str().expect("a type");
        assert!(["stat", "timeseries", "table", "gauge", "bargauge"].contains(&kind), "{kind}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|of| panel["gridPos"][of].as_u64().expect(of));
        assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{title}");
        let squares = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
        assert!(squares.into_iter().all(|square| taken.insert(square)), "{title} covers another");
        let mut ids = BTreeSet::new();
        for target in panel["targets"].as_array().expect("targets") {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            assert!(ids.insert(target["refId"].as_str().expect("its letter")), "{title}");
            for variable in target["expr"].as_str().expect("a query").split('$').skip(1) {
                let name = variable.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
                let name = name.unwrap_or_default();
                assert!(variables.contains(name) || name == "__rate_interval", "{title}: ${name}");
            }
        }
    }
}

/// Prometheus can read each query, once Grafana has put in what the variables stand for.
#[test]
fn the_queries_of_the_dashboard_can_be_read() {
    let dashboard: Value =
        serde_json::from_str(&read("compat-tests/grafana/punchd.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries = targets.filter_map(|target| target["expr"].as_str());
    let queries = queries.map(|query| {
        query.replace("$__rate_interval", "4m").replace("$job", "punchd").replace("$instance", ".*")
    });
    let rules =
        queries.enumerate().map(|(n, expr)| json!({"record": format!("punchd:{n}"), "expr": expr}));
    let rules: Vec<Value> = rules.collect();
    assert!(rules.len() > 20, "{rules:?}");
    // JSON is YAML.
    let folder = compat_tests::folder::Folder::new();
    let file = folder.file("rules.yml");
    let groups = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    std::fs::write(&file, groups.to_string()).expect("writing");
    match Command::new("promtool").args(["check", "rules", &file]).output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
        }
        Err(error) => skipped::note(&format!("promtool of Prometheus: {error}")),
    }
}
