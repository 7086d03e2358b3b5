//! How a supervisor looks after its children.

use std::time::Duration;

use crate::{
    error::StartError,
    plan::{AutoShutdown, Strategy},
    restart::Backoff,
};

#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// `None`: the children come and go, in no order.
    pub(crate) strategy: Option<Strategy>,
    pub(crate) auto_shutdown: AutoShutdown,
    pub(crate) max_children: usize,
    pub(crate) max_restarts: u32,
    pub(crate) within: Duration,
    pub(crate) backoff: Option<Backoff>,
}

impl Rules {
    /// Refuses what makes no sense.
    pub(super) fn check(&self) -> Result<(), StartError> {
        let Self { strategy: _, auto_shutdown: _, max_children: _, max_restarts: _, within, backoff } = self;
        if within.is_zero() {
            return Err(StartError::Config(
                "the window of max_restarts is zero: no end would ever count".into(),
            ));
        }
        if backoff.is_some_and(|backoff| backoff.min > backoff.max) {
            return Err(StartError::Config("the back-off has a minimum above its maximum".into()));
        }
        Ok(())
    }
}
