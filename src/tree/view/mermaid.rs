//! The tree as a flowchart in the language of Mermaid.
//!
//! Mermaid looks for some of its words anywhere in a line, also within a quoted text: `%%` begins a comment, `direction TB`
//! is a statement. What is in the quotes it reads as Markdown (`1. x` is a list) and as HTML. It has one escape
//! that survives all of this, the number of a character, `#34;`; so all but the tamest characters of a title are
//! written that way. Its clean-up of styles takes a `;` from a line in which `style`, a colon and an escape follow each other; so in no
//! line a colon comes before an escape.

use super::{ChildKind, Status, Tree, TreeNode, colours};

pub(super) fn draw(tree: &Tree) -> String {
    let mut out = String::from("flowchart TD\n");
    for (number, parent, node) in tree.numbered() {
        let ((open, close), class) = (brackets(node), node.status());
        let label = node.label(escape, "<br/>");
        out += &format!("    n{number}{open}\"{label}\"{close}:::{class}\n");
        if let Some(parent) = parent {
            out += &format!("    n{parent} --- n{number}\n");
        }
    }
    for (class, status) in CLASSES {
        let (fill, border) = colours(status);
        out += &format!("    classDef {class} fill:{fill},stroke:{border},color:#212529\n");
    }
    out
}

const CLASSES: [(&str, Status); 5] = [
    ("starting", Status::Starting),
    ("running", Status::Running),
    ("suspended", Status::Suspended),
    ("restarting", Status::Restarting),
    ("terminated", Status::Terminated),
];

fn brackets(node: &TreeNode) -> (&'static str, &'static str) {
    match node.kind {
        ChildKind::Supervisor => ("[", "]"),
        ChildKind::Server => ("([", "])"),
        ChildKind::Task => ("{{", "}}"),
    }
}

/// Makes any text stand for itself within a quoted text: letters and digits stay, `-` and `_` do between two of them, and everything
/// else becomes its number.
fn escape(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let is_tame =
        |place: Option<usize>| place.and_then(|place| chars.get(place)).is_some_and(|c| c.is_alphanumeric());
    let mut out = String::with_capacity(text.len());
    for (place, &c) in chars.iter().enumerate() {
        let joins = matches!(c, '-' | '_') && is_tame(place.checked_sub(1)) && is_tame(Some(place + 1));
        if c.is_alphanumeric() || joins {
            out.push(c);
        } else {
            out += &format!("#{};", u32::from(c));
        }
    }
    out
}
