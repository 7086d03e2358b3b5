//! A supervisor as the child of another.

use std::{any::Any, sync::Arc};

use tokio::{runtime::Handle, time::Instant};

use super::Branch;
use crate::{
    any::AnyServerRef,
    error::StartError,
    exit::ExitReason,
    name::ServerId,
    record::{Phase, Then},
    server_ref::Status,
    sys::Statistics,
    tree::{
        child::{Child, Lineage, Until},
        children::Entry,
        manager::Manager,
        view::{ChildKind, TreeNode},
    },
};

impl Child for Branch {
    fn server(&self) -> ServerId {
        self.server
    }

    fn kind(&self) -> ChildKind {
        ChildKind::Supervisor
    }

    fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    fn status(&self) -> Status {
        self.look(|roster| roster.status())
    }

    fn begin(self: Arc<Self>, on: &Handle, _: u64) -> Result<(), StartError> {
        let seats = self.look(|roster| {
            roster.begun = true;
            roster.phase = Phase::Starting;
            roster.on = Some(on.clone());
            roster.task = None;
            roster.since = Instant::now();
            let founders = roster.founders.clone();
            // Nobody takes them away before they are started.
            let seat =
                |entry: Entry| (entry.child.clone(), roster.children.insert(Entry { busy: true, ..entry }));
            founders.into_iter().map(seat).collect::<Vec<_>>()
        });
        if let Some(partitions) = &self.partitions {
            partitions.renew();
        }
        for (child, seat) in seats {
            child.lineage().set(Some(self.seat(seat, true)));
        }
        let manager = Manager::new(self.clone(), on.clone());
        let task = on.spawn(manager.run());
        self.look(|roster| roster.task = Some(task.abort_handle()));
        Ok(())
    }

    fn started(&self) -> Until<'_, bool> {
        let started = self.until(|roster| match roster.phase {
            Phase::Starting => None,
            Phase::Running | Phase::Restarting => Some(true),
            Phase::Failed(_) | Phase::Terminated(_) => Some(false),
        });
        Box::pin(async {
            let started = started.await;
            self.lineage.settle();
            started
        })
    }

    fn shut_down(&self, then: Then) {
        self.look(|roster| roster.note(then));
        self.stop(ExitReason::Shutdown);
    }

    fn kill(&self, then: Then) {
        self.look(|roster| roster.note(then));
        Self::kill(self);
    }

    fn settled(&self) -> Until<'_, ()> {
        Box::pin(async {
            self.until(|roster| (!roster.begun || !roster.is_alive()).then_some(())).await;
            self.lineage.settle();
        })
    }

    fn gone(&self) -> Until<'_, ()> {
        Box::pin(async move {
            self.settled().await;
            // Those that wait for another life of it wait in vain.
            let founders = self.founders();
            founders.iter().for_each(|founder| founder.shut_down(Then::Nothing));
            for founder in &founders {
                founder.gone().await;
            }
        })
    }

    fn release(&self) {
        self.release_founders();
    }

    fn view(&self) -> TreeNode {
        let (entries, status, uptime) = self.look(|roster| {
            let entries: Vec<_> = roster.children.iter().map(|(_, entry)| entry.clone()).collect();
            (entries, roster.status(), roster.since.elapsed())
        });
        let children = entries.iter().map(Entry::view).collect();
        TreeNode {
            id: self.id.to_string(),
            server: self.server,
            name: None,
            kind: ChildKind::Supervisor,
            strategy: self.rules.strategy,
            status,
            restarts: 0,
            incarnation: 0,
            version: 0,
            mailbox_len: 0,
            statistics: Statistics::default(),
            last_crash: None,
            uptime,
            children,
        }
    }

    fn servers(self: Arc<Self>, found: &mut Vec<AnyServerRef>) {
        let children: Vec<_> =
            self.look(|roster| roster.children.iter().map(|(_, entry)| entry.child.clone()).collect());
        children.into_iter().for_each(|child| child.servers(found));
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
