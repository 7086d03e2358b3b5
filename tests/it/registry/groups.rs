//! Groups: many servers under one key.

use undying::{KeyedRegistry, Mailbox, Registry, ServerRef};

use super::{ENDS, Member, Say, Stranger, heard, member, mortal, start, start_stranger};
use crate::{crash::script::soon, support::RACES};

fn ids(members: &[ServerRef<Member>]) -> Vec<undying::ServerId> {
    members.iter().map(ServerRef::id).collect()
}

async fn start_many(n: usize) -> Vec<ServerRef<Member>> {
    let mut servers = Vec::new();
    for _ in 0..n {
        servers.push(start().await);
    }
    servers
}

both! {
    /// NR6: what is cast to a group, every member gets, once, in one order; nobody else gets it.
    async fn every_member_gets_what_is_cast_to_its_group() {
        let (names, servers) = (Registry::new(), start_many(5).await);
        for server in &servers[..4] {
            names.join("choir", server);
        }
        names.join("others", &servers[4]);
        for note in 0..10 {
            assert_eq!(names.broadcast::<Member>("choir", Say::Note(note)), 4);
        }
        for server in &servers[..4] {
            assert_eq!(heard(server).await, (0..10).collect::<Vec<_>>());
        }
        assert!(heard(&servers[4]).await.is_empty());
        assert_eq!(names.broadcast::<Member>("nobody's", Say::Note(0)), 0);
    }

    /// NR6: a group of a keyed registry is called by any key, which is independent of a server's key of the same value.
    async fn groups_are_called_by_keys_of_any_type() {
        let (names, servers) = (KeyedRegistry::<(u8, String)>::new(), start_many(3).await);
        let (one, other) = ((1, "choir".to_owned()), (2, "choir".to_owned()));
        names.register(one.clone(), &servers[2], ()).expect("it is free");
        names.join(one.clone(), &servers[0]);
        names.join(one.clone(), &servers[1]);
        names.join(other.clone(), &servers[1]);
        assert_eq!(names.broadcast::<Member>(&one, Say::Note(1)), 2);
        assert_eq!(names.broadcast::<Member>(&other, Say::Note(2)), 1);
        assert_eq!(heard(&servers[0]).await, [1]);
        assert_eq!(heard(&servers[1]).await, [1, 2]);
        assert!(heard(&servers[2]).await.is_empty());
        let mut groups = names.groups();
        groups.sort();
        assert_eq!(groups, [one.clone(), other.clone()]);
        assert!(names.unregister(&one).is_some());
        assert_eq!(ids(&names.members(&one)), ids(&servers[..2]));
        assert!(names.leave(&other, &servers[1]));
        assert_eq!(names.groups(), [one]);
    }

    /// Members are given in the order in which they joined. Who is in a group stays where it is when it joins again, and
    /// goes to the end when it has left in between.
    async fn members_are_in_the_order_in_which_they_joined() {
        let (names, servers) = (Registry::new(), start_many(3).await);
        for place in [2, 0, 1, 2, 0] {
            names.join("choir", &servers[place]);
        }
        let order = |order: [usize; 3]| order.map(|place| servers[place].id());
        assert_eq!(ids(&names.members("choir")), order([2, 0, 1]));
        assert!(names.leave("choir", &servers[2]));
        assert!(!names.leave("choir", &servers[2]));
        assert!(!names.leave("others", &servers[0]));
        names.join("choir", &servers[2]);
        assert_eq!(ids(&names.members("choir")), order([0, 1, 2]));
        assert_eq!(names.broadcast::<Member>("choir", Say::Note(7)), 3);
        assert_eq!(heard(&servers[0]).await, [7], "joined twice, and told once");
    }

    /// NR6: who cannot take a message is skipped, and not counted: a mailbox without room, another type, a server that is
    /// about to end. Nothing waits.
    async fn a_broadcast_skips_who_cannot_take_it() {
        let (names, healthy) = (Registry::new(), start().await);
        let full = soon(member().mailbox(Mailbox::bounded(1)).start()).await.expect("it starts");
        soon(full.sys().suspend()).await.expect("alive");
        full.try_cast(Say::Note(0)).expect("there is room");
        let closing = start().await;
        soon(closing.sys().suspend()).await.expect("alive");
        let stranger = start_stranger().await;
        for server in [&full, &closing, &healthy] {
            names.join("group", server);
        }
        names.join("group", &stranger);
        assert_eq!(names.members::<Member>("group").len(), 3);
        closing.kill();
        assert_eq!(names.broadcast::<Member>("group", Say::Note(1)), 1);
        assert_eq!(heard(&healthy).await, [1]);
        soon(full.sys().resume()).await.expect("alive");
        assert_eq!(heard(&full).await, [0]);
        assert_eq!(names.broadcast::<Stranger>("group", Say::Note(2)), 1);
    }

    /// NR4 NR6: a server is in no group any more when its end is told, whatever end that is; a group that nobody is in is
    /// none.
    async fn a_server_that_ends_is_in_no_group() {
        let (names, lasting) = (Registry::new(), start().await);
        names.join("both", &lasting);
        for end in ENDS {
            let server = mortal().start().await.expect("it starts");
            for group in ["both", "alone", "alone too"] {
                names.join(group, &server);
            }
            end(&server);
            soon(server.stopped()).await;
            assert_eq!(names.groups(), ["both"]);
            assert_eq!(ids(&names.members("both")), [lasting.id()]);
        }
    }

    /// NR4: whoever joins while servers end, and is told, sees only such as can be there: no member is given after its end
    /// was told.
    async fn no_member_is_given_after_its_end() {
        let names = Registry::new();
        for round in 0..RACES {
            let servers = start_many(3).await;
            for server in &servers {
                names.join("group", server);
            }
            let looker = tokio::spawn({
                let (names, leaving) = (names.clone(), servers[round % 3].clone());
                async move {
                    soon(leaving.stopped()).await;
                    assert!(!ids(&names.members("group")).contains(&leaving.id()));
                }
            });
            servers[round % 3].kill();
            looker.await.expect("it is not there");
            for server in &servers {
                server.kill();
                soon(server.stopped()).await;
            }
            assert!(names.groups().is_empty());
        }
    }
}
