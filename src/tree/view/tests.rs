//! What is printed and drawn of a tree: the documented picture, every kind of line, and ids that try to break out.

use super::*;

fn node(id: &str, kind: ChildKind, strategy: Option<Strategy>) -> TreeNode {
    TreeNode {
        id: id.into(),
        server: ServerId::next(),
        name: None,
        kind,
        strategy,
        status: Status::Running,
        restarts: 0,
        incarnation: 0,
        version: 0,
        mailbox_len: 0,
        statistics: Statistics::default(),
        last_crash: None,
        uptime: Duration::from_secs(2 * 3_600 + 13 * 60),
        children: Vec::new(),
    }
}

fn server(id: &str) -> TreeNode {
    TreeNode { incarnation: 1, ..node(id, ChildKind::Server, None) }
}

fn supervisor(id: &str, children: impl IntoIterator<Item = TreeNode>) -> TreeNode {
    let children = children.into_iter().collect();
    TreeNode { children, ..node(id, ChildKind::Supervisor, Some(Strategy::OneForOne)) }
}

/// The tree of the docs of [`Tree`].
fn shop() -> Tree {
    let stock = TreeNode {
        restarts: 2,
        incarnation: 4,
        version: 4711,
        uptime: Duration::from_secs(41),
        ..server("stock")
    };
    let intake = TreeNode { status: Status::Suspended, version: 12, mailbox_len: 17, ..server("intake") };
    let session = TreeNode { uptime: Duration::from_millis(3_299), ..server("#14") };
    let mut sessions = supervisor("sessions", [session]);
    sessions.strategy = None;
    let mut orders = supervisor("orders", [intake, sessions]);
    orders.strategy = Some(Strategy::RestForOne);
    let sweep = TreeNode { status: Status::Terminated, ..node("sweep", ChildKind::Task, None) };
    let mut shop = supervisor("shop", [stock, orders, sweep]);
    shop.strategy = Some(Strategy::OneForAll);
    Tree::new(shop)
}

/// Ids that would break a line, a quoted text or a statement if they were printed as they are.
const ODD: [&str; 22] = [
    "",
    " ",
    "a b",
    "two\nlines",
    "\"",
    "\\",
    "a\\\"b\\",
    "]",
    "\"]",
    "])) }} --- n0",
    "<b>",
    "<br/>",
    "&amp;",
    "#34;",
    "`code`",
    "1. list",
    "%% comment",
    "%%{init: {}}%%",
    "direction TB",
    "style:x#1;",
    "\\N\\G\u{1b}[31m\u{202e}\0",
    "日本 – naïve",
];

fn odd() -> Tree {
    Tree::new(supervisor("root", ODD.map(server)))
}

#[test]
fn the_documented_picture_is_what_is_printed() {
    let docs = include_str!("../view.rs");
    let (_, docs) = docs.split_once("/// ```text\n").expect("there is a picture in the docs");
    let (picture, _) = docs.split_once("/// ```\n").expect("it ends");
    let picture: Vec<_> = picture.lines().map(|line| line.strip_prefix("/// ").unwrap_or_default()).collect();
    let printed = shop().to_string();
    assert_eq!(printed.lines().collect::<Vec<_>>(), picture, "\n{printed}");
    assert!(printed.lines().all(|line| line.chars().count() <= 100), "\n{printed}");
}

/// The one line of a node alone: nothing is said that does not apply.
#[test]
fn a_line_says_what_applies_and_nothing_else() {
    let task = node("sweep", ChildKind::Task, None);
    let dynamic = node("pool", ChildKind::Supervisor, None);
    let cases = [
        (server("a"), "a  server  running  inc 1  v0  up 2h 13m"),
        (TreeNode { restarts: 1, ..server("a") }, "a  server  running  1 restart  inc 1  v0  up 2h 13m"),
        (TreeNode { mailbox_len: 3, ..server("a") }, "a  server  running  inc 1  v0  3 queued  up 2h 13m"),
        (
            TreeNode { status: Status::Terminated, incarnation: 7, version: 9, ..server("a") },
            "a  server  terminated  inc 7  v9",
        ),
        (TreeNode { name: Some("a".into()), ..server("a") }, "a  server  running  inc 1  v0  up 2h 13m"),
        (
            TreeNode { name: Some("the a".into()), status: Status::Starting, ..server("a") },
            "a (\"the a\")  server  starting  inc 1  v0  up 2h 13m",
        ),
        (TreeNode { restarts: 3, ..supervisor("s", []) }, "s  one_for_one  running  3 restarts  up 2h 13m"),
        (TreeNode { status: Status::Restarting, ..dynamic }, "pool  dynamic  restarting  up 2h 13m"),
        (
            TreeNode { status: Status::Terminated, restarts: 2, ..task.clone() },
            "sweep  task  terminated  2 restarts",
        ),
        (task, "sweep  task  running  up 2h 13m"),
    ];
    for (node, line) in cases {
        assert_eq!(Tree::new(node).to_string(), line);
    }
}

#[test]
fn an_uptime_has_the_units_that_matter() {
    let cases = [
        (0, "0ms"),
        (999, "999ms"),
        (1_000, "1.0s"),
        (9_999, "9.9s"),
        (10_000, "10s"),
        (59_999, "59s"),
        (60_000, "1m 00s"),
        (3_599_999, "59m 59s"),
        (3_600_000, "1h 00m"),
        (86_399_999, "23h 59m"),
        (86_400_000, "1d 00h"),
        (400 * 86_400_000, "400d 00h"),
    ];
    for (millis, text) in cases {
        assert_eq!(span(Duration::from_millis(millis)), text);
    }
    assert!(span(Duration::MAX).ends_with('h'));
}

#[test]
fn columns_are_aligned_and_no_line_ends_in_blanks() {
    let restarts = |id: &str, restarts| TreeNode { restarts, ..server(id) };
    let nested = supervisor("nested", [restarts("b", 1_000), server("c")]);
    let text = Tree::new(supervisor("root", [restarts("a", 7), nested])).to_string();
    let at = |line: &str, word: &str| line.find(word).map(|byte| line[..byte].chars().count());
    let servers: Vec<_> = text.lines().filter(|line| line.contains("server")).collect();
    for word in ["server", "running", "restarts", "inc 1", "v0", "up"] {
        let places: Vec<_> = servers.iter().filter_map(|line| at(line, word)).collect();
        assert!(!places.is_empty() && places.windows(2).all(|two| two[0] == two[1]), "{word}\n{text}");
    }
    assert!(text.lines().all(|line| line.trim_end() == line), "\n{text}");
}

#[test]
fn one_long_id_does_not_widen_the_other_lines() {
    let long = "x".repeat(500);
    let text = Tree::new(supervisor("root", [server(&long), server("short")])).to_string();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[1].starts_with(&format!("├─ {long}  server")), "\n{text}");
    assert!(lines[2].chars().count() <= 100, "\n{text}");
}

#[test]
fn a_supervisor_without_children_is_one_line_and_one_box() {
    let empty = Tree::new(supervisor("root", []));
    assert_eq!(empty.to_string(), "root  one_for_one  running  up 2h 13m");
    assert_eq!(empty.to_dot().matches("[shape=").count(), 1);
    assert!(!empty.to_dot().contains("->") && !empty.to_mermaid().contains("---"));

    let nested = Tree::new(supervisor("root", [supervisor("empty", []), supervisor("last", [])])).to_string();
    let branches: Vec<_> = nested.lines().map(|line| line.split("  ").next().unwrap_or_default()).collect();
    assert_eq!(branches, ["root", "├─ empty", "└─ last"]);
}

#[test]
fn branches_go_on_beside_the_grandchildren_of_all_but_the_last() {
    let family = |id: &str| supervisor(id, [server("x"), supervisor("y", [server("z")])]);
    let text = Tree::new(supervisor("root", [family("a"), family("b")])).to_string();
    let drawn =
        ["root", "├─ a", "│  ├─ x", "│  └─ y", "│     └─ z", "└─ b", "   ├─ x", "   └─ y", "      └─ z"];
    assert_eq!(text.lines().count(), drawn.len());
    for (line, drawn) in text.lines().zip(drawn) {
        assert!(line.starts_with(&format!("{drawn} ")), "{drawn:?}\n{text}");
    }
}

#[test]
fn nodes_come_parents_first_and_in_start_order() {
    let tree = shop();
    let ids: Vec<_> = tree.nodes().map(|node| node.id.as_str()).collect();
    assert_eq!(ids, ["shop", "stock", "orders", "intake", "sessions", "#14", "sweep"]);
    assert_eq!(tree.root().id, "shop");
    assert_eq!(tree.find("intake").map(|node| node.version), Some(12));
    assert_eq!(tree.find("nobody"), None);

    let orders = tree.find("orders").expect("it is there");
    assert_eq!(orders.nodes().map(|node| node.id.as_str()).collect::<Vec<_>>(), ids[2..6]);

    let twice = Tree::new(supervisor("root", [supervisor("a", [server("x")]), server("x")]));
    assert_eq!(
        twice.find("x"),
        Some(&twice.root().children[0].children[0]),
        "the first in the order of nodes"
    );
}

#[test]
fn a_deep_tree_is_a_line_a_level() {
    const DEPTH: usize = 1_000;
    let deep = (0..DEPTH).fold(server("leaf"), |below, level| supervisor(&level.to_string(), [below]));
    let tree = Tree::new(deep);
    assert_eq!(tree.nodes().count(), DEPTH + 1);
    let text = tree.to_string();
    let leaf = format!("{}└─ leaf  server", "   ".repeat(DEPTH - 1));
    assert!(text.lines().last().is_some_and(|line| line.starts_with(&leaf)));
    assert_eq!(tree.to_dot().matches(" -> ").count(), DEPTH);
    assert_eq!(tree.to_mermaid().matches(" --- ").count(), DEPTH);
}

#[test]
fn a_wide_tree_hangs_every_child_on_its_parent() {
    const WIDTH: usize = 5_000;
    let tree = Tree::new(supervisor("root", (0..WIDTH).map(|n| server(&n.to_string()))));
    let text = tree.to_string();
    assert_eq!(text.lines().filter(|line| line.starts_with("├─ ")).count(), WIDTH - 1);
    assert!(text.lines().last().is_some_and(|line| line.starts_with(&format!("└─ {} ", WIDTH - 1))));
    assert_eq!(tree.to_dot().matches("\"n0\" -> \"n").count(), WIDTH);
    assert_eq!(tree.to_mermaid().matches("    n0 --- n").count(), WIDTH);
}

#[test]
fn the_shape_is_the_kind_and_the_colour_is_the_status() {
    let tree = shop();
    let dot = tree.to_dot();
    let line =
        |title: &str| dot.lines().find(|line| line.contains(&format!("label=\"{title}\\n"))).expect("drawn");
    for (title, shape, colour) in [
        ("shop", "box", "#d3f9d8"),
        ("intake", "ellipse", "#fff3bf"),
        ("sessions", "box", "#d3f9d8"),
        ("sweep", "hexagon", "#e9ecef"),
    ] {
        assert!(
            line(title).contains(&format!("[shape=\"{shape}\", fillcolor=\"{colour}\"")),
            "{}",
            line(title)
        );
    }
    assert!(dot.starts_with("digraph supervision {\n") && dot.ends_with("\n}\n"));

    let mermaid = tree.to_mermaid();
    assert!(
        mermaid
            .starts_with("flowchart TD\n    n0[\"shop<br/>one_for_all, running<br/>up 2h 13m\"]:::running\n")
    );
    assert!(mermaid.contains("    n3([\"intake<br/>server, suspended<br/>"), "\n{mermaid}");
    assert!(mermaid.contains("    n6{{\"sweep<br/>task, terminated\"}}:::terminated\n"), "\n{mermaid}");
    assert!(mermaid.contains("    n2 --- n4\n") && !mermaid.contains("n3 --- n4"), "\n{mermaid}");
    assert_eq!(mermaid.matches("classDef ").count(), 5);
}

#[test]
fn an_odd_id_is_one_readable_line_of_text() {
    let text = odd().to_string();
    assert_eq!(text.lines().count(), ODD.len() + 1);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n') && !text.contains('\u{202e}'));
    for (line, id) in text.lines().skip(1).zip(ODD) {
        let (_, title) = line.split_once("─ ").expect("it has a branch");
        assert!(title.starts_with(&format!("{} ", shown(id))), "{line}");
    }
}

#[test]
fn an_id_is_quoted_only_where_it_could_be_mistaken() {
    for plain in ["cache", "#14", "eu-1/shard_7", "a.b:c@d", "日本"] {
        assert_eq!(shown(plain), plain);
    }
    for (odd, quoted) in
        [("", r#""""#), ("]", r#""]""#), ("a b", r#""a b""#), ("two\nlines", r#""two\nlines""#)]
    {
        assert_eq!(shown(odd), quoted);
    }
}

/// A quoted string of Graphviz ends at the first quote without a backslash before it; then the label's entities are read.
#[test]
fn an_odd_id_stays_within_its_label_in_graphviz() {
    let dot = odd().to_dot();
    let mut labels =
        dot.lines().filter_map(|line| line.split_once("label=\"")).map(|(_, label)| label).skip(1);
    for id in ODD {
        let label = labels.next().expect("a line for every node");
        let mut text = String::new();
        let mut chars = label.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => match chars.next() {
                    Some('n') => text.push('\n'),
                    Some(c @ ('"' | '\\')) => text.push(c),
                    other => panic!("an escape of {other:?} in {label}"),
                },
                c => text.push(c),
            }
        }
        assert_eq!(chars.as_str(), "];", "{label}");
        let text = text.replace("&amp;", "&");
        assert!(text.starts_with(&format!("{}\nserver, running\n", shown(id))), "{id:?}: {text}");
    }
}

/// Whatever the id, the quoted text has letters, digits, `-`, `_` and escapes only.
#[test]
fn an_odd_id_stays_within_its_text_in_mermaid() {
    let mermaid = odd().to_mermaid();
    let mut lines = mermaid.lines().filter(|line| line.contains("([\""));
    for id in ODD {
        let line = lines.next().expect("a line for every node");
        let (_, rest) = line.split_once("([\"").expect("it opens");
        let (title, rest) = rest.split_once("<br/>").expect("the title is the first line");
        assert_eq!(rest, "server, running<br/>inc 1, v0, up 2h 13m\"]):::running", "{line}");
        let mut text = String::new();
        let mut left = title;
        while let Some(c) = left.chars().next() {
            left = &left[c.len_utf8()..];
            if c != '#' {
                assert!(c.is_alphanumeric() || "-_".contains(c), "{c:?} in {title}");
                text.push(c);
                continue;
            }
            let (number, after) = left.split_once(';').expect("an escape ends");
            text.extend(number.parse().ok().and_then(char::from_u32));
            left = after;
        }
        assert_eq!(text, shown(id), "{title}");
    }
    assert!(mermaid.lines().all(|line| !line.contains("%%") && !line.ends_with(';')));
}

#[test]
fn a_tame_id_is_readable_in_mermaid() {
    let title = |id: &str| {
        let tree = Tree::new(supervisor(id, []));
        tree.to_mermaid().split(['"', '<']).nth(1).map(str::to_owned).unwrap_or_default()
    };
    assert_eq!(title("order_book-7"), "order_book-7");
    assert_eq!(title("_x-"), "#95;x#45;", "at an end they would be emphasis or a list");
    assert_eq!(title("a--b"), "a#45;#45;b");
}
