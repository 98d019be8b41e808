//! What a host says about itself.

/// The eight strings that a host describes itself with, in one allocation.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Data {
    text: Box<str>,
    ends: [u32; 8],
}

impl Data {
    /// Keeps eight strings.
    #[must_use]
    pub fn new(strings: [&str; 8]) -> Self {
        let mut end = 0;
        let ends = strings.map(|s| {
            end += s.len();
            u32::try_from(end).unwrap_or(u32::MAX)
        });
        Self { text: strings.concat().into(), ends }
    }

    /// Bytes of all strings together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether all strings are empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The string number `n`, from 0 for data1 to 7 for data8.
    #[must_use]
    pub fn get(&self, n: usize) -> &str {
        let start = if n == 0 { 0 } else { self.ends[n - 1] };
        &self.text[start as usize..self.ends[n] as usize]
    }
}
