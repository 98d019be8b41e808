//! A real browser without a screen, where there is one, and what is in the page that it has made.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::folder::Folder;

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
