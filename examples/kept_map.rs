//! A shop whose stock is large, changes an article at a time, and survives every crash.
//!
//! What it teaches: a state is kept after each callback, and a `HashMap` is kept by copying all of it. A `KeptMap` knows what
//! changed, and copies that. It is used like std's map; the one thing to know is that a struct of such collections needs
//! [`preserve_fields!`] in the place of `#[derive(Clone)]`.
//!
//! Run it with `cargo run --release --example kept_map`. Every step is printed and asserted.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{
    collections::HashMap,
    error::Error,
    time::{Duration, Instant},
};

use undying::{
    Context, GenServer, Never, Next, Outcome, Reply, ServerSpec, StateMut,
    collections::{KeptDeque, KeptMap},
    preserve_fields,
};

/// How many articles there are.
const ARTICLES: u32 = 200_000;

/// How many sales are timed.
const SALES: u32 = 300;

/// What both kinds of shop have: pieces by article.
trait Stock: Clone + Send + Sync + 'static {
    fn pieces(&mut self, article: u32) -> Option<&mut u32>;
    fn sold(&mut self, article: u32);
}

/// As one would write it for std: each commit copies it.
#[derive(Clone)]
struct Plain {
    pieces: HashMap<u32, u32>,
    receipts: Vec<u32>,
}

/// The same, of collections that know what changed: each commit copies that.
struct Kept {
    pieces: KeptMap<u32, u32>,
    receipts: KeptDeque<u32>,
}

preserve_fields!(Kept { pieces, receipts });

impl Stock for Plain {
    fn pieces(&mut self, article: u32) -> Option<&mut u32> {
        self.pieces.get_mut(&article)
    }

    fn sold(&mut self, article: u32) {
        self.receipts.push(article);
    }
}

impl Stock for Kept {
    fn pieces(&mut self, article: u32) -> Option<&mut u32> {
        self.pieces.get_mut(&article)
    }

    fn sold(&mut self, article: u32) {
        self.receipts.push_back(article);
    }
}

struct Shop<T>(std::marker::PhantomData<fn() -> T>);

impl<T> Clone for Shop<T> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

/// Sells one piece; the answer is how many are left.
struct Sell(u32, Reply<u32>);

impl<T: Stock> GenServer for Shop<T> {
    type State = T;
    type Call = Sell;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn handle_call(
        &mut self,
        Sell(article, reply): Sell,
        mut stock: StateMut<'_, Self>,
        _cx: &mut Context<Self>,
    ) -> Outcome<Self> {
        stock.sold(article); //                                          taken back if there is none
        let pieces = stock.pieces(article).ok_or("no such article").map_err(undying::Crash::msg)?;
        *pieces = pieces.checked_sub(1).ok_or("sold out").map_err(undying::Crash::msg)?;
        reply.send(*pieces);
        Ok(Next::Wait)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let pieces: HashMap<u32, u32> = (0..ARTICLES).map(|article| (article, 1000)).collect();

    let plain = Plain { pieces: pieces.clone(), receipts: Vec::new() };
    let (plain_took, plain) = sell(plain).await?;
    println!("std's map:  {plain_took:>9.1?} a sale, with {ARTICLES} articles in stock");

    let kept = Kept { pieces: pieces.into(), receipts: KeptDeque::new() };
    let (kept_took, kept) = sell(kept).await?;
    println!("a KeptMap:  {kept_took:>9.1?} a sale");

    assert_eq!(kept.pieces, plain.pieces);
    assert_eq!(kept.receipts, plain.receipts);
    println!("both shops have the same left, and the same receipts");
    assert!(kept_took * 2 < plain_took, "{kept_took:?} against {plain_took:?}");
    Ok(())
}

/// Makes the sales, with a crash every now and then. Returns what the median one took, and what is kept at the end.
async fn sell<T: Stock>(stock: T) -> Result<(Duration, T), Box<dyn Error>> {
    let shop = ServerSpec::new(Shop(std::marker::PhantomData), stock).start().await?;
    let mut took = Vec::new();
    for sale in 0..SALES {
        let article = sale * 7919 % ARTICLES;
        let began = Instant::now();
        assert_eq!(shop.call(|reply| Sell(article, reply)).await?, 999);
        took.push(began.elapsed());
        if sale % 100 == 99 {
            assert!(shop.call(|reply| Sell(ARTICLES, reply)).await.is_err(), "there is no such article");
        }
    }
    took.sort();
    assert_eq!(shop.peek().version(), u64::from(SALES), "what crashed was not kept");
    let exit = shop.stop().await?;
    Ok((took[took.len() / 2], T::clone(&exit.state)))
}
