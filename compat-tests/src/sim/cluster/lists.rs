//! What lists have.
