//! What a room is in every dialect that has rooms: what it is called by, who may come in, what its host
//! says of it, and who looks for it. Each part is a value without clock, sockets or dialect.

pub mod access;
pub mod code;
pub mod data;
pub mod extras;
pub mod guesses;
pub mod names;
