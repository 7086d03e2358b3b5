//! Very many names.

use undying::{KeyedRegistry, Registry};

use super::{Member, Say, has_nothing, heard, start};
use crate::crash::script::soon;

const MANY: usize = 100_000;

both! {
    /// NR5 NR4: a hundred thousand names of a few servers are found, taken away and freed like a handful.
    async fn a_registry_may_be_large() {
        let (names, mut servers) = (Registry::new(), Vec::new());
        for _ in 0..10 {
            servers.push(start().await);
        }
        for name in 0..MANY {
            names.register(&name.to_string(), &servers[name % 10]).expect("it is free");
        }
        assert_eq!(names.names().len(), MANY);
        for name in 0..MANY {
            let found = names.whereis::<Member>(&name.to_string()).expect("it is there");
            assert_eq!(found.id(), servers[name % 10].id());
        }
        for name in (0..MANY).filter(|name| name % 10 == 3) {
            assert!(names.unregister(&name.to_string()));
        }
        assert_eq!(names.names().len(), MANY / 10 * 9);
        for (place, server) in servers.iter().enumerate() {
            soon(server.stop()).await.expect("it stops");
            let gone = [place, place + 10, MANY - 10 + place].map(|name| names.whereis::<Member>(&name.to_string()));
            assert!(gone.iter().all(Result::is_err), "{place}");
        }
        assert!(has_nothing(&names), "{names:?}");
    }

    /// NR6 NR4: a server that is in very many groups gets what is cast to each, and leaves all of them.
    async fn a_server_may_be_in_very_many_groups() {
        let (names, server, other) = (KeyedRegistry::<usize>::new(), start().await, start().await);
        for group in 0..MANY {
            names.join(group, &server);
        }
        names.join(MANY - 1, &other);
        for group in [0, MANY / 2, MANY - 1] {
            assert!(names.broadcast::<Member>(&group, Say::Note(group as u64)) > 0);
        }
        assert_eq!(heard(&server).await, [0, MANY / 2, MANY - 1].map(|group| group as u64));
        soon(server.stop()).await.expect("it stops");
        assert_eq!(names.groups(), [MANY - 1]);
        assert_eq!(names.members::<Member>(&(MANY - 1)).len(), 1);
    }

    /// NR6 NR4: a group may have very many members, which come and go in any order.
    async fn a_group_may_have_very_many_members() {
        let (names, mut servers) = (Registry::new(), Vec::new());
        for _ in 0..2_000 {
            let server = start().await;
            names.join("crowd", &server);
            servers.push(server);
        }
        assert_eq!(names.broadcast::<Member>("crowd", Say::Note(1)), 2_000);
        let (stopped, left) = servers.split_at(1_000);
        for (stopped, left) in stopped.iter().rev().zip(left) {
            assert_eq!(soon(stopped.stop()).await.expect("it stops").state[..], [1]);
            assert!(names.leave("crowd", left));
        }
        assert!(has_nothing(&names), "{names:?}");
    }
}
