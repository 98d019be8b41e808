//! The options of a node of a cluster.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::cluster::{Config, check_name};

/// The name of a cluster that is given none.
pub(super) const NAME: &str = "punchd";

/// The options of a node of a cluster.
#[derive(Args, Debug, PartialEq, Eq)]
pub struct ClusterOptions {
    /// Join a cluster of nodes through NATS at URL; needs --node NAME
    #[arg(
        long,
        env = "PUNCHD_CLUSTER",
        hide_env = true,
        value_name = "URL",
        value_delimiter = ','
    )]
    #[arg(help_heading = "Network", value_parser = parse_url, requires = "node")]
    pub cluster: Vec<String>,

    /// The name of this node, which no other has
    #[arg(long, env = "PUNCHD_NODE", hide = true, value_name = "NAME")]
    #[arg(help_heading = "Network", value_parser = parse_name)]
    pub node: Option<String>,

    /// The name of the cluster, if there are several
    #[arg(long, env = "PUNCHD_CLUSTER_NAME", hide = true, value_name = "NAME")]
    #[arg(help_heading = "Network", value_parser = parse_name, default_value = NAME)]
    pub cluster_name: String,

    /// Credentials for NATS
    #[arg(long, env = "PUNCHD_CLUSTER_CREDS", hide = true, value_name = "FILE")]
    #[arg(help_heading = "Network")]
    pub cluster_creds: Option<PathBuf>,
}

impl ClusterOptions {
    /// This node, if it is one of a cluster.
    #[must_use]
    pub fn config(&self) -> Option<Config> {
        let name = self.node.clone().filter(|_| !self.cluster.is_empty())?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let incarnation = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        Some(Config { name, incarnation })
    }

    /// Why there can be no cluster though one is wanted.
    #[must_use]
    pub fn lacks(&self) -> Option<String> {
        if self.cluster.is_empty() {
            return None;
        }
        if !cfg!(feature = "cluster") {
            let what = "--cluster (PUNCHD_CLUSTER) is not in this punchd";
            return Some(format!("{what}: build it with --features cluster"));
        }
        let path = self.cluster_creds.as_deref()?;
        let error = check_credentials(path).err()?;
        Some(format!("cannot use --cluster-creds {}: {error}", path.display()))
    }
}

#[cfg(feature = "cluster")]
fn check_credentials(path: &Path) -> io::Result<()> {
    crate::net::cluster::credentials(path).map(drop)
}

#[cfg(feature = "cluster")]
fn check_server(url: &str) -> io::Result<()> {
    crate::net::cluster::check_url(url)
}

/// It is refused as a whole.
#[cfg(not(feature = "cluster"))]
fn check_server(_url: &str) -> io::Result<()> {
    Ok(())
}

/// Without the feature they are not used.
#[cfg(not(feature = "cluster"))]
fn check_credentials(_path: &Path) -> io::Result<()> {
    Ok(())
}

fn parse_name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

/// With nothing but a host and a port it is one of NATS.
fn parse_url(text: &str) -> Result<String, String> {
    const SCHEMES: [&str; 2] = ["nats", "tls"];
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").unwrap_or(("nats", text));
    if !SCHEMES.contains(&scheme) || rest.is_empty() || rest.contains(char::is_whitespace) {
        return Err("want nats://HOST:PORT, or tls://HOST:PORT for TLS".into());
    }
    let url = format!("{scheme}://{rest}");
    match check_server(&url) {
        Ok(()) => Ok(url),
        Err(why) => Err(format!(
            "{why}; want nats://HOST:PORT with IPv6 as [2001:db8::1], a comma between two, and in a password %40 for \
             @, %3A for :, %2F for /, %23 for #"
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::Options;
    use clap::Parser as _;

    #[test]
    fn a_node_has_a_name_and_servers() {
        let read = |line: &[&str]| {
            let line = ["punchd"].iter().chain(line);
            Options::try_parse_from(line).map(|options| options.cluster)
        };
        let options =
            read(&["--cluster", "nats://a:4222, b:4222,tls://c", "--node", "one"]).unwrap();
        assert_eq!(options.cluster, ["nats://a:4222", "nats://b:4222", "tls://c"]);
        assert_eq!(options.cluster_name, "punchd");
        assert_eq!(options.config().map(|config| config.name), Some("one".into()));
        assert!(read(&["--cluster", "a:4222"]).is_err(), "it has no name");
        assert!(read(&["--cluster", "http://a", "--node", "one"]).is_err());
        assert!(read(&["--cluster", "a", "--node", "a.b"]).is_err(), "NATS subjects have dots");
        assert_eq!(read(&["--node", "one"]).unwrap().config(), None, "alone");
    }

    /// `--check` says it as well, not the start alone.
    #[cfg(feature = "cluster")]
    #[test]
    fn what_is_no_address_of_a_server_is_a_wrong_option() {
        let read = |url: &str| {
            let line = ["punchd", "--node", "one", "--cluster", url];
            Options::try_parse_from(line).map_err(|error| error.to_string())
        };
        for url in ["::1", "nats://[::1", "a:99999", "a:0", "a:4222;b:4222", "nats://u:p/s@a:4222"]
        {
            let error = read(url).unwrap_err();
            assert!(error.contains("want nats://HOST:PORT"), "{url}: {error}");
        }
        for url in ["[::1]:4222", "nats://u:p%2Fs@a:4222", "tls://a.example"] {
            assert!(read(url).is_ok(), "{url}");
        }
    }
}
