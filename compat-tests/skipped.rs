//! The last of all tests: says which of the others were skipped. It belongs to the package `punchd`,
//! whose tests cargo runs behind those of `compat-tests`.
#![expect(dead_code, unreachable_pub, reason = "the module is one of the library of compat-tests")]

#[path = "src/skipped.rs"]
mod skipped;

fn main() {
    // Asked by tools that run each test by itself.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let file = skipped::file();
    let notes = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
    println!("{}", skipped::summary(&notes.unwrap_or_default()));
    // The next run of cargo may have the same number. Who has named the file keeps it.
    if let Some(file) = file.filter(|_| std::env::var_os("PUNCH_SKIPPED").is_none()) {
        let _ = std::fs::remove_file(file);
    }
}
