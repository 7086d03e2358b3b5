//! A calculator that divides by zero, and the caller sees why.
//!
//! What it teaches:
//!
//! * handlers hold no error handling: `/` panics, `?` fails, and both are a crash of that one callback;
//! * only who asked the bad question is told, at once, by a [`CrashReport`](undying::CrashReport): what went wrong, how,
//!   where, and which version of the state the server went back to. In OTP the caller would crash along;
//! * whoever stood in line behind it is answered as if nothing had happened;
//! * a server that does nothing but crash is given up after as many restarts as it was allowed. Its last state and the
//!   reason can still be read.
//!
//! Run it with `cargo run --example divide_by_zero`. The panic messages in between come from Rust's default panic hook.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{error::Error, time::Duration};

use futures::future::join_all;
use undying::{
    CallError, Callback, Context, Crash, CrashKind, ExitReason, GenServer, Never, Next, Outcome, Reply,
    ServerSpec, StateMut,
};

#[derive(Clone)]
struct Calculator;

/// A question such as `"84 / 2"`.
struct Ask(&'static str, Reply<i64>);

impl GenServer for Calculator {
    type State = u32; // How many questions it has answered.
    type Call = Ask;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        Ask(question, reply): Ask,
        mut answered: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        *answered += 1; // Too early, but a crash takes it back.
        let (dividend, divisor) = question.split_once(" / ").ok_or_else(|| Crash::msg("not a division"))?;
        reply.send(dividend.parse::<i64>()? / divisor.parse::<i64>()?);
        Ok(Next::Wait)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let spec = ServerSpec::new(Calculator, 0).max_restarts(4, Duration::from_secs(60));
    let calculator = spec.start().await?;
    let ask = |question| calculator.call(move |reply| Ask(question, reply));

    assert_eq!(ask("84 / 2").await?, 42);
    println!("1. 84 / 2 = 42");

    let Err(CallError::Crashed(report)) = ask("1 / 0").await else { panic!("nobody can divide by zero") };
    assert_eq!(report.message(), "attempt to divide by zero");
    assert_eq!((report.kind(), report.callback()), (CrashKind::Panic, Callback::Call));
    assert_eq!((report.incarnation(), report.version()), (1, 1));
    println!("2. 1 / 0: {report}");

    let Err(CallError::Crashed(report)) = ask("six / 2").await else { panic!("\"six\" is no number") };
    assert_eq!(report.message(), "invalid digit found in string");
    assert_eq!((report.kind(), report.incarnation()), (CrashKind::Error, 2));
    println!("3. six / 2: {report}");

    // All of them are in line before the first is answered; the bad one does not harm the others.
    let answers = join_all(["8 / 2", "9 / 3", "10", "12 / 6", "-7 / 7"].map(ask)).await;
    let answers: Vec<_> = answers.into_iter().map(Result::ok).collect();
    assert_eq!(answers, [Some(4), Some(3), None, Some(2), Some(-1)]);
    assert_eq!(*calculator.peek(), 5);
    println!("4. five at once, one of them bad: {answers:?}, {} answered in all", *calculator.peek());

    // It has crashed three times, and may do so once more. The crash after that ends it.
    for question in ["1 / 0", "2 / 0"] {
        assert!(matches!(ask(question).await, Err(CallError::Crashed(_))));
    }
    let exit = calculator.stopped().await;
    let ExitReason::RestartLimit(last) = &exit.reason else { panic!("ended by {}", exit.reason) };
    assert_eq!(last.incarnation(), 5);
    assert_eq!(*exit.state, 5);
    println!("5. five crashes are too many: {}; its state is still {}", exit.reason, *exit.state);

    let error = ask("84 / 2").await.expect_err("it is over");
    assert!(matches!(error, CallError::NoProc) && !error.may_have_run());
    println!("6. 84 / 2: {error}, and the question surely was not asked");
    Ok(())
}
