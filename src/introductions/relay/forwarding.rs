//! What becomes of the packets of players who are relayed. No I/O, no clock.
