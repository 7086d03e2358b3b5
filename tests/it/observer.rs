//! The web page that shows the servers: what it shows, who may look, what its buttons do, and that nothing is left of it.

#![expect(clippy::unwrap_used, reason = "what is not there fails the test where it is looked for")]

mod access;
mod client;
mod ending;
mod events;
mod orders;
mod page;
mod tree;

use undying::{ServerSpec, Supervisor, SupervisorRef};

use crate::crash::script::Script;

fn clerk(id: &str) -> ServerSpec<Script<u64>> {
    ServerSpec::new(Script::new(), 0).id(id)
}

async fn shop() -> SupervisorRef {
    let shop = Supervisor::builder().id("shop").child(clerk("till")).child(clerk("stock"));
    shop.start().await.expect("a tree that nothing is wrong with starts")
}
