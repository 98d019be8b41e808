//! A master server for games whose players sit behind NATs.
#![forbid(unsafe_code)]
