//! A small shop as a tree: four supervisors, each with its own strategy, and what each of them does about a death.
//!
//! What it teaches:
//!
//! * a crash is no matter for the tree. The next incarnation goes on with the kept state, and nobody else hears of it;
//! * an *end* is: a kill, or a crash too many. The strategy of the supervisor then says who begins anew: the one, the one
//!   and those that were started after it, or all;
//! * who begins anew begins afresh, unless `preserve_on_escalation` says otherwise;
//! * a supervisor that has to restart too often gives up, and is restarted as a whole by the one above it;
//! * a `ServerRef` that was taken before is as good as ever after all of it;
//! * a tree shows itself: as text, for Graphviz and for Mermaid.
//!
//! Run it with `cargo run --example supervision_tree`. Every step is printed and asserted.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{error::Error, time::Duration};

use tokio::time::sleep;
use undying::{
    CallError, Context, Crash, DynamicSupervisor, GenServer, Never, Next, Outcome, Reply, ServerRef,
    ServerSpec, StateMut, Status, Strategy, Supervisor, SupervisorRef, TreeNode,
};

/// Somebody at work. The state is how many customers were served.
#[derive(Clone)]
struct Clerk;

struct Serve(Customer, Reply<u32>);

enum Customer {
    Polite,
    Rude,
}

impl GenServer for Clerk {
    type State = u32;
    type Call = Serve;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        Serve(customer, reply): Serve,
        mut served: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        *served += 1;
        if matches!(customer, Customer::Rude) {
            return Err(Crash::msg("that was too much"));
        }
        reply.send(*served);
        Ok(Next::Wait)
    }
}

fn clerk(id: &str) -> ServerSpec<Clerk> {
    ServerSpec::new(Clerk, 0).id(id)
}

fn shop() -> Supervisor {
    // The printer prints what the till says, the till asks the bank: who depends on whom comes after it.
    let checkout = Supervisor::builder()
        .id("checkout")
        .strategy(Strategy::RestForOne)
        .child(clerk("bank"))
        .child(clerk("till"))
        .child(clerk("printer"));
    // A parcel is packed by one and labelled by the other: half of them is of no use.
    let dispatch = Supervisor::builder()
        .id("dispatch")
        .strategy(Strategy::OneForAll)
        .max_restarts(1, Duration::from_secs(60))
        .child(clerk("packer"))
        .child(clerk("labeller"));
    // Nobody knows beforehand who will help out today.
    let helpers = DynamicSupervisor::builder().id("helpers");
    Supervisor::builder()
        .id("shop")
        .strategy(Strategy::OneForOne)
        .child(clerk("stock").preserve_on_escalation(true))
        .child(checkout)
        .child(dispatch)
        .child(helpers)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let shop = shop().start().await?;
    let checkout = shop.supervisor("checkout").expect("it is a child");
    let dispatch = shop.supervisor("dispatch").expect("it is a child");
    let helpers = shop.dynamic_supervisor("helpers").expect("it is a child");
    let [stock, bank, till, printer, packer, labeller] = [
        (&shop, "stock"),
        (&checkout, "bank"),
        (&checkout, "till"),
        (&checkout, "printer"),
        (&dispatch, "packer"),
        (&dispatch, "labeller"),
    ]
    .map(|(supervisor, id)| supervisor.server::<Clerk>(id).expect("it is a child"));
    let (polite, rude) = (|reply| Serve(Customer::Polite, reply), |reply| Serve(Customer::Rude, reply));
    let anna = helpers.start_child(clerk("anna")).await?;
    let ben = helpers.start_child(clerk("ben")).await?;
    for clerk in [&stock, &bank, &till, &printer, &packer, &labeller, &anna, &ben] {
        assert_eq!(clerk.call(polite).await?, 1);
    }
    println!("The shop opens:\n\n{}\n", shop.tree());

    assert!(matches!(bank.call(rude).await, Err(CallError::Crashed(_))));
    assert_eq!((bank.call(polite).await?, bank.incarnation()), (2, 2));
    assert_eq!(restarted(&shop), [""; 0]);
    println!("1. a crash: bank is served by incarnation 2, the state is kept, the tree has not heard of it");

    kill(&stock, &shop).await;
    assert_eq!(restarted(&shop), ["stock"]);
    assert_eq!(stock.call(polite).await?, 2, "it is to be preserved");
    println!("2. one_for_one: stock ended, and stock alone was restarted; its state is preserved");

    kill(&till, &shop).await;
    assert_eq!(restarted(&shop), ["stock", "till", "printer"]);
    assert_eq!([*bank.peek(), *till.peek(), *printer.peek()], [2, 0, 0], "they begin afresh");
    println!("3. rest_for_one: till ended, and printer with it; bank, which came before, was left alone");

    kill(&packer, &shop).await;
    assert_eq!(restarted(&shop), ["stock", "till", "printer", "packer", "labeller"]);
    println!("4. one_for_all: packer ended, and labeller with it");

    kill(&labeller, &shop).await;
    assert_eq!(restarted(&shop), ["stock", "till", "printer", "dispatch"]);
    println!(
        "5. escalation: that was once too often in a minute; dispatch gave up, and the shop restarted it"
    );

    kill(&anna, &shop).await;
    ben.stop().await?;
    let names: Vec<_> = helpers.children().into_iter().map(|child| child.id).collect();
    assert_eq!(names, ["anna"]);
    println!("6. dynamic: anna ended and was restarted; ben went home and is forgotten");

    for clerk in [&stock, &bank, &till, &printer, &packer, &labeller, &anna] {
        clerk.call(polite).await?;
    }
    println!("7. and every reference from before is still good\n");

    let tree = shop.tree();
    println!("The shop closes:\n\n{tree}\n\n{}\n\n{}", tree.to_dot(), tree.to_mermaid());
    shop.stop().await?;
    assert!(!anna.is_alive() && !stock.is_alive());
    Ok(())
}

/// Ends a clerk, and waits until everybody in the shop is at work again.
async fn kill(clerk: &ServerRef<Clerk>, shop: &SupervisorRef) {
    fn is_running(node: &TreeNode) -> bool {
        node.status == Status::Running && node.children.iter().all(is_running)
    }
    let next = clerk.incarnation() + 1;
    clerk.kill();
    assert_eq!(clerk.wait_incarnation(next).await.ok(), Some(next));
    while !is_running(shop.tree().root()) {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Who was restarted by the supervisor above, from the top of the tree to its bottom.
fn restarted(shop: &SupervisorRef) -> Vec<String> {
    fn collect(node: &TreeNode, found: &mut Vec<String>) {
        found.extend((node.restarts > 0).then(|| node.id.clone()));
        node.children.iter().for_each(|child| collect(child, found));
    }
    let mut found = Vec::new();
    collect(shop.tree().root(), &mut found);
    found
}
