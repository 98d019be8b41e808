//! The process.
#![forbid(unsafe_code)]

fn main() {}
