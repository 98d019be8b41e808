//! The options of the owner's window, and of the lobby for web sites.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;

use super::values::parse_flag;
use crate::http::Token;

/// The options of what is told by HTTP.
#[derive(Args, Debug, PartialEq, Eq)]
pub struct HttpOptions {
    /// Owner's window, or 'off'
    #[arg(long, env = "PUNCHD_HTTP", hide_env = true, value_name = "IP:PORT")]
    #[arg(help_heading = "Network", value_parser = parse_window, default_value_t = Place::default())]
    pub http: Place,

    /// Secret that opens the window; required off loopback
    #[arg(long, env = "PUNCHD_HTTP_TOKEN", hide_env = true, value_name = "SECRET")]
    #[arg(help_heading = "Network", hide_env_values = true)]
    pub http_token: Option<Secret>,

    /// Answer GET /lobby on the port of games, for web sites
    #[arg(long, env = "PUNCHD_PUBLIC_LOBBY", hide_env = true)]
    #[arg(help_heading = "Network", value_parser = parse_flag)]
    pub public_lobby: bool,
}

/// A secret as it was given. It is read later, as the error of an option quotes what is wrong with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Where the window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub Option<SocketAddr>);

impl Default for Place {
    /// Other machines cannot reach it.
    fn default() -> Self {
        /// Beside that of the games.
        const PORT: u16 = 6580;
        Self(Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT)))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => at.fmt(f),
            None => f.write_str("off"),
        }
    }
}

fn parse_window(text: &str) -> Result<Place, String> {
    if text == "off" {
        return Ok(Place(None));
    }
    let at = text.parse().map(|at| Place(Some(at)));
    at.map_err(|_| "want an address of this machine with a port, as 127.0.0.1:6580, or off".into())
}

impl HttpOptions {
    /// What has to be presented, if anything.
    ///
    /// # Errors
    /// If it is no [`Token`]; in a sentence that does not have it.
    pub fn token(&self) -> Result<Option<Token>, String> {
        let token = self.http_token.as_ref().map(|Secret(text)| text.parse());
        token.transpose().map_err(|why| format!("--http-token (PUNCHD_HTTP_TOKEN): {why}"))
    }

    /// Where the window is to be, if there is to be one.
    ///
    /// # Errors
    /// If everybody could look in, or the token is none; in a sentence.
    pub fn window(&self) -> Result<Option<SocketAddr>, String> {
        self.token()?;
        let Some(at) = self.http.0 else { return Ok(None) };
        if !at.ip().is_loopback() && self.http_token.is_none() {
            return Err(format!(
                "--http {at} (PUNCHD_HTTP) opens the owner's window to other machines: set a secret with \
                 --http-token, or leave it at 127.0.0.1 and connect with ssh -L"
            ));
        }
        Ok(Some(at))
    }
}

/// What is doubtful about a window at this address, if anything is.
#[must_use]
pub fn warning(at: SocketAddr) -> Option<String> {
    (!at.ip().is_loopback()).then(|| {
        format!(
            "browsers send the token to http://{at}/ unencrypted: put a web server with TLS in front, or use \
             ssh (--http)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::Options;
    use super::*;
    use clap::Parser as _;

    fn window(line: &[&str]) -> Result<Option<SocketAddr>, String> {
        let line = ["punchd"].iter().chain(line);
        let options = Options::try_parse_from(line).map_err(|error| error.to_string())?;
        options.http.window()
    }

    #[test]
    fn the_window_is_for_this_machine_unless_a_token_is_asked_for() {
        assert_eq!(window(&[]), Ok(Some(([127, 0, 0, 1], 6580).into())));
        assert_eq!(window(&["--http", "off"]), Ok(None));
        assert_eq!(window(&["--http", "[::1]:1"]), Ok(Some("[::1]:1".parse().unwrap())));
        let error = window(&["--http", "0.0.0.0:80"]).unwrap_err();
        assert!(error.contains("--http-token"), "{error}");
        let token = ["--http-token", "0123456789abcdef"];
        let with = window(&[&["--http", "0.0.0.0:80"][..], &token].concat());
        assert_eq!(with, Ok(Some(([0, 0, 0, 0], 80).into())));
        assert!(window(&["--http", "6580"]).unwrap_err().contains("127.0.0.1:6580"));
        for wrong in ["short", "My S3cret Window Token!"] {
            let error = window(&["--http-token", wrong]).unwrap_err();
            assert!(error.contains("openssl rand") && !error.contains(wrong), "{error}");
        }
    }
}
