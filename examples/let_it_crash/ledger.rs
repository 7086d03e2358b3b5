//! The ledger: a server without a line of error handling.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::sleep;
use undying::{Context, Crash, GenServer, Never, Next, Outcome, Reply, StateMut};

/// This file, as panics name it.
pub(crate) const FILE: &str = file!();

/// How long money travels from one account to another.
///
/// This is the pacing of the whole example: Tokio rounds it up to one or two milliseconds, so that the shipped sample
/// takes a few seconds, and most kills hit a transfer whose money has left one account and not reached the other.
const TRAVEL: Duration = Duration::from_millis(1);

/// The state, the part of the ledger that survives.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Book {
    pub(crate) balances: BTreeMap<String, u64>,
    /// How many lines were entered.
    pub(crate) entries: u64,
}

impl Book {
    /// Enters one line, or crashes on the way.
    ///
    /// Each `?`, `expect` and `panic!` below comes after something was changed already. There is nothing to undo by
    /// hand: the change was made to a working copy, and a crash throws that away.
    async fn enter(&mut self, line: &[u8]) -> Result<(), Crash> {
        self.entries += 1;
        let mut words = std::str::from_utf8(line)?.split_whitespace();
        let mut word = || words.next().expect("a word is missing");
        match word() {
            "deposit" => {
                let to = word();
                self.credit(to, word().parse()?);
            }
            "withdraw" => {
                let from = word();
                self.debit(from, word().parse()?);
            }
            "transfer" => {
                let (from, to) = (word(), word());
                let amount = word().parse()?;
                self.debit(from, amount);
                sleep(TRAVEL).await; // A kill here finds money that is nowhere.
                self.credit(to, amount);
            }
            verb => panic!("cannot {verb}"),
        }
        Ok(())
    }

    fn credit(&mut self, account: &str, amount: u64) {
        let balance = self.balances.entry(account.to_owned()).or_default();
        *balance = balance.checked_add(amount).expect("too rich");
    }

    fn debit(&mut self, account: &str, amount: u64) {
        let balance = self.balances.get_mut(account).expect("no such account");
        *balance = balance.checked_sub(amount).expect("overdraft");
    }
}

#[derive(Clone)]
pub(crate) struct Ledger;

pub(crate) enum Call {
    /// Enters a line; the answer is the number of the entry.
    Enter { line: Vec<u8>, receipt: Reply<u64> },
    /// Asks how many lines were entered.
    Entries(Reply<u64>),
}

impl GenServer for Ledger {
    type State = Book;
    type Call = Call;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        call: Call,
        mut book: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Enter { line, receipt } => {
                book.enter(&line).await?;
                receipt.send(book.entries); // Leaves the server when `book` is committed, not before.
            }
            Call::Entries(reply) => reply.send(book.entries),
        }
        Ok(Next::Wait)
    }
}
