//! A key-value store behind functions: its users never see a message.
//!
//! What it teaches:
//!
//! * the messages are private. A handle with plain `async fn`s is what the others use, as in any OTP application;
//! * a missing key is not an error: the answer is `None`. An `Err` always means that the server had no answer;
//! * a caller may even send code. If that panics half-way, its own call fails, and the store is as it was before.
//!
//! Run it with `cargo run --example key_value`. Every step is printed and asserted. The panic message in between comes
//! from Rust's default panic hook; it is the crash of step 4.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{collections::BTreeMap, error::Error};

use undying::{
    CallError, Context, GenServer, Never, Next, Outcome, Reply, ServerRef, ServerSpec, StartError, StateMut,
};

/// The handle.
#[derive(Clone)]
struct KeyValue(ServerRef<Server>);

impl KeyValue {
    async fn start() -> Result<Self, StartError> {
        ServerSpec::new(Server, BTreeMap::new()).start().await.map(Self)
    }

    /// Stores `value` and gives back what it replaces.
    async fn put(&self, key: &str, value: u32) -> Result<Option<u32>, CallError> {
        self.0.call(|reply| Call::Put(key.into(), value, reply)).await
    }

    async fn get(&self, key: &str) -> Result<Option<u32>, CallError> {
        self.0.call(|reply| Call::Get(key.into(), reply)).await
    }

    /// Changes a value in place and gives back the new one.
    async fn update(
        &self,
        key: &str,
        change: impl FnOnce(&mut u32) + Send + 'static,
    ) -> Result<Option<u32>, CallError> {
        self.0.call(|reply| Call::Update(key.into(), Box::new(change), reply)).await
    }

    async fn remove(&self, key: &str) -> Result<Option<u32>, CallError> {
        self.0.call(|reply| Call::Remove(key.into(), reply)).await
    }

    async fn keys(&self) -> Result<Vec<String>, CallError> {
        self.0.call(Call::Keys).await
    }
}

#[derive(Clone)]
struct Server;

enum Call {
    Put(String, u32, Reply<Option<u32>>),
    Get(String, Reply<Option<u32>>),
    Update(String, Box<dyn FnOnce(&mut u32) + Send>, Reply<Option<u32>>),
    Remove(String, Reply<Option<u32>>),
    Keys(Reply<Vec<String>>),
}

impl GenServer for Server {
    type State = BTreeMap<String, u32>;
    type Call = Call;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        call: Call,
        mut map: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        match call {
            Call::Put(key, value, reply) => reply.send(map.insert(key, value)),
            Call::Get(key, reply) => reply.send(map.get(&key).copied()),
            Call::Update(key, change, reply) => {
                map.entry(key.clone()).and_modify(change);
                reply.send(map.get(&key).copied());
            }
            Call::Remove(key, reply) => reply.send(map.remove(&key)),
            Call::Keys(reply) => reply.send(map.keys().cloned().collect()),
        }
        Ok(Next::Wait)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let stock = KeyValue::start().await?;
    assert!(stock.keys().await?.is_empty());
    assert_eq!(stock.get("apples").await?, None);
    println!("1. an empty store: no keys, no apples");

    assert_eq!(stock.put("apples", 3).await?, None);
    assert_eq!(stock.put("pears", 5).await?, None);
    assert_eq!(stock.put("pears", 6).await?, Some(5));
    println!("2. 3 apples, 5 pears, and then 6 pears in their place");

    assert_eq!(stock.update("apples", |n| *n *= 2).await?, Some(6));
    assert_eq!(stock.update("plums", |n| *n *= 2).await?, None);
    println!("3. twice as many apples: 6; twice as many plums: there are none");

    let spilt = stock.update("apples", |n| {
        *n = 0;
        panic!("the basket fell over");
    });
    assert!(matches!(spilt.await, Err(CallError::Crashed(_))));
    assert_eq!(stock.get("apples").await?, Some(6));
    println!("4. an update that panics half-way: still 6 apples");

    assert_eq!(stock.remove("pears").await?, Some(6));
    assert_eq!(stock.remove("pears").await?, None);
    assert_eq!(stock.keys().await?, ["apples"]);
    println!("5. the pears are gone, and only once");
    Ok(())
}
