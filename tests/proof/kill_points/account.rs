//! The books of one pass, and how they have to balance.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use undying::{CallError, Event, ExitReason, Kept, StopError};

use super::{
    stepper::Kill,
    workload::{Book, EFFECTS, OPENS, SPOILED, WAIT},
};

/// What the sender of a number was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was entered, and then there were so many entries.
    Acknowledged(usize),
    /// It waits in the mailbox, and will be handled unless the server ends, or is killed in the middle of it.
    Queued,
    /// It is not entered.
    Refused,
    /// The server has ended before it could say.
    Unknown,
}

/// What the listener was told.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<Story>);

#[derive(Debug, Default, Clone)]
struct Story {
    starts: usize,
    entries: Vec<u32>,
    version: u64,
    /// The last incarnation has crashed, and the next one does not serve yet.
    is_down: bool,
    incarnation: u64,
    ends: Vec<(ExitReason, Vec<u32>)>,
}

impl Heard {
    pub(super) fn hear(&self, event: &Event<'_, Book>) {
        let mut story = self.0.lock().expect("no listener panics");
        assert!(story.ends.is_empty(), "{event:?} after the end");
        match event {
            Event::Started(started) => {
                story.starts += 1;
                assert_eq!(started.state.entries, story.entries);
            }
            Event::StateChanged(change) => {
                assert_eq!((change.lagged, change.version), (0, story.version + 1), "each change once");
                assert_eq!(change.old.entries, story.entries, "the chain is unbroken");
                story.entries.clone_from(&change.new.entries);
                story.version = change.version;
            }
            Event::Crashed(crash) => {
                story.is_down = true;
                assert_eq!(crash.state.entries, story.entries);
            }
            Event::Restarted(restart) => {
                assert!(story.is_down && restart.incarnation > story.incarnation, "{restart:?} {story:?}");
                (story.is_down, story.incarnation) = (false, restart.incarnation);
            }
            Event::Terminated(end) => {
                story.ends.push((end.reason.clone(), end.state.entries.clone()));
            }
            _ => unreachable!("there are no other events"),
        }
    }
}

pub(super) struct Account {
    pub(super) fates: Vec<(u32, Fate)>,
    /// What came of the stop; `None`: it never started.
    pub(super) stopped: Option<Result<ExitReason, StopError>>,
    pub(super) down: Option<ExitReason>,
    /// What a call after the end was told.
    pub(super) late: Option<CallError>,
    pub(super) last: Option<Kept<Book>>,
    heard: Arc<Heard>,
}

impl Account {
    pub(super) fn new(heard: Arc<Heard>) -> Self {
        Self { fates: Vec::new(), stopped: None, down: None, late: None, last: None, heard }
    }

    /// Whether everything went as if nothing had happened.
    pub(super) fn assert_complete(&self) {
        let refused = |(_, fate): &&(u32, Fate)| matches!(fate, Fate::Refused | Fate::Unknown);
        let refused: Vec<_> = self.fates.iter().filter(refused).collect();
        assert_eq!(refused, [&(SPOILED, Fate::Refused)]);
        let last = self.last.as_ref().expect("it has started");
        assert_eq!(last.entries.len(), self.fates.len() - refused.len() + EFFECTS.len());
    }

    /// Checks everything that has to hold after these kills.
    pub(super) fn balance(&self, struck: &[Kill], what: impl Fn() -> String) {
        let survived = struck.iter().all(|kill| kill.is_survived());
        let story =
            self.heard.0.lock().unwrap_or_else(|_| panic!("{}: the listener panicked", what())).clone();
        let Some(last) = &self.last else {
            assert!(!struck.is_empty(), "{}: it starts", what());
            assert_eq!(story.starts, story.ends.len(), "{}: {story:?}", what());
            return;
        };
        let entries = &last.entries;
        // Listeners: an unbroken chain, and exactly one end.
        assert_eq!((story.starts, story.ends.len()), (1, 1), "{}: {story:?}", what());
        assert_eq!((&story.entries, story.version), (entries, last.version()), "{}", what());
        let (reason, end) = &story.ends[0];
        assert_eq!(end, entries, "{}", what());
        assert!(!survived || !story.is_down, "{}: {story:?}", what());
        // The end is an answer, to everyone the same.
        let reasons = [Some(reason), self.down.as_ref()];
        let fits = |reason: &ExitReason| match survived {
            true => matches!(reason, ExitReason::Normal),
            false => matches!(reason, ExitReason::Killed | ExitReason::Normal | ExitReason::NoProc),
        };
        assert!(reasons.into_iter().flatten().all(fits), "{}: {reason} {:?}", what(), self.down);
        match &self.stopped {
            Some(Ok(reason)) => assert!(fits(reason), "{}: {reason}", what()),
            stopped => assert!(!survived, "{}: {stopped:?}", what()),
        }
        let told = &self.late;
        assert!(matches!(told, Some(CallError::NoProc | CallError::Stopped(_))), "{}: {told:?}", what());
        self.check_entries(entries, last.sum, struck, survived, what);
    }

    fn check_entries(
        &self,
        entries: &[u32],
        sum: u32,
        struck: &[Kill],
        survived: bool,
        what: impl Fn() -> String,
    ) {
        assert_eq!(entries.iter().sum::<u32>(), sum, "{}: {entries:?}", what());
        let mut places = BTreeMap::new();
        for (place, number) in entries.iter().enumerate() {
            let before = places.insert(*number, place + 1);
            assert!(before.is_none(), "{}: {number} is there twice: {entries:?}", what());
        }
        let mut missing = 0;
        for &(number, fate) in &self.fates {
            let place = places.get(&number).copied();
            match fate {
                // A deferred answer says how many there were when it was given.
                Fate::Acknowledged(count) if number == WAIT => {
                    let answered = OPENS.iter().any(|open| places.get(open) == Some(&count));
                    assert!(place.is_some() && answered, "{}: {number} {entries:?}", what());
                }
                Fate::Acknowledged(count) => {
                    assert_eq!(place, Some(count), "{}: {number} is kept where it was: {entries:?}", what());
                }
                Fate::Refused => {
                    assert_eq!(place, None, "{}: {number} is not applied: {entries:?}", what());
                    missing += usize::from(number != SPOILED);
                }
                Fate::Queued => missing += usize::from(place.is_none()),
                Fate::Unknown => assert!(!survived, "{}: {number} is answered", what()),
            }
        }
        for (cause, effect) in EFFECTS {
            let is_due = self
                .fates
                .iter()
                .any(|fate| matches!(fate, (number, Fate::Acknowledged(_)) if *number == cause));
            missing += usize::from(is_due && !places.contains_key(&effect));
            assert!(
                places.contains_key(&cause) || !places.contains_key(&effect),
                "{}: {effect} comes of nothing: {entries:?}",
                what()
            );
        }
        if survived {
            let workers = struck.iter().filter(|kill| **kill == Kill::Worker).count();
            assert!(
                missing <= workers,
                "{}: {missing} are lost to {workers} kills: {entries:?} {:?}",
                what(),
                self.fates
            );
        }
        for sender in [1, 2, 3, 6, 7] {
            let own: Vec<_> = entries.iter().filter(|number| **number / 100 == sender).collect();
            assert!(own.is_sorted(), "{}: {own:?} are out of order", what());
        }
    }
}
