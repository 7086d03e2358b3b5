//! What is seen, as JSON: the shapes that the guide's page names.

use std::{collections::HashMap, time::Duration};

use serde::Serialize;

use super::sources::{Root, Sources};
use crate::{
    AnyServerRef, CrashReport, ServerId, Statistics, Status, Strategy, TreeNode, exit::CrashKind,
    tree::ChildKind,
};

/// How much of a text is shown. A crash message may be of any length, and is sent in each period.
const LONGEST: usize = 2_000;

/// What there is to see at one time.
#[derive(Serialize)]
pub(super) struct Picture {
    /// When, in milliseconds since the observer was started: what rates are to be made of.
    pub(super) at_ms: u128,
    pub(super) every_ms: u128,
    pub(super) read_only: bool,
    pub(super) roots: Vec<Node>,
}

/// A supervisor, a server, a task, or a registry with those that are shown nowhere else.
#[derive(Serialize)]
pub(super) struct Node {
    /// Its number, to be used in the address of a request; none of a registry.
    server: Option<String>,
    kind: &'static str,
    id: String,
    name: Option<String>,
    #[serde(rename = "type")]
    type_name: Option<&'static str>,
    strategy: Option<&'static str>,
    status: Option<&'static str>,
    restarts: u64,
    incarnation: u64,
    version: u64,
    uptime_ms: u128,
    statistics: Option<Counted>,
    last_crash: Option<LastCrash>,
    children: Vec<Self>,
}

#[derive(Serialize)]
struct Counted {
    messages_in: u64,
    replies_out: u64,
    commits: u64,
    crashes: u64,
    restarts: u64,
    zombies: u64,
    fenced: u64,
    mailbox_len: usize,
}

#[derive(Serialize)]
struct LastCrash {
    message: String,
    kind: &'static str,
    callback: String,
    incarnation: u64,
    version: u64,
}

impl Picture {
    pub(super) fn take(sources: &Sources, at: Duration, every: Duration, read_only: bool) -> Self {
        let known: HashMap<_, _> = sources.servers().map(|server| (server.id(), server)).collect();
        let node = |seen| Node::of(seen, &known);
        let root = |root| match root {
            Root::Node(seen) => node(seen),
            Root::Registry(seen) => Node::registry(seen.into_iter().map(node).collect()),
        };
        let roots = sources.look().into_iter().map(root).collect();
        Self { at_ms: at.as_millis(), every_ms: every.as_millis(), read_only, roots }
    }

    /// What is seen of the one with that number.
    pub(super) fn node(self, number: &str) -> Option<Node> {
        Node::find(self.roots, number)
    }
}

impl Node {
    /// The node with that number among these and all below them.
    fn find(nodes: Vec<Self>, number: &str) -> Option<Self> {
        nodes.into_iter().find_map(|node| match &node.server {
            Some(own) if own == number => Some(node),
            _ => Self::find(node.children, number),
        })
    }

    fn of(seen: TreeNode, known: &HashMap<ServerId, AnyServerRef>) -> Self {
        let TreeNode { id, server, name, kind, strategy, status, restarts, .. } = seen;
        let TreeNode { incarnation, version, uptime, children, statistics, .. } = seen;
        let typed = known.get(&server);
        Self {
            server: Some(number(server)),
            kind: match kind {
                ChildKind::Server => "server",
                ChildKind::Supervisor => "supervisor",
                ChildKind::Task => "task",
            },
            id: clipped(&id),
            name: name.as_deref().map(clipped),
            type_name: typed.map(AnyServerRef::type_name),
            strategy: (kind == ChildKind::Supervisor).then_some(match strategy {
                None => "dynamic",
                Some(Strategy::OneForOne) => "one_for_one",
                Some(Strategy::OneForAll) => "one_for_all",
                Some(Strategy::RestForOne) => "rest_for_one",
            }),
            status: Some(match status {
                Status::Starting => "starting",
                Status::Running => "running",
                Status::Suspended => "suspended",
                Status::Restarting => "restarting",
                Status::Terminated => "terminated",
            }),
            restarts,
            incarnation,
            version,
            uptime_ms: uptime.as_millis(),
            statistics: (kind == ChildKind::Server).then(|| Counted::of(&statistics)),
            last_crash: typed.and_then(AnyServerRef::last_crash).as_ref().map(LastCrash::of),
            children: children.into_iter().map(|child| Self::of(child, known)).collect(),
        }
    }

    fn registry(children: Vec<Self>) -> Self {
        Self {
            server: None,
            kind: "registry",
            id: "registry".into(),
            name: None,
            type_name: None,
            strategy: None,
            status: None,
            restarts: 0,
            incarnation: 0,
            version: 0,
            uptime_ms: 0,
            statistics: None,
            last_crash: None,
            children,
        }
    }
}

impl Counted {
    fn of(statistics: &Statistics) -> Self {
        let &Statistics {
            messages_in,
            replies_out,
            commits,
            crashes,
            restarts,
            zombies,
            fenced,
            mailbox_len,
        } = statistics;
        Self { messages_in, replies_out, commits, crashes, restarts, zombies, fenced, mailbox_len }
    }
}

impl LastCrash {
    fn of(report: &CrashReport) -> Self {
        Self {
            message: clipped(report.message()),
            kind: match report.kind() {
                CrashKind::Panic => "panic",
                CrashKind::Error => "error",
                CrashKind::Kill => "kill",
            },
            callback: report.callback().to_string(),
            incarnation: report.incarnation(),
            version: report.version(),
        }
    }
}

/// The digits of a number, which stand in an address as they are.
pub(super) fn number(id: ServerId) -> String {
    id.to_string().trim_start_matches('#').to_owned()
}

/// The beginning of a text that is too long to be shown.
fn clipped(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} bytes in all)", &text[..end], text.len()),
    }
}
