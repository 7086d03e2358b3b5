//! A tree as text, for Graphviz and for Mermaid: every node and every edge is there, whatever the ids are.

use undying::{ChildSpec, DynamicSupervisor, PartitionSupervisor, Registry, Supervisor, Tree, TreeNode};

use super::{
    parts::{child, counter, family},
    rise,
};
use crate::{crash::script::soon, support::quiet};

/// Ids that mean something to who reads a drawing.
const ODD: [&str; 24] = [
    "",
    " ",
    "a b",
    "two\nlines",
    "\"",
    "\\",
    "a\\\"b\\",
    "]",
    "\"]; evil -> n0; [\"",
    "])) }} --- n0",
    "<b>",
    "<br/>",
    "&amp;",
    "#34;",
    "`code`",
    "1. list",
    "%% comment",
    "direction TB",
    "end",
    "style:x#1;",
    "\\N\\G\u{1b}[31m\u{202e}\0",
    "日本 – naïve",
    "n0",
    "\r\n\t--> x",
];

/// A drawing as its reader understands it: the label of each node by its name, and the edges.
#[derive(Debug, Default)]
struct Drawing {
    nodes: Vec<(String, String)>,
    edges: Vec<(String, String)>,
}

impl Drawing {
    fn label(&self, name: &str) -> &str {
        let (_, label) = self.nodes.iter().find(|(node, _)| node == name).expect("an edge joins nodes");
        label
    }
}

/// Reads a string of Graphviz, from behind its opening quote, as the label it stands for; gives what follows it, too.
fn dot_string(text: &str) -> (String, &str) {
    let (mut label, mut rest) = (String::new(), text.chars());
    loop {
        match rest.next().expect("a string that ends") {
            '"' => break,
            '\\' => match rest.next() {
                Some('n') => label.push('\n'),
                Some(plain @ ('"' | '\\')) => label.push(plain),
                other => panic!("an escape with another meaning: {other:?} in {text}"),
            },
            '\n' => panic!("a line that ends in a string: {text}"),
            plain => label.push(plain),
        }
    }
    for (entity, meaning) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")] {
        label = label.replace(entity, meaning);
    }
    (label, rest.as_str())
}

/// Reads what [`Tree::to_dot`] says: a statement a line.
fn read_dot(text: &str) -> Drawing {
    let body = text.trim().strip_prefix("digraph ").expect("a digraph").strip_suffix('}').expect("an end");
    let mut drawing = Drawing::default();
    for line in body.lines().skip(1).map(str::trim) {
        let Some(statement) = line.strip_prefix('"') else {
            assert!(
                ["node [", "edge [", "graph [", "rankdir"].iter().any(|start| line.starts_with(start)),
                "{line}"
            );
            continue;
        };
        let (name, rest) = dot_string(statement);
        if let Some(to) = rest.strip_prefix(" -> \"") {
            let (to, end) = dot_string(to);
            assert_eq!(end, ";", "{line}");
            drawing.edges.push((name, to));
            continue;
        }
        let mut rest = rest.strip_prefix(" [").expect("a node has attributes");
        let mut label = None;
        while let Some((attribute, value)) = rest.split_once("=\"") {
            let (value, after) = dot_string(value);
            if attribute.trim_start_matches(", ") == "label" {
                label = Some(value);
            }
            rest = after;
        }
        assert_eq!(rest, "];", "{line}");
        drawing.nodes.push((name, label.expect("a node has a label")));
    }
    drawing
}

/// Reads what [`Tree::to_mermaid`] says: a statement a line.
fn read_mermaid(text: &str) -> Drawing {
    let mut lines = text.lines().map(str::trim);
    assert!(lines.next().expect("a first line").starts_with("flowchart "));
    let mut drawing = Drawing::default();
    for line in lines {
        if line.starts_with("classDef ") || line.is_empty() {
            continue;
        }
        if let Some((name, rest)) = line.split_once(['[', '(', '{']) {
            let (open, rest) = rest.split_once('"').expect("a label is quoted");
            let (label, close) = rest.split_once('"').expect("and ends");
            assert!(open.len() <= 1 && !close.contains('"'), "{line}");
            drawing.nodes.push((name.into(), mermaid_label(label)));
        } else {
            let (from, to) = line.split_once(" --- ").or_else(|| line.split_once(" --> ")).expect("an edge");
            drawing.edges.push((from.into(), to.into()));
        }
    }
    for (name, _) in &drawing.nodes {
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()) && name != "end", "{name}");
    }
    drawing
}

/// A label of Mermaid as it is shown.
fn mermaid_label(text: &str) -> String {
    let text = text.replace("<br/>", "\n");
    assert!(!text.contains(['<', '>', '`', '&']), "markup in a label: {text}");
    let (mut label, mut rest) = (String::new(), text.as_str());
    while let Some((plain, after)) = rest.split_once('#') {
        let (code, after) = after.split_once(';').expect("an entity ends");
        label.push_str(plain);
        let code = code.parse().expect("the number of a character");
        label.push(char::from_u32(code).expect("a character"));
        rest = after;
    }
    label + rest
}

/// An id as it may be shown: as it is, or quoted.
fn shows(label: &str, id: &str) -> bool {
    let first = label.lines().next().unwrap_or_default();
    first == id || first.starts_with(&format!("{id} ")) || first.starts_with(&format!("{id:?}"))
}

/// Every node with its parent, parents before children.
fn walk<'a>(
    node: &'a TreeNode,
    parent: Option<&'a TreeNode>,
    all: &mut Vec<(&'a TreeNode, Option<&'a TreeNode>)>,
) {
    all.push((node, parent));
    for child in &node.children {
        walk(child, Some(node), all);
    }
}

/// The drawing has the nodes and edges of the tree, and no others.
fn is_drawn(tree: &Tree, drawing: &Drawing) {
    let mut all = Vec::new();
    walk(tree.root(), None, &mut all);
    assert_eq!((drawing.nodes.len(), drawing.edges.len()), (all.len(), all.len() - 1), "{drawing:?}");
    for ((node, parent), (name, label)) in all.iter().zip(&drawing.nodes) {
        assert!(shows(label, &node.id), "{label:?} for {:?}", node.id);
        if let Some(full) = &node.name {
            assert!(label.contains(full) || label.contains(&format!("{full:?}")), "{label} for {full}");
        }
        assert_eq!(drawing.nodes.iter().filter(|(other, _)| other == name).count(), 1);
        let mut parents = drawing.edges.iter().filter(|(_, to)| to == name).map(|(from, _)| from);
        match (parent, parents.next()) {
            (Some(parent), Some(from)) => {
                assert!(shows(drawing.label(from), &parent.id), "{from} above {label}")
            }
            (None, None) => {}
            other => panic!("{name}: {other:?}"),
        }
        assert!(parents.next().is_none(), "{name} is below two others");
    }
}

/// The text has a line for each node, each further to the right than the one it is below.
fn is_written(tree: &Tree) {
    let mut all = Vec::new();
    walk(tree.root(), None, &mut all);
    let text = tree.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), all.len(), "{text}");
    let mut columns: Vec<(&TreeNode, usize)> = Vec::new();
    for (line, (node, parent)) in lines.iter().zip(&all) {
        let column = line.chars().take_while(|c| " │├└─".contains(*c)).count();
        let told: String = line.chars().skip(column).collect();
        let quoted = format!("{:?}", node.id);
        assert!(told.starts_with(&quoted) || told.starts_with(&node.id), "{told} for {quoted}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
        if let Some(parent) = parent {
            let (_, above) =
                columns.iter().rfind(|(seen, _)| seen.server == parent.server).expect("parents first");
            assert!(column > *above, "{text}");
        }
        columns.push((node, column));
    }
}

fn agree(tree: &Tree) {
    is_written(tree);
    is_drawn(tree, &read_dot(&tree.to_dot()));
    is_drawn(tree, &read_mermaid(&tree.to_mermaid()));
}

/// A tree of everything, in all three forms.
#[tokio::test]
async fn a_tree_is_drawn_with_every_node_and_edge() {
    quiet();
    let names = Registry::new();
    let inner = (0..3)
        .fold(Supervisor::builder().id("inner"), |spec, n| spec.child(counter().id(format!("leaf {n}"))));
    let spec = Supervisor::builder()
        .id("root")
        .child(counter().id("named").name_in(&names, "a name"))
        .child(inner)
        .child(ChildSpec::task("task", std::future::pending::<()>))
        .child(DynamicSupervisor::builder().id("dynamic"))
        .child(PartitionSupervisor::new(3, |_| counter()).id("partitions"))
        .child(Supervisor::builder().id("empty"));
    let root = rise(spec).await;
    let dynamic = root.dynamic_supervisor("dynamic").expect("it is there");
    for _ in 0..5 {
        child(&dynamic).await;
    }
    soon(root.terminate_child("task")).await.expect("a child");
    agree(&root.tree());
    agree(&dynamic.tree());
    soon(root.stop()).await.expect("it stops");
    agree(&root.tree());
}

/// Ids that mean something to a reader of drawings mean nothing there: as those of servers, supervisors and tasks, and as
/// names.
#[tokio::test]
async fn odd_ids_are_only_ids() {
    quiet();
    let names = Registry::new();
    let root = ODD.iter().fold(Supervisor::builder().id("odd"), |spec, id| {
        spec.child(counter().id(format!("{id}.")).name_in(&names, *id))
    });
    let root = rise(root).await;
    agree(&root.tree());
    let root = ODD.iter().enumerate().fold(Supervisor::builder().id(ODD[8]), |spec, (n, id)| match n % 3 {
        0 => spec.child(counter().id(*id)),
        1 => spec.child(Supervisor::builder().id(*id).child(counter().id(*id))),
        _ => spec.child(ChildSpec::task(*id, std::future::pending::<()>)),
    });
    let root = rise(root).await;
    let tree = root.tree();
    let mut all = Vec::new();
    walk(tree.root(), None, &mut all);
    assert_eq!(all.len(), 1 + ODD.len() + ODD.len() / 3);
    agree(&tree);
}

/// A deep and a wide tree are drawn whole.
#[tokio::test]
async fn deep_and_wide_trees_are_drawn_whole() {
    quiet();
    let deep = (0..50).fold(Supervisor::builder().id("innermost").child(counter()), |inner, n| {
        Supervisor::builder().id(format!("level-{n}")).child(inner)
    });
    let deep = rise(deep).await;
    assert_eq!(deep.tree().to_string().lines().count(), 52);
    agree(&deep.tree());
    let wide = family([]).await;
    for n in 0..300 {
        soon(wide.start_child(counter().id(format!("child-{n}")))).await.expect("a child starts");
    }
    agree(&wide.tree());
    assert_eq!(wide.tree().root().children.len(), 300);
}
