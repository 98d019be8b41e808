//! The page of the owner's window in a real browser, where there is one: numbers and rows are right, nothing is
//! wrong on the console, and what players call themselves is text.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::time::Duration;

use compat_tests::browser::{Page, browser, button, inside, rows, run};
use compat_tests::company::{Company, start_with_window};
use compat_tests::folder::Folder;
use compat_tests::master::loopback;
use compat_tests::{raw, skipped};
use punchd::http::{Answer, Status, page};

/// What somebody may call his host who wants to do harm. In a page it would ask another server, and say so on
/// the console.
const HOSTILE: &str = "<img src=x onerror=console.log(1)>";

#[test]
fn the_page_shows_what_there_is() {
    let Some(browser) = browser() else {
        return skipped::note("there is no chromium");
    };
    let (master, window) = start_with_window(&["--relay", "--relay-ports", "20140-20171"]);
    let name = HOSTILE;
    let _company = Company::come(&master, ["My Game", name], name);
    let mut odd = raw::connect(master.addr(), loopback());
    odd.write_all(b"\x47\0\0\0{\"type").expect("sending");
    raw::read_to_end(&odd, Duration::from_secs(20));
    let folder = Folder::new();
    let url = format!("http://{window}/");
    let (page, errors) = run(browser, &folder, &["--dump-dom"], &url);
    let console: Vec<_> = errors.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "{console:#?}");
    assert!(inside(&page, "state", "</p>").ends_with("class=\"live\">live"), "{page}");
    for (tile, number) in [("hosts", "3"), ("clients", "2"), ("relayed", "0"), ("connections", "2")]
    {
        let tile = inside(&page, &format!("tile-{tile}"), "</b>");
        assert!(tile.ends_with(&format!("<b>{number}")), "{number}: {tile}");
    }
    assert!(inside(&page, "tile-share", "</b>").ends_with("<b>100 %"), "{page}");

    let hosts = rows(&page, "hosts");
    let dialects: Vec<&str> = hosts.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(dialects, ["gmnet", "rooms", "events"], "{hosts:#?}");
    let shown = name.replace('<', "&lt;").replace('>', "&gt;");
    assert_eq!((&hosts[0][1], &hosts[0][2], &hosts[1][2]), (&"My Game".into(), &shown, &shown));
    assert!(!page.contains("<img"), "it is text and no picture");
    assert!(hosts[0][3].contains(">127.") && hosts[0][3].contains('…'), "shortened: {hosts:#?}");
    assert_eq!(hosts[1][6], "2 of 65");

    let introductions = rows(&page, "introductions");
    assert_eq!(introductions.len(), 1, "{introductions:#?}");
    let row = &introductions[0];
    assert!(row[0].ends_with("<small>rooms</small>"), "{row:#?}");
    assert_eq!(row[1], format!("<small>{shown}</small>"), "{row:#?}");
    // Each was told where the other is.
    let [client, host] = [2, 3].map(|n| row[n].split_once("was told ").expect("what it was told"));
    assert_eq!((button(client.1), button(host.1)), (button(host.0), button(client.0)), "{row:#?}");
    let why = &row[5];
    assert!(why.contains("got through to host") && why.contains('…'), "{why}");
    assert!(inside(&page, "introductions", "</tr>").contains("Time, UTC"), "{page}");
    let matrix = inside(&page, "matrix", "</table>");
    assert!(matrix.contains("100 %<small>1 direct, 0 relayed, 0 failed"), "{matrix}");
    assert_eq!(rows(&page, "refusals")[0][0], "it is not understood");
    assert!(rows(&page, "limits").len() > 5 && rows(&page, "options").len() > 20);
}

#[test]
fn what_is_typed_and_clicked_is_obeyed() {
    let Some(browser) = browser() else {
        return skipped::note("there is no chromium");
    };
    let (master, window) = start_with_window(&[]);
    let _company = Company::come(&master, ["My Game", "host"], "Fort");
    let folder = Folder::new();
    let mut page = Page::open(browser, &folder, &format!("http://{window}/"));
    let shortened = "[...document.querySelectorAll('button.at')].filter((one) => one.textContent.includes('…')).length";
    page.wait_for("document.querySelectorAll('#introductions tbody tr button.at').length > 4");
    assert!(page.value(shortened).as_u64() > Some(4));
    // One address, wherever it stands, and all of them.
    let click = "document.querySelector('#introductions button.at').click()";
    let whole =
        "document.querySelector('#introductions button.at').textContent.split('.').length === 4";
    assert_eq!(page.value(whole), false);
    page.value(click);
    assert_eq!(page.value(whole), true);
    page.value("document.getElementById('whole').click()");
    assert_eq!(page.value(shortened), 0);
    page.value("document.getElementById('whole').click()");
    assert!(page.value(shortened).as_u64() > Some(0));
    page.value(click);
    assert_eq!(page.value(whole), false);
    // What is typed is asked for.
    let rows = "document.querySelectorAll('#introductions tbody tr').length";
    assert_eq!(page.value(rows), 1);
    for (field, text, shows) in
        [("game", "nothing", false), ("game", " fOrT ", true), ("address", "9.9.9.9", false)]
    {
        page.value(&format!(
            "(() => {{ const one = document.getElementById('filter-{field}'); one.value = '{text}'; \
             one.dispatchEvent(new Event('input')); }})()"
        ));
        let has_one = "document.querySelector('#introductions').innerText.includes('none of the last 1 is like that')";
        page.wait_for(&format!("{has_one} !== {shows}"));
    }
}

/// A server that has the page and nothing else any more.
fn half_a_server() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let line = lines.next().unwrap_or_default();
            let _head = lines.take_while(|line| !line.is_empty()).count();
            let body = line.split(' ').nth(1).and_then(page::find);
            let answer = body.map_or_else(|| Answer::error(Status::Unavailable), Answer::of);
            let mut bytes = Vec::new();
            answer.write(0, false, true, &mut bytes);
            // The browser may have gone.
            let _ = stream.write_all(&bytes);
        }
    });
    at
}

/// What is old is not shown as if it were true.
#[test]
fn the_page_says_so_when_the_server_does_not_answer() {
    let Some(browser) = browser() else {
        return skipped::note("there is no chromium");
    };
    let (folder, url) = (Folder::new(), format!("http://{}/", half_a_server()));
    let (page, _) = run(browser, &folder, &["--dump-dom"], &url);
    assert!(inside(&page, "state", "</p>").ends_with("class=\"lost\">lost"), "{page}");
    let told = inside(&page, "lost", "</p>");
    assert!(!told.contains("hidden") && told.contains("No answer from the server"), "{told}");
}

#[test]
fn nothing_is_shown_to_who_has_no_token() {
    let Some(browser) = browser() else {
        return skipped::note("there is no chromium");
    };
    let (_master, window) = start_with_window(&["--http-token", "0123456789abcdef"]);
    let folder = Folder::new();
    let (page, _) = run(browser, &folder, &["--dump-dom"], &format!("http://{window}/"));
    assert!(page.contains("401 Unauthorized") && page.contains("/?token=TOKEN"), "{page}");
    let url = format!("http://{window}/?token=0123456789abcdef");
    let (page, errors) = run(browser, &folder, &["--dump-dom"], &url);
    assert!(inside(&page, "state", "</p>").ends_with("live"), "{page}");
    assert!(!errors.contains("CONSOLE"), "{errors}");
}
