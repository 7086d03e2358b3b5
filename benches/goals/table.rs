//! The table of goals: what, measured, ratio, bar, held or not.

/// Prints a row for each goal, and counts.
#[derive(Default)]
pub(crate) struct Table {
    held: usize,
    missed: usize,
}

impl Table {
    pub(crate) fn head(&self, what: &str, against: &str) {
        println!("\n{what:<46} {:>11} {against:>11} {:>9} {:>9}", "measured", "ratio", "bar");
    }

    /// `measured` is to be at most `bar` times `floor`.
    pub(crate) fn ratio(&mut self, what: &str, measured: f64, floor: f64, bar: f64) {
        let ratio = measured / floor;
        let verdict = self.judge(ratio <= bar);
        println!("{what:<46} {measured:>8.1} ns {floor:>8.1} ns {ratio:>7.2} × {bar:>7.2} ×  {verdict}");
    }

    /// As [`ratio`](Self::ratio), where it is one of several and no goal is set for it alone.
    pub(crate) fn note_ratio(&self, what: &str, measured: f64, floor: f64) {
        println!("{what:<46} {measured:>8.1} ns {floor:>8.1} ns {:>7.2} ×", measured / floor);
    }

    /// The dearest is to cost at most twice the cheapest.
    pub(crate) fn flat(&mut self, what: &str, costs: &[f64]) {
        let cheapest = costs.iter().copied().fold(f64::INFINITY, f64::min);
        let dearest = costs.iter().copied().fold(0.0, f64::max);
        self.ratio(&format!("{what}: dearest of cheapest"), dearest, cheapest, 2.0);
    }

    /// `measured` is to be at most `bar` nanoseconds.
    pub(crate) fn at_most(&mut self, what: &str, measured: f64, bar: f64) {
        let verdict = self.judge(measured <= bar);
        println!("{what:<46} {measured:>8.1} ns {:>11} {:>9} {bar:>6.0} ns  {verdict}", "", "");
    }

    /// No goal is set for it.
    pub(crate) fn note(&self, what: &str, measured: f64) {
        println!("{what:<46} {measured:>8.1} ns");
    }

    fn judge(&mut self, held: bool) -> &'static str {
        if held {
            self.held += 1;
            "held"
        } else {
            self.missed += 1;
            "NOT held"
        }
    }

    pub(crate) fn sum_up(self) {
        println!("\n{} of {} goals held", self.held, self.held + self.missed);
    }
}
