//! What is recorded of operations, and models of one's own.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use undying::{
    CallError, Next, Reply,
    chaos::history::{Counter, CounterOp, Fate, History, Model},
};

use crate::{
    crash::script::{Job, add, asked, boom, get, slow, soon, start},
    support::Gate,
};

both! {
    /// What an error says of an operation is what is recorded of it.
    async fn errors_are_recorded_as_what_they_mean() {
        let history = History::<Counter>::new();
        let client = history.client();
        let record = |answer: &Result<u64, CallError>| {
            client.invoke(CounterOp::Get).answered(answer);
            client.invoke(CounterOp::Get).kept(answer);
            let fates = history.operations().into_iter().rev().take(2).map(|operation| operation.fate);
            fates.map(|fate| match fate {
                Fate::Returned { .. } => "returned",
                Fate::Failed => "failed",
                Fate::Unknown => "unknown",
            }).collect::<Vec<_>>()
        };
        let server = start(0).await;
        // The later one comes first: that of `kept`.
        assert_eq!(record(&soon(server.call(get)).await), ["returned", "returned"]);
        let crashed = soon(server.call(asked(boom()))).await.map(|()| 0);
        assert!(matches!(crashed, Err(CallError::Crashed(_))));
        assert_eq!(record(&crashed), ["failed", "unknown"]);
        let gate = Gate::new();
        let late = server.call(hold(&gate)).timeout(Duration::from_millis(1)).await;
        assert_eq!(record(&late), ["unknown", "unknown"]);
        gate.open();
        server.kill();
        soon(server.stopped()).await;
        let gone = soon(server.call(get)).await;
        assert!(matches!(gone, Err(CallError::NoProc)));
        assert_eq!(record(&gone), ["failed", "failed"]);
    }

    /// A call whose future is dropped may happen all the same, and is not taken to have failed.
    async fn an_operation_that_is_given_up_may_have_happened() {
        let history = History::<Counter>::new();
        let server = start(0).await;
        let client = history.client();
        let gate = Gate::new();
        let held = gate.clone();
        let given_up = async {
            let pending = client.invoke(CounterOp::Add(1));
            pending.answered(&server.call(move |reply| slow(move |mut total, _| {
                Box::pin(async move {
                    held.pass().await;
                    *total += 1;
                    reply.send(*total);
                    Ok(Next::Wait)
                })
            })).await);
        };
        tokio::select! {
            () = given_up => panic!("it is held"),
            () = gate.arrived() => {}
        }
        gate.open();
        let reading = client.invoke(CounterOp::Get);
        reading.answered(&soon(server.call(get)).await);
        assert_eq!(*server.peek(), 1);
        assert!(matches!(history.operations()[0].fate, Fate::Unknown));
        history.check(&Counter::default()).expect("linearizable");
    }
}

/// Waits at `gate` before it answers.
fn hold(gate: &Gate) -> impl FnOnce(Reply<u64>) -> Job<u64> + use<> {
    let gate = gate.clone();
    move |reply| {
        slow(move |total, _| {
            Box::pin(async move {
                gate.pass().await;
                reply.send(*total);
                Ok(Next::Wait)
            })
        })
    }
}

/// A model of one's own: a map, all keys in one history.
struct Map;

#[derive(Debug, Clone, PartialEq)]
enum MapOp {
    Put(&'static str, u64),
    Take(&'static str),
}

impl Model for Map {
    type State = BTreeMap<&'static str, u64>;
    type Op = MapOp;
    type Ret = Option<u64>;

    fn init(&self) -> Self::State {
        BTreeMap::new()
    }

    fn apply(&self, map: &mut Self::State, op: &MapOp) -> Option<u64> {
        match op {
            MapOp::Put(key, value) => map.insert(key, *value),
            MapOp::Take(key) => map.remove(key),
        }
    }
}

/// Any sequential program will do for a model.
#[test]
fn a_model_of_ones_own_is_checked_as_those_of_the_crate() {
    let history = History::<Map>::new();
    let (anna, ben) = (history.client(), history.client());
    let putting = anna.invoke(MapOp::Put("tea", 3));
    let taking = ben.invoke(MapOp::Take("tea"));
    anna.invoke(MapOp::Put("milk", 1)).returned(None);
    taking.returned(Some(3));
    putting.returned(None);
    history.check(&Map).expect("linearizable");
    anna.invoke(MapOp::Take("tea")).failed();
    ben.invoke(MapOp::Take("tea")).returned(Some(3));
    let violation = history.check(&Map).expect_err("it is taken twice");
    assert!(violation.to_string().contains("client 1  Take(\"tea\") → Some(3)"), "{violation}");
    assert_eq!((violation.culprits(), violation.others()), (2, 2), "{violation}");
}

/// What has not returned yet is part of the history: a check in between is good, too.
#[test]
fn a_history_can_be_checked_while_it_goes_on() {
    let history = History::<Counter>::default();
    let client = history.client();
    let pending = client.invoke(CounterOp::Add(2));
    client.invoke(CounterOp::Get).returned(2);
    let same = history.clone();
    same.check(&Counter::default()).expect("linearizable");
    client.invoke(CounterOp::Get).returned(2);
    pending.returned(2);
    history.check(&Counter::default()).expect("linearizable");
    assert!(history.check(&Counter::starting_at(1)).is_err());
    assert_eq!(same.operations(), history.operations());
}

/// Clients on many threads at a time: stamps are unique, and each client's own are in its order.
#[test]
fn stamps_order_what_happened_after_each_other() {
    let history = History::<Counter>::new();
    let total = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let client = history.client();
                for _ in 0..5_000 {
                    let pending = client.invoke(CounterOp::Add(1));
                    pending.returned(total.fetch_add(1, Ordering::AcqRel) + 1);
                }
            });
        }
    });
    let operations = history.operations();
    assert_eq!(operations.len(), 20_000);
    assert!(operations.is_sorted_by(|a, b| a.invoked < b.invoked));
    history.check(&Counter::default()).expect("linearizable");
}

/// `add` answers the new total, as the model has it.
#[tokio::test]
async fn the_counter_of_the_other_tests_is_one() {
    let server = start(0).await;
    let history = History::<Counter>::new();
    let client = history.client();
    for _ in 0..3 {
        let pending = client.invoke(CounterOp::Add(1));
        pending.kept(&soon(server.call(add)).await);
    }
    history.check(&Counter::default()).expect("linearizable");
    assert!(format!("{history:?} {client:?} {:?}", client.invoke(CounterOp::Get)).contains("Pending"));
}
