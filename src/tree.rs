//! Supervision trees: who starts whom, in which order, and what is done when somebody ends.
//!
//! A [`Branch`](branch::Branch) is a supervisor of whatever kind. Its *children* ([`Child`]) are servers, tasks and other
//! branches; its *manager* is the one task that starts, stops and restarts them, as [`plan`](crate::plan) decides. Children
//! tell their parent of their ends by way of their [`Lineage`], which a transfer changes.

mod branch;
mod child;
mod child_spec;
mod children;
mod dynamic;
mod handle;
mod manager;
mod partition;
mod roster;
mod rules;
mod supervisor;
mod task;
mod transfer;
mod view;

pub(crate) use self::{
    child::{Child, Lineage, News, Until},
    children::Care,
};
pub use self::{
    child_spec::ChildSpec,
    dynamic::{DynamicSupervisor, DynamicSupervisorRef},
    handle::{ChildCount, ChildInfo, SupervisorGuard},
    partition::{PartitionSupervisor, PartitionSupervisorRef},
    supervisor::{Supervisor, SupervisorRef},
    transfer::Adopt,
    view::{ChildKind, Tree, TreeNode},
};
