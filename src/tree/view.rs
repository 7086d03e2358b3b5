//! A picture of a supervision tree: values that were read once, and that print.
//!
//! Nothing here reads a clock or asks a server: whoever takes the picture fills in what it saw.

mod dot;
mod mermaid;
mod text;

use std::{borrow::Cow, sync::Arc, time::Duration};

use crate::{name::ServerId, plan::Strategy, server_ref::Status, sys::Statistics};

/// A picture of a supervision tree, as it was when it was taken.
///
/// It prints as text, one line a node; [`to_dot`](Self::to_dot) and [`to_mermaid`](Self::to_mermaid) draw it.
///
/// ```text
/// shop            one_for_all   running                                          up 2h 13m
/// ├─ stock        server        running     2 restarts  inc 4  v4711             up 41s
/// ├─ orders       rest_for_one  running                                          up 2h 13m
/// │  ├─ intake    server        suspended               inc 1  v12    17 queued  up 2h 13m
/// │  └─ sessions  dynamic       running                                          up 2h 13m
/// │     └─ #14    server        running                 inc 1  v0                up 3.2s
/// └─ sweep        task          terminated
/// ```
///
/// A node says its id, with the server's name where that is another; what it is: a supervisor by its strategy, `dynamic`,
/// `server` or `task`; its status; how often its supervisor has restarted it; the incarnation, the version of the state and
/// the queued messages of a server; and how long its present life lasts. What does not apply is left out, and so are counts of
/// zero. An id that could be mistaken (it is empty, or has blanks, quotes, control characters) is quoted and escaped.
///
/// The nodes were looked at one after the other, without stopping anything; a child that was transferred or restarted in
/// between may be seen as it was before or as it was after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    root: TreeNode,
}

/// One node of a [`Tree`]: a supervisor, a server or a task, as it was when the picture was taken.
///
/// # Examples
///
/// ```
#[doc = include_str!("../docs/samples/quiet.md")]
/// use undying::{ServerSpec, Strategy, Supervisor};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shop = Supervisor::builder().id("shop").child(ServerSpec::new(Quiet, 0).id("till")).start().await?;
/// let tree = shop.tree();
/// assert_eq!(tree.root().strategy, Some(Strategy::OneForOne));
/// let ids: Vec<_> = tree.root().nodes().map(|node| node.id.as_str()).collect();
/// assert_eq!(ids, ["shop", "till"]);
/// assert_eq!(tree.find("till").map(|till| (till.incarnation, till.mailbox_len)), Some((1, 0)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeNode {
    /// Its id under its supervisor; the number of a server under a dynamic one.
    pub id: String,
    /// Its number, unique within the process.
    pub server: ServerId,
    /// The name of a server that has one.
    pub name: Option<String>,
    /// Supervisor, server or task.
    pub kind: ChildKind,
    /// What a supervisor does when a child ends; `None` for a dynamic one, a server, a task.
    pub strategy: Option<Strategy>,
    /// Where it is in its life.
    pub status: Status,
    /// How often its supervisor has restarted it; 0 for the root.
    pub restarts: u64,
    /// The incarnation of a server, counted from 1; 0 for anything else.
    pub incarnation: u64,
    /// The version of a server's state; 0 for anything else.
    pub version: u64,
    /// How many messages a server has queued; 0 for anything else.
    pub mailbox_len: usize,
    /// What a server has counted; nothing for anything else.
    pub statistics: Statistics,
    /// The last abnormal end of an incarnation of a server, in words.
    pub last_crash: Option<Arc<str>>,
    /// How long its present life lasts.
    pub uptime: Duration,
    /// Its children, in start order; empty for a server and a task.
    pub children: Vec<Self>,
}

/// What a child of a supervisor is.
///
/// # Examples
///
/// ```
#[doc = include_str!("../docs/samples/quiet.md")]
/// use undying::{ChildKind, ChildSpec, ServerSpec, Supervisor};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shop = Supervisor::builder()
///     .child(ServerSpec::new(Quiet, 0).id("till"))
///     .child(ChildSpec::task("lamp", || async { std::future::pending().await }))
///     .start()
///     .await?;
/// let kinds: Vec<_> = shop.children().iter().map(|child| child.kind).collect();
/// assert_eq!(kinds, [ChildKind::Server, ChildKind::Task]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChildKind {
    /// A [`GenServer`](crate::GenServer).
    Server,
    /// A supervisor of any kind.
    Supervisor,
    /// A plain task.
    Task,
}

impl Tree {
    pub(crate) fn new(root: TreeNode) -> Self {
        Self { root }
    }

    /// The supervisor that was asked.
    pub fn root(&self) -> &TreeNode {
        &self.root
    }

    /// Every node: parents before their children, children in start order.
    pub fn nodes(&self) -> impl Iterator<Item = &TreeNode> {
        self.root.nodes()
    }

    /// The first node, in the order of [`nodes`](Self::nodes), with this id.
    ///
    /// An id is unique under its supervisor, not within the tree.
    pub fn find(&self, id: &str) -> Option<&TreeNode> {
        self.nodes().find(|node| node.id == id)
    }

    /// A drawing in the language of Graphviz: `dot -Tsvg`.
    ///
    /// Supervisors are boxes, servers ellipses, tasks hexagons; the colour is the status.
    pub fn to_dot(&self) -> String {
        dot::draw(self)
    }

    /// A flowchart in the language of Mermaid, as the Markdown of many sites draws it.
    ///
    /// Supervisors are boxes, servers have round ends, tasks are hexagons; the colour is the status. Mermaid itself refuses more than
    /// 500 edges or 50,000 characters unless it is configured otherwise.
    pub fn to_mermaid(&self) -> String {
        mermaid::draw(self)
    }

    /// Every node with its number in the order of [`nodes`](Self::nodes), and that of its parent.
    fn numbered(&self) -> impl Iterator<Item = (usize, Option<usize>, &TreeNode)> {
        let mut waiting = vec![(None, &self.root)];
        let mut number = 0;
        std::iter::from_fn(move || {
            let (parent, node) = waiting.pop()?;
            let this = number;
            number += 1;
            waiting.extend(node.children.iter().rev().map(|child| (Some(this), child)));
            Some((this, parent, node))
        })
    }
}

impl TreeNode {
    /// This node and all below it: parents before their children, children in start order.
    pub fn nodes(&self) -> impl Iterator<Item = &Self> {
        let mut waiting = vec![self];
        std::iter::from_fn(move || {
            let node = waiting.pop()?;
            waiting.extend(node.children.iter().rev());
            Some(node)
        })
    }

    /// The id as it is shown, and the name where it says more.
    fn title(&self) -> String {
        match &self.name {
            Some(name) if *name != self.id => format!("{} ({})", shown(&self.id), shown(name)),
            _ => shown(&self.id).into_owned(),
        }
    }

    fn role(&self) -> &'static str {
        match (self.kind, self.strategy) {
            (ChildKind::Server, _) => "server",
            (ChildKind::Task, _) => "task",
            (ChildKind::Supervisor, None) => "dynamic",
            (ChildKind::Supervisor, Some(Strategy::OneForOne)) => "one_for_one",
            (ChildKind::Supervisor, Some(Strategy::OneForAll)) => "one_for_all",
            (ChildKind::Supervisor, Some(Strategy::RestForOne)) => "rest_for_one",
        }
    }

    fn status(&self) -> &'static str {
        match self.status {
            Status::Starting => "starting",
            Status::Running => "running",
            Status::Suspended => "suspended",
            Status::Restarting => "restarting",
            Status::Terminated => "terminated",
        }
    }

    /// What a drawing says of it, in two or three lines.
    fn label(&self, escape: impl Fn(&str) -> String, newline: &str) -> String {
        let mut label = format!("{}{newline}{}, {}", escape(&self.title()), self.role(), self.status());
        let facts: Vec<_> = self.facts().into_iter().flatten().collect();
        if !facts.is_empty() {
            label += newline;
            label += &facts.join(", ");
        }
        label
    }

    /// What there is to say of it besides title, role and status; `None` where something does not apply.
    fn facts(&self) -> [Option<String>; FACTS] {
        let server = self.kind == ChildKind::Server;
        let over = self.status == Status::Terminated;
        [
            match self.restarts {
                0 => None,
                1 => Some("1 restart".into()),
                n => Some(format!("{n} restarts")),
            },
            server.then(|| format!("inc {}", self.incarnation)),
            server.then(|| format!("v{}", self.version)),
            (server && self.mailbox_len > 0).then(|| format!("{} queued", self.mailbox_len)),
            (!over).then(|| format!("up {}", span(self.uptime))),
        ]
    }
}

/// What a drawing shows a status by: the colour within, and that of the border.
fn colours(status: Status) -> (&'static str, &'static str) {
    match status {
        Status::Starting => ("#d0ebff", "#1971c2"),
        Status::Running => ("#d3f9d8", "#2f9e44"),
        Status::Suspended => ("#fff3bf", "#f08c00"),
        Status::Restarting => ("#ffd8a8", "#e8590c"),
        Status::Terminated => ("#e9ecef", "#868e96"),
    }
}

/// How many facts a node may have.
const FACTS: usize = 5;

/// An id as it is shown: as it is where nothing can be mistaken, quoted and escaped otherwise.
fn shown(id: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "#+-./:=@_".contains(c);
    if !id.is_empty() && id.chars().all(plain) { id.into() } else { format!("{id:?}").into() }
}

/// A span of time in the two units that matter.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{}ms", time.as_millis()),
        1..10 => format!("{seconds}.{}s", time.subsec_millis() / 100),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests;
