//! A build with `panic = "abort"`: the first server says, once, that no panic will be survived; errors and kills are; and a panic
//! ends the process.

use std::{
    env, io,
    process::{Command, ExitCode},
    sync::{Arc, Mutex},
};

use undying::{CallError, Context, Crash, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut};

#[derive(Clone)]
struct Counter;

enum Ask {
    Add(Reply<u64>),
    Fail(Reply<u64>),
    Panic(Reply<u64>),
}

impl GenServer for Counter {
    type State = u64;
    type Call = Ask;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        ask: Ask,
        mut sum: StateMut<'_, Self>,
        _: &mut Context<Self>,
    ) -> Outcome<Self> {
        *sum += 1;
        match ask {
            Ask::Add(reply) => reply.send(*sum),
            Ask::Fail(_reply) => return Err(Crash::msg("failed")),
            Ask::Panic(_reply) => panic!("the end"),
        }
        Ok(Next::Wait)
    }
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl io::Write for Said {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics").write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    assert!(cfg!(panic = "abort"), "this is to be built with `panic = \"abort\"`");
    let said = Said::default();
    let writer = said.clone();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
    let told = || {
        let said = String::from_utf8(said.0.lock().expect("nobody panics").clone()).expect("text");
        said.lines().filter(|line| line.contains("panic = \"abort\"")).count()
    };

    assert_eq!(told(), 0);
    let counter = ServerSpec::new(Counter, 0).start().await.expect("it starts");
    assert_eq!(told(), 1, "the first start says so");
    drop(ServerSpec::new(Counter, 0).start().await.expect("it starts"));
    assert_eq!(told(), 1, "and no other");

    if env::args().nth(1).as_deref() == Some("panic") {
        let answer = counter.call(Ask::Panic).await;
        println!("survived: {answer:?}");
        return ExitCode::SUCCESS;
    }

    assert_eq!(counter.call(Ask::Add).await.expect("an answer"), 1);
    let failed = counter.call(Ask::Fail).await;
    assert!(matches!(failed, Err(CallError::Crashed(_))), "{failed:?}");
    counter.wait_incarnation(2).await.expect("an error is survived");
    assert_eq!(counter.call(Ask::Add).await.expect("an answer"), 2);
    counter.kill_worker();
    counter.wait_incarnation(3).await.expect("a kill is survived");
    assert_eq!(counter.call(Ask::Add).await.expect("an answer"), 3);

    let panics =
        Command::new(env::current_exe().expect("this program")).arg("panic").output().expect("it runs");
    assert!(!panics.status.success() && panics.stdout.is_empty(), "a panic was survived: {panics:?}");
    println!("panic = \"abort\": said so once, survived an error and a kill, ended with a panic");
    ExitCode::SUCCESS
}
