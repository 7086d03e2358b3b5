//! Snapshots of the working copy: when one is taken, and what becomes of the one before.

use std::mem;

use super::Worker;
use crate::{
    contain::{catch, drop_quietly},
    exit::{Callback, CrashReport},
    feed::Nudge,
    gen_server::GenServer,
    job::Unkept,
    options::{CommitPolicy, Poison},
    preserve::{Preserve, SharedSnapshot, Snapshot},
    reply,
};

impl<S: GenServer> Worker<S> {
    /// Whether the state is to be committed with this callback. K2: not if there is nothing new about it.
    #[inline]
    pub(super) fn is_due(&mut self, callback: Callback, stop: bool) -> bool {
        self.uncommitted += u64::from(mem::take(&mut self.changed));
        let asked_for = mem::take(&mut self.cx.commit);
        let always = stop || matches!(callback, Callback::Init | Callback::Restarted | Callback::System);
        let due = match self.logical.options.commit {
            CommitPolicy::EveryCallback => true,
            CommitPolicy::Every(n) => self.uncommitted >= n,
            CommitPolicy::Explicit => false,
        };
        self.uncommitted > 0 && (due || asked_for || always)
    }

    /// Commits what the policy has left uncommitted, before an orderly end.
    pub(super) fn catch_up(&mut self) -> Result<(), Unkept> {
        if self.uncommitted == 0 {
            return Ok(());
        }
        let callback = Callback::Terminate;
        let mut snapshot = self.snapshot(callback)?;
        let mut nudge = Nudge::none();
        let epoch = self.epoch;
        self.logical.cell.commit(epoch, |record| record.keep(&mut snapshot, epoch, callback, &mut nudge))?;
        self.cx.version += 1;
        self.uncommitted = 0;
        drop_quietly(snapshot);
        nudge.ring();
        Ok(())
    }

    /// A snapshot of the working copy.
    #[inline]
    pub(super) fn snapshot(&mut self, callback: Callback) -> Result<Option<SharedSnapshot<S>>, Unkept> {
        let began = self.snapshot_begins();
        // What needs no drop holds no replies.
        let cloned = || if mem::needs_drop::<Snapshot<S>>() { reply::cloned_here() } else { 0 };
        let before = cloned();
        let (state, mut spare) = (&mut *self.state, self.spare.take());
        // The spare is not given to what may panic: it must not be dropped while that unwinds (K3).
        let slot = spare.as_mut().and_then(SharedSnapshot::<S>::get_mut);
        let taken = catch(|| match slot {
            Some(slot) => {
                state.snapshot_into(slot);
                None
            }
            None => Some(SharedSnapshot::<S>::new(state.snapshot())),
        });
        let snapshot = match taken {
            Ok(None) => spare,
            Ok(fresh) => {
                drop_quietly(spare);
                fresh
            }
            Err(payload) => {
                drop_quietly(spare);
                let report = CrashReport::of_panic(payload.as_any(), self.place(callback));
                return Err(Unkept::Crashed(report));
            }
        };
        self.snapshot_ends(began);
        self.fresh_holds_replies = cloned() != before;
        Ok(snapshot)
    }

    /// A snapshot was committed. Lets go of the one that is not kept any more, or saves it for the next one to be written into.
    /// Where it may hold replies it goes at once: as long as it is about, nobody can tell that such a reply was dropped.
    #[inline]
    pub(super) fn kept(&mut self, retired: Option<SharedSnapshot<S>>, calls_are_open: bool) {
        self.cx.version += 1;
        self.uncommitted = 0;
        let held_replies = mem::replace(&mut self.kept_holds_replies, self.fresh_holds_replies);
        if held_replies || calls_are_open || self.logical.options.poison != Poison::Stop {
            drop_quietly(retired);
        } else {
            *self.spare = retired;
        }
    }
}
