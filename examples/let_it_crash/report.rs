//! What is shown: the progress while the ledger works, and the closing table.

use std::{
    fmt,
    io::{IsTerminal, Write, stdout},
    time::Duration,
};

use crate::client::Tally;

/// Shows how far the work is: one line that is written anew on a terminal, a line every ten per cent elsewhere.
pub(crate) struct Progress {
    total: u64,
    on_terminal: bool,
    shown: u64,
}

impl Progress {
    pub(crate) fn new(total: usize) -> Self {
        Self { total: total as u64, on_terminal: stdout().is_terminal(), shown: 0 }
    }

    /// To be told after each line.
    pub(crate) fn show(&mut self, tally: &Tally, kills: u64) {
        let percent = tally.lines * 100 / self.total;
        let step = if self.on_terminal { 1 } else { 10 };
        if percent / step == self.shown / step {
            return;
        }
        self.shown = percent;
        let crashes = tally.panics + tally.errors;
        let text = format!("{percent:>3} %   {crashes} crashes, {kills} kills");
        if !self.on_terminal {
            println!("{text}");
        } else if percent < 100 {
            print!("\r{text}");
            stdout().flush().ok(); // Without a line end, nothing is shown by itself.
        } else {
            println!("\r{text}");
        }
    }
}

/// Everything the closing table shows.
pub(crate) struct Report {
    pub(crate) tally: Tally,
    pub(crate) kills: u64,
    pub(crate) restarts: u64,
    pub(crate) hidden_panics: u64,
    pub(crate) took: Duration,
    /// The balances are those of the plain recomputation.
    pub(crate) balances_agree: bool,
    /// So are the number of entries and the version of the state.
    pub(crate) entries_agree: bool,
}

impl Report {
    pub(crate) fn is_flawless(&self) -> bool {
        let Tally { lost, doubled, .. } = self.tally;
        lost == 0 && doubled == 0 && self.balances_agree && self.entries_agree
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, restarts, hidden_panics, took, .. } = self;
        let Tally { lines, applied, panics, errors, retries, lost, doubled, .. } = &self.tally;
        let bad = panics + errors;
        let mut away = self.tally.away.clone();
        away.sort_unstable();
        let median = away.get(away.len() / 2).copied().unwrap_or_default();
        let worst = away.last().copied().unwrap_or_default();
        let verdict = |agree| if agree { "equal" } else { "DIFFERENT" };
        let balances = verdict(self.balances_agree);
        let entries = verdict(self.entries_agree);
        // The literal is the table as it is printed.
        writeln!(
            f,
            "\
lines           {lines:>9}   in {took:.1?}
  applied       {applied:>9}
  bad           {bad:>9}   each crashed the ledger, none was applied
crashes         {bad:>9}   {panics} panics, {errors} errors ({hidden_panics} panic messages not shown)
kills           {kills:>9}   from outside
  retries       {retries:>9}   lines that a kill had cut, sent again
restarts        {restarts:>9}
served again    {median:>9.1?}   median time from a crash or a kill to the next answer
                {worst:>9.1?}   worst time
lost            {lost:>9}   entries that were acknowledged and are not there
doubled         {doubled:>9}   entries that are there and were not acknowledged
recomputed      {balances:>9}   balances
                {entries:>9}   number of entries, version of the state"
        )
    }
}
