//! The page of the owner's window: three files that are part of the program.

use super::answer::Body;

/// What is at this path, if it is part of the page.
#[must_use]
pub fn find(path: &str) -> Option<Body> {
    match path {
        "/" => Some(Body::Html(include_str!("window.html"))),
        "/window.css" => Some(Body::Css(include_str!("window.css"))),
        "/window.js" => Some(Body::Script(include_str!("window.js"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of hosts and games come from players, who may put anything there.
    #[test]
    fn nothing_that_peers_say_becomes_part_of_the_page() {
        let script = include_str!("window.js");
        for unsafe_way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "setAttribute(\"on",
            ".href",
            "srcdoc",
            "DOMParser",
            "createContextualFragment",
        ] {
            assert!(!script.contains(unsafe_way), "{unsafe_way}");
        }
        let page = include_str!("window.html");
        assert!(!page.contains("<script>") && !page.contains("style=") && !page.contains(" on"));
    }

    #[test]
    fn it_needs_no_other_server_and_is_small() {
        let all = ["/", "/window.css", "/window.js"].map(|path| match find(path) {
            Some(Body::Html(text) | Body::Css(text) | Body::Script(text)) => text,
            other => panic!("{other:?}"),
        });
        assert!(all.iter().map(|text| text.len()).sum::<usize>() < 60_000);
        for text in all {
            assert!(
                !text.contains("://")
                    || text.matches("http://www.w3.org/2000/svg").count()
                        == text.matches("://").count()
            );
        }
        assert_eq!(find("/window.html"), None);
    }
}
