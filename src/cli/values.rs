//! How values of options are read.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::dialect::Name;
use crate::limits;
use crate::lobby::names::clean;

/// A time that is given in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub Duration);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_millis().fmt(f)
    }
}

/// A dialect, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spoken(pub Option<Name>);

impl std::str::FromStr for Spoken {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "none" {
            return Ok(Self(None));
        }
        text.parse().map(|name| Self(Some(name)))
    }
}

impl std::fmt::Display for Spoken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.map_or("none", Name::text))
    }
}

/// A flag in the environment. Anything else than these words is more likely a mistake than a yes.
pub(super) fn parse_flag(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" | "" => Ok(false),
        _ => Err("want 1, true or yes, or else 0, false, no or nothing".into()),
    }
}

/// The address of one machine, or what stands for all that this one has. Lists are written with blanks
/// as well as without.
pub(super) fn read_ip(text: &str) -> Option<IpAddr> {
    let ip = text.trim().parse::<IpAddr>().ok()?.to_canonical();
    let is_for_many = ip.is_multicast() || ip == IpAddr::from(Ipv4Addr::BROADCAST);
    // Those of a link mean nothing without the name of the interface.
    let is_of_link = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    (!is_for_many && !is_of_link).then_some(ip)
}

pub(super) fn read_ip_of_one(text: &str) -> Option<IpAddr> {
    read_ip(text).filter(|ip| !ip.is_unspecified())
}

pub(super) fn parse_bind(text: &str) -> Result<IpAddr, String> {
    let why = "invalid IP address: want an address of this machine, or 0.0.0.0 or :: for all";
    read_ip(text).ok_or_else(|| why.into())
}

/// Players would knock there.
pub(super) fn parse_public_ip(text: &str) -> Result<IpAddr, String> {
    let why = "want the IP address by which players elsewhere reach this server, as 203.0.113.7";
    read_ip_of_one(text).ok_or_else(|| why.into())
}

pub(super) fn parse_own_ip(text: &str) -> Result<IpAddr, String> {
    read_ip_of_one(text).ok_or_else(|| "want an address of this machine, as 203.0.113.8".into())
}

pub(super) fn parse_port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "want a port from 1 to 65535, or 0 for one that is free".into())
}

/// An empty key would admit nobody, and seem to be none.
pub(super) fn parse_key(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a key is empty: name one, or leave --key and PUNCHD_KEY out".into()),
        key => Ok(key.to_owned()),
    }
}

pub(super) fn parse_game(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a name is empty: give one, or leave --games and PUNCHD_GAMES out".into()),
        name => Ok(name.to_owned()),
    }
}

/// A key that a game can show.
///
/// # Errors
/// What is wrong with it, in a sentence that does not have it.
pub(super) fn check_key(key: String) -> Result<String, String> {
    check_shown(key, "key", limits::LONGEST_KEY)
}

/// A name that a game can have. GMnet has room for the longest.
///
/// # Errors
/// What is wrong with it, in a sentence that does not have it.
pub(super) fn check_game(name: String) -> Result<String, String> {
    check_shown(name, "name", limits::LINE)
}

/// Some dialects could carry control and invisible characters. But a list with these is most likely a file of another
/// kind, such as UTF-16 or a table, and reading it would replace the keys and names that admit players now.
fn check_shown(text: String, what: &str, most: usize) -> Result<String, String> {
    if let Some(c) = text.chars().find(|c| c.is_control()) {
        return Err(format!(
            "there is the control character U+{:04X} in this {what}: take it out, and save a file as plain text in \
             UTF-8",
            u32::from(c)
        ));
    }
    if clean(&text).is_empty() {
        return Err(format!("no character of this {what} is visible: write one, or take it out"));
    }
    if text.len() > most {
        return Err(format!(
            "this {what} has {} bytes, and no game can show more than {most}: write a shorter one",
            text.len()
        ));
    }
    Ok(text)
}

/// A whole number in these bounds.
pub(super) fn parse_number<const LEAST: u64, const MOST: u64>(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (LEAST..=MOST).contains(number));
    number.ok_or_else(|| format!("want a number from {LEAST} to {MOST}"))
}

pub(super) fn parse_millis(text: &str) -> Result<Millis, String> {
    match text.parse::<u64>() {
        Ok(ms) if ms <= 10_000 => Ok(Millis(Duration::from_millis(ms))),
        _ => Err("want milliseconds, from 0 to 10000".into()),
    }
}

pub(super) fn parse_connections(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if (1..=1_000_000).contains(&n) => Ok(n),
        _ => Err("want a number from 1 to 1000000".into()),
    }
}

/// More than this no clock here tells apart, nor could any machine carry it out.
pub(super) fn parse_rate(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(n) if n <= 1_000_000 => Ok(n),
        _ => Err("want a number from 1 to 1000000, or 0 for no limit".into()),
    }
}

/// The name is a line of its own on the wire.
pub(super) fn parse_name(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("a name is one line, without control characters".into());
    }
    Ok(text.to_string())
}
