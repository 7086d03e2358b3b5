//! Who pays what, and the goals that are set against the peers.

use crate::{
    contest::{Column, Name},
    server::DISPATCH,
    subject::Flavour,
};

/// One column a workload, one row a contestant.
#[derive(Default)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Column)>,
}

impl Table {
    pub(crate) fn add(&mut self, workload: &'static str, column: Column) {
        self.columns.push((workload, column));
    }

    pub(crate) fn print(&self, flavour: Flavour) {
        print!("\n{:<22}", format!("{}, {:?}, ns", flavour.name(), *DISPATCH));
        for (workload, _) in &self.columns {
            print!("{workload:>9}");
        }
        println!();
        for (name, label) in ROWS {
            if !self.columns.iter().any(|(_, column)| cost(column, name).is_some()) {
                continue;
            }
            print!("{label:<22}");
            for (_, column) in &self.columns {
                match cost(column, name) {
                    Some(cost) => print!("{cost:>9.0}"),
                    None => print!("{:>9}", "-"),
                }
            }
            println!();
        }
        println!("\n{:<46} {:>7} {:>9}", "undying against its peers", "ratio", "bar");
        self.goal("W1", &[Name::Kameo, Name::Ractor], 0.3);
        self.goal("W2", &[Name::Kameo, Name::Ractor], 0.5);
        self.goal("W3", &[Name::Kameo], 0.15);
        self.goal("W4", &[Name::Kameo], 0.15);
        self.goal("W5", &[Name::SupervisedRactor], 0.4);
        self.goal("W6", &[Name::SupervisedKameo, Name::SupervisedRactor], 1.0);
    }

    /// undying is to cost at most `bar` times what each of the others costs.
    fn goal(&self, workload: &str, others: &[Name], bar: f64) {
        let of_workload = self.columns.iter().filter(|(name, _)| *name == workload);
        for (_, column) in of_workload {
            let ours = cost(column, Name::Undying).expect("it takes part in all");
            for &other in others {
                let ratio = ours / cost(column, other).expect("no goal is set against who cannot do it");
                let (_, label) = ROWS.into_iter().find(|(name, _)| *name == other).expect("each has a row");
                let verdict = if ratio <= bar { "held" } else { "NOT held" };
                println!("{:<46} {ratio:>7.2} × {bar:>7.2} ×  {verdict}", format!("{workload} of {label}"));
            }
        }
    }
}

fn cost(column: &Column, name: Name) -> Option<f64> {
    column.iter().find(|(of, _)| *of == name).map(|(_, cost)| *cost)
}

const ROWS: [(Name, &str); 8] = [
    (Name::Raw, "bare channel"),
    (Name::Undying, "undying"),
    (Name::Kameo, "kameo"),
    (Name::SupervisedKameo, "kameo, supervised"),
    (Name::Ractor, "ractor"),
    (Name::SupervisedRactor, "ractor, supervised"),
    (Name::Xtra, "xtra"),
    (Name::Actix, "actix, one thread"),
];
