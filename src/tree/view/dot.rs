//! The tree as a drawing in the language of Graphviz.

use super::{ChildKind, Tree, TreeNode, colours};

pub(super) fn draw(tree: &Tree) -> String {
    let mut out = String::from("digraph supervision {\n");
    out += "    node [fontname=\"Helvetica\", fontsize=10, style=\"filled\"];\n";
    out += "    edge [arrowhead=\"none\"];\n";
    for (number, parent, node) in tree.numbered() {
        let (shape, (fill, border)) = (shape(node), colours(node.status));
        let label = node.label(escape, "\\n");
        out += &format!("    \"n{number}\" [shape=\"{shape}\", fillcolor=\"{fill}\", color=\"{border}\", ");
        out += &format!("label=\"{label}\"];\n");
        if let Some(parent) = parent {
            out += &format!("    \"n{parent}\" -> \"n{number}\";\n");
        }
    }
    out + "}\n"
}

fn shape(node: &TreeNode) -> &'static str {
    match node.kind {
        ChildKind::Supervisor => "box",
        ChildKind::Server => "ellipse",
        ChildKind::Task => "hexagon",
    }
}

/// Makes any text stand for itself within a quoted label, which has escapes of its own (`\n`, and `\N`, the name of the node)
/// and HTML's entities.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('\\', r"\\").replace('"', r#"\""#)
}
