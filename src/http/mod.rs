//! HTTP/1.1 as far as it takes to show something: `GET` and `HEAD`, no bodies of requests. A state machine
//! without sockets or clock, as a [`Dialect`](crate::dialect::Dialect) is; what is answered, its caller
//! says.

pub mod answer;
mod connections;
pub mod guard;
pub mod page;
pub mod request;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Body, For, Status};
pub use connections::{Answering, Http};
pub use guard::{Guard, Token};
pub use request::{Method, Request};
