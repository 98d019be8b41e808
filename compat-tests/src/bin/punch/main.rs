//! The debug client.
#![forbid(unsafe_code)]

fn main() {}
