//! A real browser without a screen, where there is one, and what is in the page that it has made.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::events::web::Web;
use crate::folder::Folder;
use crate::http;

/// How long the browser may take, in its time and in ours.
const BUDGET: &str = "--virtual-time-budget=5000";
const WITHIN: Duration = Duration::from_secs(120);

/// The browser, if this machine has one.
#[must_use]
pub fn browser() -> Option<&'static str> {
    let is_there = |name: &&str| {
        let mut command = Command::new(name);
        let version = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(is_there)
}

/// Runs the browser without a screen; what it prints, and what it complains of.
///
/// # Panics
/// If it does not start.
#[must_use]
#[expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]
pub fn run(browser: &str, folder: &Folder, options: &[&str], url: &str) -> (String, String) {
    let [profile, out, err] = ["profile", "out", "err"].map(|name| folder.file(name));
    let file = |path: &String| std::fs::File::create(path).expect("a file");
    let mut child = Command::new(browser)
        // Without a sandbox, as tests may be run by root, for whom it has none.
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"])
        .args([&format!("--user-data-dir={profile}"), BUDGET])
        .args(options)
        .arg(url)
        .stdout(file(&out))
        .stderr(file(&err))
        .spawn()
        .expect("starting the browser");
    let deadline = Instant::now() + WITHIN;
    while child.try_wait().expect("waiting").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let read =
        |path: &String| String::from_utf8_lossy(&std::fs::read(path).expect("a file")).into_owned();
    (read(&out), read(&err))
}

/// What is in the element with this ID, up to the end of the first of its kind.
///
/// # Panics
/// If the page has none.
#[must_use]
#[expect(clippy::panic, reason = "a helper that fails is a test that fails")]
pub fn inside<'a>(page: &'a str, id: &str, end: &str) -> &'a str {
    let (_, rest) =
        page.split_once(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no {id}: {page}"));
    rest.split_once(end).map_or(rest, |(inside, _)| inside)
}

/// The cells of each row of a table but for its head.
///
/// # Panics
/// If the page has no such table.
#[must_use]
pub fn rows(page: &str, id: &str) -> Vec<Vec<String>> {
    let table = inside(page, id, "</table>");
    let body = table.split_once("<tbody>").map_or("", |(_, body)| body);
    let cells = |row: &str| {
        let cells = row.split("<td").skip(1).filter_map(|cell| cell.split_once('>'));
        cells.map(|(_, text)| text.replace("</td>", "").replace("</tr>", "")).collect()
    };
    body.split("<tr>").skip(1).map(cells).collect()
}

/// The text of the first button in a cell.
///
/// # Panics
/// If there is none.
#[must_use]
#[expect(clippy::panic, reason = "a helper that fails is a test that fails")]
pub fn button(cell: &str) -> &str {
    let (_, rest) = cell.split_once("<button").unwrap_or_else(|| panic!("no button: {cell}"));
    let (_, text) = rest.split_once('>').unwrap_or_else(|| panic!("no button: {cell}"));
    text.split('<').next().unwrap_or_default()
}

/// A page that stays open, in which one can click and type.
#[derive(Debug)]
pub struct Page {
    child: Child,
    stream: TcpStream,
    web: Web,
    asked: u64,
}

impl Page {
    /// Opens a page.
    ///
    /// # Panics
    /// If the browser does not start, or says in two minutes not where it listens.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]
    pub fn open(browser: &str, folder: &Folder, url: &str) -> Self {
        let profile = folder.file("open profile");
        let child = Command::new(browser)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"])
            .args([&format!("--user-data-dir={profile}"), url])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starting the browser");
        let deadline = Instant::now() + WITHIN;
        let at = loop {
            if let Some(at) = Self::listens_at(&profile, url) {
                break at;
            }
            assert!(Instant::now() < deadline, "the browser does not open {url}");
            std::thread::sleep(Duration::from_millis(20));
        };
        let (port, path) = at;
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        let mut stream = TcpStream::connect(server).expect("connecting");
        stream.set_read_timeout(Some(WITHIN)).expect("a bound");
        let web = Web::open(&mut stream, server, &path).expect("a WebSocket");
        Self { child, stream, web, asked: 0 }
    }

    /// Where the page takes commands, as the browser writes it into its profile and tells it then.
    fn listens_at(profile: &str, url: &str) -> Option<(u16, String)> {
        let ports = std::fs::read_to_string(format!("{profile}/DevToolsActivePort")).ok()?;
        let port: u16 = ports.lines().next()?.parse().ok()?;
        let all = http::get(([127, 0, 0, 1], port).into(), "/json/list").ok()?.json();
        let page = all.as_array()?.iter().find(|one| one["url"] == url)?.clone();
        let (_, path) = page["webSocketDebuggerUrl"].as_str()?.split_once("/devtools/")?;
        Some((port, format!("/devtools/{path}")))
    }

    /// The value of an expression in the page.
    ///
    /// # Panics
    /// If the page has no answer.
    #[expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]
    pub fn value(&mut self, expression: &str) -> Value {
        self.asked += 1;
        let params = json!({"expression": expression, "returnByValue": true});
        let ask = json!({"id": self.asked, "method": "Runtime.evaluate", "params": params});
        self.web.send(&mut self.stream, &ask.to_string()).expect("asking the page");
        loop {
            let mut said = Vec::new();
            let bytes = self.web.receive(&mut self.stream, &mut said).expect("an answer");
            assert!(bytes > 0, "the browser has ended");
            let said: Value = serde_json::from_slice(&said).expect("JSON");
            if said["id"] == self.asked {
                return said["result"]["result"]["value"].clone();
            }
        }
    }

    /// Waits until an expression is true.
    ///
    /// # Panics
    /// If it does not become so in two minutes.
    pub fn wait_for(&mut self, expression: &str) {
        let deadline = Instant::now() + WITHIN;
        while self.value(expression) != true {
            let page = self.value("document.body.innerText");
            assert!(Instant::now() < deadline, "{expression}: {page}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
