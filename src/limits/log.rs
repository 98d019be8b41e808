//! The bounds of the log.

use std::time::Duration;

/// Lines a second that peers may cause in the log, in the long run, with a minute's worth at once: some 200 MB a day,
/// and 1.3 GB as JSON with the longest names that there are.
pub const LOG_LINES: u32 = 20;

/// Lines a second of details, which are logged only if somebody looks for something, with a minute's
/// worth at once.
pub const LOG_DETAILS: u32 = 200;

/// How long after the first line that is left out the log says how many were.
pub const LOG_LEFT_OUT: Duration = Duration::from_secs(5);

/// Bytes of lines that wait to be written to one place of the log; more are lost.
pub const LOG_WAITING: usize = 1 << 20;

/// How long the end of the process waits for what is not written to the log yet.
pub const LOG_FLUSH: Duration = Duration::from_millis(200);

/// Columns of a line about peers. Those with two names of usual length and a reason have up to 500; what is
/// longer has a name in it that somebody made for that.
pub const LOG_LINE: usize = 800;
