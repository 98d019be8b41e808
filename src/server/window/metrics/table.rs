//! Metrics with their values of one moment, and how they are written.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// All metrics.
#[derive(Debug)]
pub(super) struct Table(pub(super) Vec<Family>);

/// A metric: several values, told apart by labels.
#[derive(Debug)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    rows: Vec<(Labels, Value)>,
}

type Labels = Vec<(&'static str, String)>;

/// What stands behind a name and its labels.
#[derive(Debug)]
pub(super) enum Value {
    Count(u64),
    Number(f64),
    /// All that there is to say is in the labels.
    Info,
    /// Up to which value each bucket reaches, and how many are in it and in none before it.
    Histogram {
        sum: f64,
        buckets: Vec<(f64, u64)>,
    },
}

impl Family {
    const fn new(name: &'static str, help: &'static str, kind: MetricType) -> Self {
        Self { name, help, kind, rows: Vec::new() }
    }

    /// What goes up and down.
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricType::Gauge)
    }

    /// What only goes up; `_total` is put behind its name.
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricType::Counter)
    }

    /// What stays as it is; `_info` is put behind its name.
    pub(super) const fn info(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricType::Info)
    }

    /// How many there are of which size.
    pub(super) const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricType::Histogram)
    }

    /// The same with one value more.
    pub(super) fn with(mut self, labels: impl Into<Labels>, value: Value) -> Self {
        self.add(labels, value);
        self
    }

    pub(super) fn add(&mut self, labels: impl Into<Labels>, value: Value) {
        self.rows.push((labels.into(), value));
    }
}

impl Table {
    /// As Prometheus reads it.
    pub(super) fn encode(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::with_capacity(32 * 1024);
        prometheus_text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Table {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { name, help, kind, rows } in &self.0 {
            let mut metric = encoder.encode_descriptor(name, help, None, *kind)?;
            for (labels, value) in rows {
                match value {
                    Value::Info => metric.encode_info(labels)?,
                    value if labels.is_empty() => write(&mut metric, *kind, value)?,
                    value => write(&mut metric.encode_family(labels)?, *kind, value)?,
                }
            }
        }
        Ok(())
    }
}

fn write(encoder: &mut MetricEncoder<'_>, kind: MetricType, value: &Value) -> fmt::Result {
    match (kind, value) {
        (_, Value::Histogram { sum, buckets }) => {
            let count = buckets.iter().map(|(_, count)| count).sum();
            encoder.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
        }
        (MetricType::Counter, Value::Count(count)) => {
            encoder.encode_counter::<NoLabelSet, u64, f64>(count, None)
        }
        (MetricType::Counter, Value::Number(number)) => {
            encoder.encode_counter::<NoLabelSet, f64, f64>(number, None)
        }
        (_, Value::Count(count)) => encoder.encode_gauge(count),
        (_, Value::Number(number)) => encoder.encode_gauge(number),
        (_, Value::Info) => Ok(()),
    }
}
