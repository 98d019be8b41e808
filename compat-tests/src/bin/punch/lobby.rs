//! `punch lobby`: the list of hosts.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use compat_tests::gmnet::{Direction, Entry, Error, Lobby, Query};
use compat_tests::shown;

use crate::causes;
use crate::common::{count, local_ip, say};
use crate::endings::Ending;
use crate::masters::Named;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// List the hosts that are registered
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    master: Named,
    /// Local address to use
    #[arg(long, value_name = "IP", value_parser = local_ip)]
    bind: Option<IpAddr>,
    /// Only hosts with exactly this data string; repeatable, all must match
    #[arg(long, value_name = "dataN=TEXT", value_parser = filter)]
    filter: Vec<(usize, String)>,
    /// Sort by date, or data1 to data8
    #[arg(long, value_name = "FIELD", default_value = "date", value_parser = field)]
    sort: String,
    /// ASC on the wire, which means newest first, or Z to A
    #[arg(long, conflicts_with = "desc")]
    asc: bool,
    /// DESC on the wire, which means oldest first, or A to Z [default, as in games]
    #[arg(long)]
    desc: bool,
    /// At most so many hosts
    #[arg(long, value_name = "N", value_parser = count::<u32>)]
    limit: Option<u32>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Result<(), String> {
    let direction = if args.asc { Direction::Asc } else { Direction::Desc };
    let mut query = Query { sort: args.sort, direction, limit: args.limit, ..Query::default() };
    for (n, wanted) in args.filter {
        if let Some(filter) = query.filters.get_mut(n) {
            *filter = wanted;
        }
    }
    let bind = args.bind;
    let mut masters = args.master.masters(bind)?;
    let fetched = masters.ask(
        |masters| {
            let within = masters.patience(ANSWER_WITHIN);
            Lobby::fetch(masters.current(), bind, &query, within)
        },
        |error, master| Ending::is_dead(error, master, bind),
    );
    let lobby = fetched.map_err(|error| explain(&error, masters.current(), bind))?;
    if args.json {
        say(shown::json(&lobby.json()));
    } else {
        print_table(&lobby.entries);
    }
    Ok(())
}

fn explain(error: &Error, master: SocketAddr, bind: Option<IpAddr>) -> String {
    let advice = match error {
        Error::NoAnswer { .. } => "The lobby may be switched off there (--disable-lobby).",
        _ => Ending::behind(error, master, bind)
            .or_else(|| causes::of_gmnet(error))
            .unwrap_or("`punch probe` checks what the server can do."),
    };
    format!("{error}\n{advice}")
}

fn print_table(entries: &[Entry]) {
    if entries.is_empty() {
        say("no hosts");
        return;
    }
    // Columns that no host uses would only take room.
    let used: Vec<usize> =
        (0..8).filter(|n| entries.iter().any(|entry| !entry.data[*n].is_empty())).collect();
    let mut rows = vec![header(&used)];
    rows.extend(entries.iter().map(|entry| row(entry, &used)));
    let columns = used.len() + 2;
    let widths: Vec<usize> = (0..columns)
        .map(|n| rows.iter().filter_map(|row| row.get(n)).map(|c| c.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        say(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

fn header(used: &[usize]) -> Vec<String> {
    let mut cells = vec!["ip".to_owned(), "age".to_owned()];
    cells.extend(used.iter().map(|n| format!("data{}", n + 1)));
    cells
}

fn row(entry: &Entry, used: &[usize]) -> Vec<String> {
    // One that is very long would make all rows as long.
    let mut cells = vec![shown::sentence(&entry.ip), age(entry.created)];
    cells.extend(used.iter().map(|n| shown::sentence(&entry.data[*n])));
    cells
}

/// How long ago, in two units at most; clocks may differ, so never below zero.
fn age(created: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = now.saturating_sub(created);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}

/// `data1` to `data8`, as a number from 0.
fn number(field: &str) -> Option<usize> {
    let n: usize = field.strip_prefix("data")?.parse().ok()?;
    (1..=8).contains(&n).then(|| n - 1)
}

fn filter(text: &str) -> Result<(usize, String), String> {
    let (field, wanted) = text.split_once('=').ok_or("want data1=TEXT")?;
    let n = number(field).ok_or("there are data1 to data8")?;
    Ok((n, wanted.to_owned()))
}

fn field(text: &str) -> Result<String, String> {
    if text != "date" && number(text).is_none() {
        return Err("want date, or data1 to data8".to_owned());
    }
    Ok(text.to_owned())
}
