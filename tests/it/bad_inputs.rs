//! Bad inputs, and what each gets; and hostile use. The table of inputs is that of RELIABILITY.md; where a row of it is shown by tests
//! that are about more than it, these are named here, and not repeated below.
//!
//! | input | where it is shown |
//! | --- | --- |
//! | panic in a callback, any payload | `bombs`, `crash::hostile` |
//! | payload, message, state whose `Drop` panics | `bombs`, `crash::hostile`, `keeper`, `effects::drops`, `regressions::drops`; all at once, and such as use their server: [`drops`] |
//! | panic or error in `init` | `start`, `bombs::bombs_in_init` |
//! | panic in `restarted` | `crash`, `intensity`, `bombs::bombs_in_restarted` |
//! | panic in `terminate` | `stop::terminate`, `bombs::bombs_in_terminate` |
//! | panic in `State::clone` | `crash::hostile`, `effects::commits`, `bombs::bombs_in_clone` |
//! | listeners that panic, sleep, call the server | `listener`, `listener::slow`, `listener::blocking`, `listener::meddling`, `listener::independence` |
//! | a callback that never yields, or awaits for ever | `crash::zombie`, `dispatch`, `crash`, `call` |
//! | 1 GiB; 10⁷ entries | [`giants`], on request |
//! | a full mailbox | `mailbox`, `cast`, `regressions::line`, `regressions::mailboxes` |
//! | capacity 0, window 0, limits of 0 and of `MAX` | `start`, `intensity`, `call`, `timeout`, `timers`, `regressions::limits`; the rest of them: [`bounds`] |
//! | replies: twice, from elsewhere, kept, never | `reply` |
//! | self-calls and circles of calls | `call::itself`, `deadlock`, `regressions::deadlocks` |
//! | crash in every message, on every restart; `t == window` | `intensity`, `tree::escalation` |
//! | names: taken, during a restart, after a stop, 10⁵ of them | `start::names`, `registry::crowds`; of any length and none: [`sizes`] |
//! | stops and kills that meet | `stop`, `stop::races`, `listener::meddling` |
//! | a runtime that is dropped; no runtime; a plain thread | `call::failures`, `regressions::afar`, `regressions::kin`, `tree::runtime_ends`; in every phase: [`runtimes`]; from every place: [`places`] |
//! | children without bound | `tree::dynamic_limits`; that start one another: [`children`] |
//! | clocks at the edge | `timers`, `timeout`; years, and a clock that is stopped in the middle: [`clocks`] |

mod bounds;
mod children;
mod clocks;
mod drops;
mod giants;
mod places;
mod runtimes;
mod sizes;
