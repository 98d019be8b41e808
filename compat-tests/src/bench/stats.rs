//! What several rounds of one measurement come to.

use std::fmt;
use std::time::Duration;

/// The results of all rounds, in one unit.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    values: Vec<f64>,
}

impl Rounds {
    /// Adds the result of a round.
    pub fn add(&mut self, value: f64) {
        let at = self.values.partition_point(|other| *other < value);
        self.values.insert(at, value);
    }

    /// The result in the middle; the mean of the two in the middle if there is no single one.
    #[must_use]
    pub fn median(&self) -> f64 {
        match self.values.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => self.values[n / 2],
            n => f64::midpoint(self.values[n / 2 - 1], self.values[n / 2]),
        }
    }

    /// The lowest and the highest result.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        match (self.values.first(), self.values.last()) {
            (Some(low), Some(high)) => (*low, *high),
            _ => (f64::NAN, f64::NAN),
        }
    }
}

impl FromIterator<f64> for Rounds {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut rounds = Self::default();
        values.into_iter().for_each(|value| rounds.add(value));
        rounds
    }
}

impl fmt::Display for Rounds {
    /// The median, and the range behind it if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.range();
        number(f, self.median())?;
        if self.values.len() > 1 {
            f.write_str(" (")?;
            number(f, low)?;
            f.write_str("-")?;
            number(f, high)?;
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// With as many digits as tell something.
fn number(f: &mut fmt::Formatter<'_>, value: f64) -> fmt::Result {
    let digits = if value < 10.0 {
        2
    } else if value < 100.0 {
        1
    } else {
        0
    };
    write!(f, "{value:.digits$}")
}

/// How long things took.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    sorted: bool,
    micros: Vec<f64>,
}

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, took: Duration) {
        self.sorted = false;
        self.micros.push(took.as_secs_f64() * 1e6);
    }

    /// Microseconds that `share` of them, from 0 to 1, took at most.
    #[must_use]
    pub fn quantile(&mut self, share: f64) -> f64 {
        if !std::mem::replace(&mut self.sorted, true) {
            self.micros.sort_by(f64::total_cmp);
        }
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "an index")]
        let at = (self.micros.len() as f64 * share) as usize;
        self.micros.get(at).or(self.micros.last()).copied().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ends() {
        let rounds: Rounds = [3.0, 1.0, 2.0].into_iter().collect();
        assert_eq!((rounds.median(), rounds.range()), (2.0, (1.0, 3.0)));
        let rounds: Rounds = [4.0, 1.0].into_iter().collect();
        assert_eq!(rounds.median(), 2.5);
        assert_eq!(rounds.to_string(), "2.50 (1.00-4.00)");
    }

    #[test]
    fn quantiles() {
        let mut latencies = Latencies::default();
        (1..=100).rev().for_each(|ms| latencies.add(Duration::from_millis(ms)));
        assert_eq!(latencies.quantile(0.5), 51_000.0);
        assert_eq!(latencies.quantile(0.99), 100_000.0);
        assert_eq!(latencies.quantile(1.0), 100_000.0);
    }
}
