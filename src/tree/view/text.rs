//! The tree as indented text, one line a node, in aligned columns.

use std::fmt;

use super::{FACTS, Tree, TreeNode};

/// The first column is not made wider than this: one long id would push every other line off the screen.
const WIDEST: usize = 40;

/// Branch and title, role, status, facts.
const COLUMNS: usize = 3 + FACTS;

/// The counts of restarts and of queued messages: numbers line up at their ends.
const TO_THE_RIGHT: [usize; 2] = [3, 6];

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = rows(self.root());
        let mut widths = [0; COLUMNS];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        widths[0] = widths[0].min(WIDEST);
        for (number, row) in rows.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            line(f, row, &widths)?;
        }
        Ok(())
    }
}

type Row = [String; COLUMNS];

/// Writes one line. A column that is empty in every line takes no room, and no line ends in blanks.
fn line(f: &mut fmt::Formatter<'_>, row: &Row, widths: &[usize; COLUMNS]) -> fmt::Result {
    let last = row.iter().rposition(|cell| !cell.is_empty()).unwrap_or(0);
    for (column, (cell, &width)) in row.iter().zip(widths).enumerate().take(last + 1) {
        if width == 0 {
            continue;
        }
        if column > 0 {
            f.write_str("  ")?;
        }
        match column {
            _ if TO_THE_RIGHT.contains(&column) => write!(f, "{cell:>width$}")?,
            _ if column == last => f.write_str(cell)?,
            _ => write!(f, "{cell:<width$}")?,
        }
    }
    Ok(())
}

/// The cells of every line. Not recursive: a tree may be deeper than a stack.
fn rows(root: &TreeNode) -> Vec<Row> {
    let mut rows = Vec::new();
    // Every node with what stands before its children's branches, and its own branch.
    let mut waiting = vec![(String::new(), "", root)];
    while let Some((indent, branch, node)) = waiting.pop() {
        rows.push(cells(format!("{indent}{branch}{}", node.title()), node));
        let below = match branch {
            "" => indent,
            LAST => indent + "   ",
            _ => indent + "│  ",
        };
        let children = node.children.iter().rev().enumerate();
        waiting.extend(children.map(|(n, child)| (below.clone(), if n == 0 { LAST } else { MORE }, child)));
    }
    rows
}

const MORE: &str = "├─ ";
const LAST: &str = "└─ ";

fn cells(title: String, node: &TreeNode) -> Row {
    let [restarts, incarnation, version, queued, uptime] = node.facts().map(Option::unwrap_or_default);
    [title, node.role().into(), node.status().into(), restarts, incarnation, version, queued, uptime]
}
