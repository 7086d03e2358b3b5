//! The client: what it does with each answer is the point of the example.

use std::time::{Duration, Instant};

use undying::{CallError, CrashKind, ServerRef};

use crate::ledger::{Call, Ledger};

/// Sends lines, one after the other, and counts what became of them.
pub(crate) struct Client {
    ledger: ServerRef<Ledger>,
    /// How many entries the ledger has, by its answers.
    entries: u64,
    pub(crate) tally: Tally,
}

#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) lines: u64,
    /// Lines the ledger acknowledged.
    pub(crate) applied: u64,
    /// Lines that made the ledger panic.
    pub(crate) panics: u64,
    /// Lines that made a callback of the ledger return an error.
    pub(crate) errors: u64,
    /// Lines sent once more because a kill had cut them.
    pub(crate) retries: u64,
    /// Entries that were acknowledged and are not there.
    pub(crate) lost: u64,
    /// Entries that are there without having been acknowledged.
    pub(crate) doubled: u64,
    /// For each crash or kill that cut a line: the time from hearing of it to the next answer.
    pub(crate) away: Vec<Duration>,
}

impl Client {
    pub(crate) fn new(ledger: ServerRef<Ledger>) -> Self {
        Self { ledger, entries: 0, tally: Tally::default() }
    }

    /// Sends a line until the ledger has entered it, or crashed on it by itself.
    ///
    /// # Errors
    ///
    /// Any other answer: a timeout, or the end of the ledger. Neither belongs to the plan.
    pub(crate) async fn enter(&mut self, line: &[u8]) -> Result<(), CallError> {
        self.tally.lines += 1;
        loop {
            let line = line.to_vec();
            let enter = |receipt| Call::Enter { line, receipt };
            let report = match self.ledger.call(enter).await {
                Ok(number) => {
                    self.tally.applied += 1;
                    self.entries += 1;
                    self.compare(number);
                    return Ok(());
                }
                Err(CallError::Crashed(report)) => report,
                Err(other) => return Err(other),
            };
            self.wait_until_served().await?;
            match report.kind() {
                // The line did nothing wrong and left no trace: once more.
                CrashKind::Kill => self.tally.retries += 1,
                CrashKind::Panic => {
                    self.tally.panics += 1;
                    return Ok(());
                }
                _ => {
                    self.tally.errors += 1;
                    return Ok(());
                }
            }
        }
    }

    /// Asks for the number of entries after a crash: how soon is there an answer, and did the crash leave a trace?
    async fn wait_until_served(&mut self) -> Result<(), CallError> {
        let crashed = Instant::now();
        let entries = loop {
            match self.ledger.call(Call::Entries).await {
                Ok(entries) => break entries,
                Err(CallError::Crashed(_)) => {} // Killed again meanwhile; the clock goes on.
                Err(other) => return Err(other),
            }
        };
        self.tally.away.push(crashed.elapsed());
        self.compare(entries);
        Ok(())
    }

    /// Compares the entries there are with those acknowledged: missing ones are lost, surplus ones are doubled.
    pub(crate) fn compare(&mut self, entries: u64) {
        self.tally.lost += self.entries.saturating_sub(entries);
        self.tally.doubled += entries.saturating_sub(self.entries);
        self.entries = entries; // So that the next comparison does not count the same difference again.
    }
}
