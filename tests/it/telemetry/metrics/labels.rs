//! The label `server`: a name or a type, and only so many of them.

use std::collections::BTreeSet;

use metrics_exporter_prometheus::PrometheusBuilder;
use undying::{Registry, ServerRef, ServerSpec, Supervisor, telemetry::MetricsListener};

use super::{Meter, counts, spec};
use crate::{
    crash::script::{Script, add, ask, crash, serves, soon, stop},
    support::{RACES, inject, quiet},
    telemetry::hostile::NAMES,
};

/// Does a call, and ends.
async fn one_call(server: ServerRef<Script<u64>>) {
    ask(&server, add).await;
    stop(&server).await;
}

both! {
    /// TE35: a server without a name, or with an empty one, is counted under its type, together with the others of it.
    async fn servers_without_a_name_are_counted_by_type() {
        let (meter, listener) = Meter::new();
        for _ in 0..3 {
            let spec = ServerSpec::new(Script::new(), 0_u64).listener(listener.clone());
            one_call(spec.start().await.expect("it starts")).await;
        }
        one_call(spec("", &listener).start().await.expect("it starts")).await;
        let commits = counts([("undying.commits{server=it::crash::script::Script<u64>}", 4)]);
        assert_eq!(meter.all("undying.commits"), commits);
    }

    /// TE36: neither a crash nor the id of a server makes another series.
    async fn restarts_make_no_series() {
        let (meter, listener) = Meter::new();
        let life = async || {
            let server = spec("a", &listener).start().await.expect("it starts");
            for incarnation in 2..=4 {
                crash(&server).await;
                serves(&server, incarnation).await;
            }
            one_call(server).await;
        };
        life().await;
        let series = meter.series();
        for _ in 0..5 {
            life().await;
        }
        assert_eq!(meter.series(), series);
    }

    /// TE37: beyond the most labels there may be, servers are counted together, and nobody is forgotten.
    async fn there_are_only_so_many_labels() {
        let (meter, listener) = Meter::new();
        let listener = listener.max_labels(3);
        for n in 0..10 {
            one_call(spec(&format!("user-{n}"), &listener).start().await.expect("it starts")).await;
        }
        one_call(spec("user-1", &listener).start().await.expect("it starts")).await;
        assert_eq!(meter.all("undying.commits"), counts([
            ("undying.commits{server=_OTHER}", 7),
            ("undying.commits{server=user-0}", 1),
            ("undying.commits{server=user-1}", 2),
            ("undying.commits{server=user-2}", 1),
        ]));
    }

    /// TE48: nor are there more where many servers start at once.
    async fn there_are_only_so_many_labels_at_once() {
        for _ in 0..RACES {
            let (meter, listener) = Meter::new();
            let listener = listener.max_labels(2);
            let starts = (0..6).map(|n| tokio::spawn(spec(&format!("user-{n}"), &listener).start()));
            for started in futures::future::join_all(starts).await {
                let server = started.expect("no panic").expect("it starts");
                one_call(server).await;
            }
            let commits = meter.all("undying.commits");
            assert_eq!(commits.len(), 3, "{commits:?}");
            assert_eq!(commits.iter().map(|(_, count)| count).sum::<u64>(), 6);
        }
    }

    /// TE38: a label of the user's stands for many names; one that panics costs the label only.
    async fn the_label_is_the_users_to_say() {
        let (meter, listener) = Meter::new();
        let listener = listener.label(|server| match server.name() {
            Some("bad") => inject(),
            Some(name) => name.split('/').next().unwrap_or(name).to_owned(),
            None => "nameless".to_owned(),
        });
        for name in ["session/1", "session/2", "stock", "bad"] {
            one_call(spec(name, &listener).start().await.expect("it starts")).await;
        }
        let nameless = ServerSpec::new(Script::new(), 0_u64).listener(listener);
        one_call(nameless.start().await.expect("it starts")).await;
        assert_eq!(meter.all("undying.commits"), counts([
            ("undying.commits{server=_OTHER}", 1),
            ("undying.commits{server=nameless}", 1),
            ("undying.commits{server=session}", 2),
            ("undying.commits{server=stock}", 1),
        ]));
    }

    /// TE39: whatever a server is called, what Prometheus reads is one line with that name, and no other.
    async fn a_hostile_name_stays_within_its_label() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let listener = MetricsListener::default().recorder(recorder);
        for name in &NAMES[1..] {
            one_call(spec(name, &listener).start().await.expect("it starts")).await;
        }
        let text = handle.render();
        let commits: Vec<_> = text.lines().filter(|line| line.starts_with("undying_commits{")).collect();
        assert_eq!(commits.len(), NAMES.len() - 1, "{text}");
        for line in &commits {
            let name = line.strip_prefix("undying_commits{server=\"").and_then(|line| line.strip_suffix("\"} 1"));
            let name = name.unwrap_or_else(|| panic!("{line}"));
            let (mut escaped, mut bare) = (false, 0);
            for letter in name.chars() {
                bare += usize::from(letter == '"' && !escaped);
                escaped = letter == '\\' && !escaped;
            }
            assert_eq!(bare, 0, "a quote ends the name before its end: {line}");
        }
        let starts = ["#", "undying_"];
        let strange = text.lines().find(|line| !line.is_empty() && !starts.iter().any(|start| line.starts_with(start)));
        assert_eq!(strange, None);
    }
}

/// TE40: one listener over a tree counts each server below under its name, and the type of those that have none.
#[tokio::test]
async fn a_listener_over_a_tree_counts_each_server_below() {
    quiet();
    let (meter, listener) = Meter::new();
    let names = Registry::new();
    let named = |name: &str| ServerSpec::new(Script::new(), 0_u64).name_in(&names, name);
    let inner = Supervisor::builder().id("inner").child(named("deep"));
    let text = ServerSpec::new(Script::new(), String::new()).id("text");
    let tree = Supervisor::builder().listener(listener).child(named("shallow")).child(text).child(inner);
    let tree = tree.start().await.expect("it starts");
    let labels: BTreeSet<_> = meter
        .series()
        .iter()
        .filter_map(|series| {
            series
                .strip_prefix("undying.servers{server=")
                .and_then(|rest| rest.strip_suffix('}'))
                .map(str::to_owned)
        })
        .collect();
    let expected = ["deep", "shallow", "it::crash::script::Script<alloc::string::String>"];
    assert_eq!(labels, BTreeSet::from(expected.map(str::to_owned)));
    let deep = names.whereis::<Script<u64>>("deep").expect("it is there");
    crash(&deep).await;
    soon(tree.stop()).await.expect("it stops");
    let crashes = counts([("undying.crashes{server=deep,callback=handle_call,kind=panic}", 1)]);
    assert_eq!(meter.all("undying.crashes"), crashes);
    let ended: u64 = meter.all("undying.exits").into_iter().map(|(_, count)| count).sum();
    assert_eq!(ended, 3);
}
