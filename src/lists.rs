//! Lists that the owner keeps in files: an entry a line. A line that begins with `#` is a comment, blanks
//! around an entry do not count, and neither does an empty line.

use std::fmt;
use std::path::{Path, PathBuf};

/// Longest part of a line that an error shows, in letters.
const SHOWN: usize = 60;

/// A line of a file that cannot be what it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    file: PathBuf,
    /// The first has number 1.
    line: usize,
    /// What it has; none if that is secret.
    text: Option<String>,
    why: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, text, why } = self;
        write!(f, "{} line {line}: ", file.display())?;
        text.iter().try_for_each(|text| write!(f, "{text:?}: "))?;
        f.write_str(why)
    }
}

impl std::error::Error for BadLine {}

/// Whether errors may quote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// They do, so that it is found.
    Known,
    /// They do not, as the log is read by others.
    Secret,
}

/// The entries of a file whose content is `bytes`, each as `read` makes it of its line without blanks around.
///
/// # Errors
/// If a line cannot be read.
pub fn read<T>(
    file: &Path,
    bytes: &[u8],
    lines: Lines,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, BadLine> {
    let mut all = Vec::new();
    // Some editors begin a file with this mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let is_text = std::str::from_utf8(line);
        let text = String::from_utf8_lossy(line);
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let entry = match is_text {
            Ok(_) if text.contains('\r') => {
                Err("lines end with CR alone: save the file with LF, or with CR and LF".into())
            }
            Ok(_) => read(text),
            Err(_) => Err("this is not UTF-8".into()),
        };
        all.push(entry.map_err(|why| BadLine {
            file: file.to_owned(),
            line: number,
            text: (lines == Lines::Known).then(|| text.chars().take(SHOWN).collect()),
            why,
        })?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_lines_and_the_rest_is_left_out() {
        let text = b"\xef\xbb\xbf# a comment\r\n one, two \r\n\n\t\n#three\nfour # five";
        let whole = |text: &str| Ok(text.to_owned());
        let all = read(Path::new("x"), text, Lines::Known, whole).unwrap();
        assert_eq!(all, ["one, two", "four # five"]);
    }

    #[test]
    fn a_bad_line_is_named() {
        let fails = |text: &[u8]| {
            let read = read(Path::new("list"), text, Lines::Known, |text| {
                if text == "bad" { Err("no".to_owned()) } else { Ok(()) }
            });
            read.unwrap_err().to_string()
        };
        assert_eq!(fails(b"good\n\nbad\nbad"), "list line 3: \"bad\": no");
        assert_eq!(fails(b"good\n\xff"), "list line 2: \"\u{fffd}\": this is not UTF-8");
        let of_macs = fails(b"one\rtwo\r");
        assert!(of_macs.contains("line 1: ") && of_macs.contains("CR alone"), "{of_macs}");
    }

    #[test]
    fn what_is_secret_is_not_told() {
        let no = |_: &str| Err::<(), _>("no".to_owned());
        for text in [&b"sesame"[..], b"sesame\xff", b"sesame\rsesame"] {
            let why = read(Path::new("keys"), text, Lines::Secret, no).unwrap_err().to_string();
            assert!(why.starts_with("keys line 1: ") && !why.contains("sesame"), "{why}");
        }
    }
}
