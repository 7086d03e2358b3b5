//! A logical server whatever its type.

use std::any::type_name;

use super::Logical;
use crate::{any::AnyServer, exit::CrashReport, gen_server::GenServer, record::Counters, sys::Statistics};

impl<S: GenServer> AnyServer for Logical<S> {
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn type_name(&self) -> &'static str {
        type_name::<S>()
    }

    fn incarnation(&self) -> u64 {
        self.cell.look(|record| record.life.serving)
    }

    fn version(&self) -> u64 {
        self.cell.look(|record| record.kept.version())
    }

    fn statistics(&self) -> Statistics {
        self.cell.audit(|record, fenced| {
            let Counters { messages_in, replies_out, commits, crashes, restarts, zombies } = record.counters;
            let mailbox_len = record.batch.len() + self.mailbox.len();
            Statistics { messages_in, replies_out, commits, crashes, restarts, zombies, fenced, mailbox_len }
        })
    }

    fn last_crash(&self) -> Option<CrashReport> {
        self.cell.look(|record| record.last_crash.clone())
    }

    fn kill_worker(&self) {
        Self::kill_worker(self, "killed");
    }

    fn suspend(&self) {
        // One that is about to end is not to be held up.
        let _ = Self::suspend(self);
    }

    fn resume(&self) {
        // One that is over has nothing to begin.
        let _ = Self::resume(self);
    }

    #[cfg(feature = "chaos")]
    fn inflict(&self, fault: crate::chaos::Fault) {
        Self::inflict(self, fault);
    }
}
