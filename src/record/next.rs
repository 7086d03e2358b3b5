//! What a worker does next: control before continues, continues before messages, and timers and mail in turns (K10).

use tokio::time::Instant;

use super::{Envelope, Record};
use crate::{
    dead_letter::Again,
    exit::Callback,
    gen_server::GenServer,
    job::{Job, WorkerSeat},
    mailbox::{Fetched, Mailbox},
    reply::Claim,
    request::Request,
    timers::Rung,
};

impl<S: GenServer> Record<S> {
    /// Whether no callback is to begin.
    #[inline]
    pub(crate) fn is_held_up(&self) -> bool {
        self.life.suspended || self.feed.holds_up()
    }

    /// Takes the next thing to do that needs no waiting, and puts it in hand.
    #[inline]
    pub(crate) fn next_job(&mut self) -> Option<Job<S>> {
        if !self.is_all_mail() {
            return self.first_of_all();
        }
        if self.batch.is_empty() { None } else { self.mail() }
    }

    /// Whether there is nothing to do but what comes by mail.
    #[inline]
    pub(crate) fn is_all_mail(&self) -> bool {
        self.extras.is_none()
            && self.continues.is_empty()
            && self.stopping.is_none()
            && self.idle_until.is_none()
            && !self.is_held_up()
    }

    /// Takes the next `job`, as far as that is known without looking at the clock. Tells whether the worker is to sleep, since there
    /// is nothing to do: then the mailbox knows whom to wake.
    #[inline]
    pub(crate) fn go_on(
        &mut self,
        job: &mut Option<Job<S>>,
        mailbox: &Mailbox<Envelope<S>, WorkerSeat>,
        seat: &WorkerSeat,
    ) -> bool {
        *job = self.next_job();
        if job.is_none() && self.is_all_mail() {
            match mailbox.fetch(&mut self.batch, seat) {
                Fetched::Messages => *job = self.next_job(),
                Fetched::Nothing => return true,
                Fetched::Closed(_) => {}
            }
        }
        false
    }

    fn first_of_all(&mut self) -> Option<Job<S>> {
        if let Some(Request { wish, claim }) =
            self.extras.as_mut().and_then(|extras| extras.requests.pop_front())
        {
            return Some(self.begin(Callback::System, Some(claim), Job::System(wish)));
        }
        if let Some(reason) = self.stopping.clone() {
            return Some(Job::Stop(reason));
        }
        if self.is_held_up() {
            return None;
        }
        if let Some(next) = self.continues.pop() {
            self.opening_continue = false;
            return Some(self.begin(Callback::Continue, None, Job::Continue(next)));
        }
        if let Some(again) = self.extras.as_mut().and_then(|extras| extras.again.pop_front()) {
            return Some(self.again(again));
        }
        let mail_first = self.extras.as_ref().is_some_and(|extras| extras.mail_is_next);
        let timer = if mail_first { None } else { self.timer() };
        timer.or_else(|| self.mail())
    }

    /// Takes a timer that is due, and puts its message in hand. Neither timers nor mail can starve the other (K10): when both
    /// wait, they take turns.
    pub(crate) fn timer(&mut self) -> Option<Job<S>> {
        let extras = self.extras.as_mut()?;
        // Only who has timers looks at the clock; and who is about to end fires what was due at its last call.
        let now = |_| self.life.last_call.unwrap_or_else(Instant::now);
        let rung = extras.timers.next().map(now).and_then(|now| extras.timers.fire(now))?;
        extras.mail_is_next = true;
        let job = match rung {
            Rung::Once(info) => Job::Timer(info),
            Rung::Tick(maker) => Job::Tick(maker),
        };
        Some(self.message(Callback::Info, None, job))
    }

    /// Takes what is due by now, where there is no mail.
    pub(crate) fn timed_job(&mut self) -> Option<Job<S>> {
        if let Some(timer) = self.timer() {
            return Some(timer);
        }
        self.idle_until.take_if(|until| *until <= Instant::now())?;
        Some(self.begin(Callback::Timeout, None, Job::Timeout))
    }

    #[inline]
    fn mail(&mut self) -> Option<Job<S>> {
        let mut envelope = self.batch.pop_front()?;
        while let Envelope::Own(own) = envelope {
            envelope = *own;
        }
        if let Some(extras) = &mut self.extras {
            extras.mail_is_next = false;
        }
        Some(match envelope {
            Envelope::Call(call, claim) => self.message(Callback::Call, Some(claim), Job::Call(call)),
            Envelope::Cast(cast) => self.message(Callback::Cast, None, Job::Cast(cast)),
            Envelope::Info(info) => self.message(Callback::Info, None, Job::Info(info)),
            Envelope::Notice(notice) if !self.extras().wants(&notice) => Job::Void(notice),
            Envelope::Notice(notice) => self.message(Callback::Info, None, Job::Notice(notice)),
            Envelope::Own(_) => unreachable!("it was opened"),
        })
    }

    /// Puts a message in hand that was run before.
    fn again(&mut self, Again { message, claim, runs }: Again<S>) -> Job<S> {
        let job = self.message(message.callback(), claim, Job::Again(message));
        self.extras().runs = runs;
        job
    }

    /// Puts a message in hand: whoever waited for none to come waits no more.
    #[inline]
    fn message(&mut self, callback: Callback, claim: Option<Claim>, job: Job<S>) -> Job<S> {
        self.idle_until = None;
        self.counters.messages_in += 1;
        self.begin(callback, claim, job)
    }

    /// When there is something to do, if nothing comes before.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let timer = self.extras.as_ref().and_then(|extras| extras.timers.next());
        [self.idle_until, timer].into_iter().flatten().min()
    }
}
