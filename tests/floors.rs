//! The floors of the crate: what each module stands on. Arrows go down only, or are named here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// From the lowest to the highest: values without Tokio or a clock, primitives, the logical server and what users implement, the
/// tasks, the surface.
const FLOORS: [&[&str]; 5] = [
    &["contain", "error", "exit", "name", "plan", "restart"],
    &[
        "alarm",
        "bell",
        "cell",
        "deadlines",
        "debug",
        "mailbox",
        "peer",
        "probe",
        "reply",
        "scope",
        "seat",
        "sync",
        "tasks",
        "timers",
        "waits",
    ],
    &[
        "context",
        "dead_letter",
        "effects",
        "extras",
        "feed",
        "gen_server",
        "job",
        "listener",
        "logical",
        "monitor",
        "notice",
        "options",
        "pending",
        "preserve",
        "recipient",
        "record",
        "request",
        "server_ref",
        "task",
    ],
    &["callback", "keeper", "supervisor", "worker"],
    &[
        "any",
        "any_listener",
        "chaos",
        "collections",
        "docs",
        "lib",
        "observer",
        "registry",
        "requests",
        "spec",
        "sys",
        "telemetry",
        "tree",
        "watch",
    ],
];

/// Who knows somebody above, and why.
const UPWARD: [(&str, &str); 13] = [
    // A link tells of an end, and of a name; whose child a server is decides whether it comes back.
    ("peer", "monitor"),
    ("peer", "tree"),
    ("logical", "tree"),
    ("supervisor", "tree"),
    // A life begins with the task of its supervisor.
    ("logical", "supervisor"),
    // Names end with the server that has them.
    ("extras", "registry"),
    ("record", "registry"),
    ("logical", "registry"),
    // Who listens to all servers of a registry or supervisor listens to this one.
    ("logical", "any_listener"),
    // The server as one of any type.
    ("logical", "any"),
    ("logical", "chaos"),
    ("logical", "sys"),
    ("server_ref", "sys"),
];

/// Who spawns tasks, beside the floor of the tasks: a life begins, a callback has asked for it, a child is no server, the page.
const SPAWNING: [&str; 5] =
    ["logical/lives.rs", "effects.rs", "tree/branch/child.rs", "tree/task.rs", "observer.rs"];

/// So many lines may a file have, beside comments and examples.
const LINES: usize = 400;

struct File {
    /// From `src` on.
    path: String,
    module: String,
    /// Without comments.
    code: String,
}

/// The files of the crate, but for its unit tests.
fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it is a folder") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if is_code(&path) {
                found.push(read(&root, &path));
            }
        }
    }
    found
}

fn is_code(path: &Path) -> bool {
    let is_test = path.ends_with("tests.rs") || path.ends_with("models.rs");
    path.extension().is_some_and(|extension| extension == "rs") && !is_test
}

fn read(root: &Path, path: &Path) -> File {
    let text = fs::read_to_string(path).expect("it is text");
    let inside: PathBuf = path.strip_prefix(root).expect("it is below the root").into();
    let path = inside.to_string_lossy().replace('\\', "/");
    let module = path.split(['/', '.']).next().expect("it has a name").to_owned();
    let code = text.lines().map(|line| line.split("//").next().unwrap_or("").trim_end());
    let code = code.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    File { path, module, code }
}

/// The modules that `code` names: `crate::module` and `crate::{module, other::{…}}`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for (at, start) in code.match_indices("crate::") {
        if code[..at].ends_with('$') {
            // A macro of the crate, used elsewhere.
            continue;
        }
        let rest = &code[at + start.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            named.extend(first_name(rest));
            continue;
        };
        let (mut depth, mut begins) = (0_usize, true);
        for (at, letter) in list.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                letter if begins && !letter.is_whitespace() => {
                    named.extend(first_name(&list[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    named
}

fn first_name(path: &str) -> Option<String> {
    let name: String = path.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    (!name.is_empty()).then_some(name)
}

fn floors() -> BTreeMap<&'static str, usize> {
    let floors = FLOORS.iter().enumerate();
    floors.flat_map(|(floor, modules)| modules.iter().map(move |module| (*module, floor))).collect()
}

#[test]
fn imports_are_found_wherever_they_stand() {
    let code = "use crate::{\n a,\n b::{c, d::{e}},\n f as g};\nlet x = crate::h::i(); $crate::j!();";
    assert_eq!(imports(code).into_iter().collect::<Vec<_>>(), ["a", "b", "f", "h"]);
}

#[test]
fn each_module_stands_on_what_is_below() {
    let (floors, mut upward) = (floors(), BTreeSet::new());
    for file in files() {
        let floor = *floors.get(&*file.module).unwrap_or_else(|| panic!("{} is on no floor", file.path));
        for import in imports(&file.code) {
            match floors.get(&*import) {
                Some(&other) if other > floor => _ = upward.insert((file.module.clone(), import)),
                Some(_) => {}
                // What the crate re-exports is for its users, and for the uppermost floor.
                None => assert_eq!(floor, FLOORS.len() - 1, "{} imports `crate::{import}`", file.path),
            }
        }
    }
    let known = UPWARD.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
    assert_eq!(upward, known, "arrows that go up, and those that are known");
}

#[test]
fn the_lowest_floor_knows_neither_tokio_nor_a_clock() {
    for file in files().iter().filter(|file| FLOORS[0].contains(&&*file.module)) {
        for unwanted in ["tokio::", "Instant::now", "SystemTime"] {
            assert!(!file.code.contains(unwanted), "{} has to do with {unwanted}", file.path);
        }
    }
}

#[test]
fn only_the_floor_of_the_tasks_spawns() {
    for file in files().iter().filter(|file| !FLOORS[3].contains(&&*file.module)) {
        let spawns = ["tokio::spawn(", "task::spawn(", "on.spawn(", "spawn_local(", "thread::spawn("];
        let spawns = spawns.iter().any(|spawn| file.code.contains(spawn));
        assert_eq!(spawns, SPAWNING.contains(&&*file.path), "{}", file.path);
    }
}

#[test]
fn no_file_is_longer_than_one_idea() {
    let long: Vec<_> =
        files().into_iter().filter(|file| file.code.lines().count() > LINES).map(|file| file.path).collect();
    assert!(long.is_empty(), "{long:?}");
}
