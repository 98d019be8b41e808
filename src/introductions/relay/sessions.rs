//! Which ports two players are given.
