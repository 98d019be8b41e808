//! The table as it is printed, row by row, so that a long run shows how far it is.

use compat_tests::bench::stats::Rounds;

use crate::Sides;

pub(crate) const HEADER: &str = "\
| what | reach | measured: median (lowest-highest) | compared with | median ratio | ok |\n\
| --- | --- | --- | --- | --- | --- |";

/// What has to be reached.
#[derive(Clone, Copy)]
pub(crate) enum Reach {
    /// At most so many times what it is compared with.
    Within(f64),
    /// At least so many times what it is compared with.
    Above(f64),
    /// At most this.
    AtMost(f64),
    /// Nothing: for information.
    Any,
}

/// How the rows came out.
#[derive(Default)]
pub(crate) struct Report {
    missed: Vec<String>,
}

impl Report {
    /// A row that compares two sides, in one unit.
    pub(crate) fn compare(
        &mut self,
        what: &str,
        reach: Reach,
        unit: &str,
        Sides { ours, other, ratio }: &Sides,
        than: &str,
    ) {
        let ratio = ratio.median();
        let ok = match reach {
            Reach::Within(most) => Some(ratio <= most),
            Reach::Above(least) => Some(ratio >= least),
            Reach::AtMost(most) => Some(ours.median() <= most),
            Reach::Any => None,
        };
        let cells = [
            what.to_owned(),
            text(reach, unit),
            format!("{ours} {unit}"),
            format!("{than} {other} {unit}"),
            format!("{ratio:.2}"),
        ];
        self.row(cells, ok);
    }

    /// A row without comparison.
    pub(crate) fn tell(&mut self, what: &str, reach: Reach, unit: &str, measured: &Rounds) {
        let ok = match reach {
            Reach::AtMost(most) => Some(measured.median() <= most),
            Reach::Within(_) | Reach::Above(_) | Reach::Any => None,
        };
        let cells = [
            what.to_owned(),
            text(reach, unit),
            format!("{measured} {unit}"),
            String::new(),
            String::new(),
        ];
        self.row(cells, ok);
    }

    /// The last line.
    pub(crate) fn end(&self) {
        if self.missed.is_empty() {
            println!("\nall rows reach what they should; every answer was right");
        } else {
            println!("\nnot reached: {}; every answer was right", self.missed.join("; "));
        }
    }

    fn row(&mut self, cells: [String; 5], ok: Option<bool>) {
        let verdict = match ok {
            Some(true) => "ok",
            Some(false) => {
                self.missed.push(cells[0].clone());
                "NOT"
            }
            None => "",
        };
        println!("| {} | {verdict} |", cells.join(" | "));
    }
}

fn text(reach: Reach, unit: &str) -> String {
    match reach {
        Reach::Within(most) => format!("at most {most} times"),
        Reach::Above(least) => format!("at least {least} times"),
        Reach::AtMost(most) => format!("at most {most} {unit}"),
        Reach::Any => String::new(),
    }
}
