//! Variables of the environment that look like options and are none: most likely somebody has mistyped one.

use std::ffi::OsString;

use clap::{Arg, CommandFactory as _};

use super::Options;

/// What all of them begin with.
const BEGIN: &str = "PUNCHD_";

/// What builds and tests of this program have, which are no options either.
const OTHERS: [&str; 3] = ["PUNCHD_BIN", "PUNCHD_BUILD", "PUNCHD_COMMIT"];

/// Changes that make a name of one that was meant, at most: more would be a guess.
const CHANGES: usize = 2;

/// The variables of this process that begin like those of the options and are none, a sentence for each.
#[must_use]
pub fn unknown() -> Vec<String> {
    unknown_of(std::env::vars_os().map(|(name, _)| name))
}

fn unknown_of(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let command = Options::command();
    let known: Vec<_> = command.get_arguments().filter_map(Arg::get_env).collect();
    let told = |name: OsString| {
        let is_odd = !known.contains(&name.as_os_str());
        let name = name.to_string_lossy().into_owned();
        let is_ours =
            name.get(..BEGIN.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(BEGIN));
        if !is_odd || !is_ours || OTHERS.contains(&&*name) {
            return None;
        }
        let upper = name.to_uppercase();
        let near = known.iter().map(|known| known.to_string_lossy());
        let near = near.map(|known| (distance(&upper, &known), known)).min();
        Some(match near.filter(|(changes, _)| *changes <= CHANGES) {
            Some((_, meant)) => format!("{name} is no option and has no effect: is {meant} meant?"),
            None => format!("{name} is no option and has no effect: see punchd --help and README"),
        })
    };
    let mut all: Vec<String> = names.filter_map(told).collect();
    all.sort_unstable();
    all
}

/// How many letters have to be put in, left out or changed to make one name of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (n, a) in (1..).zip(one.bytes()) {
        let (mut before, mut left) = (n - 1, n);
        let mut next = vec![left];
        for (b, above) in other.bytes().zip(row.iter().skip(1)) {
            left = (before + usize::from(a != b)).min(left + 1).min(above + 1);
            before = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_no_option_is_named_with_what_is_meant() {
        let told = |name: &str| unknown_of([name.into()].into_iter()).join("");
        assert_eq!(told("PUNCHD_PORT"), "");
        assert_eq!(told("PUNCHD_RELAY_MONTH"), "");
        assert_eq!(told("PUNCH_MASTER"), "");
        for other in OTHERS {
            assert_eq!(told(other), "");
        }
        assert_eq!(told("PATH"), "");
        let meant = |name: &str, option: &str| {
            assert_eq!(
                told(name),
                format!("{name} is no option and has no effect: is {option} meant?")
            );
        };
        meant("PUNCHD_PROT", "PUNCHD_PORT");
        meant("PUNCHD_KEYS", "PUNCHD_KEY");
        meant("PUNCHD_PUBLICIP", "PUNCHD_PUBLIC_IP");
        meant("punchd_port", "PUNCHD_PORT");
        assert!(told("PUNCHD_COLOUR").ends_with("see punchd --help and README"));
    }

    #[test]
    fn letters_that_differ_are_counted() {
        for (one, other, changes) in [
            ("", "", 0),
            ("", "ab", 2),
            ("ab", "", 2),
            ("abc", "abc", 0),
            ("abc", "axc", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), changes, "{one} {other}");
        }
    }
}
