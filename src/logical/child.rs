//! A logical server as the child of a supervisor.

use std::{any::Any, sync::Arc};

use tokio::runtime::Handle;

use super::Logical;
use crate::{
    any::{AnyServer, AnyServerRef},
    error::StartError,
    exit::ExitReason,
    gen_server::GenServer,
    name::ServerId,
    record::{Phase, Then},
    server_ref::Status,
    tree::{Child, ChildKind, Lineage, TreeNode, Until},
};

impl<S: GenServer> Child for Logical<S> {
    fn server(&self) -> ServerId {
        self.id
    }

    fn kind(&self) -> ChildKind {
        ChildKind::Server
    }

    fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    fn status(&self) -> Status {
        self.cell.look(|record| record.life.status())
    }

    fn ends(&self) -> u64 {
        self.cell.look(|record| record.life.ends)
    }

    fn begin(self: Arc<Self>, on: &Handle, ends: u64) -> Result<(), StartError> {
        Self::begin(&self, on, ends)
    }

    fn started(&self) -> Until<'_, bool> {
        let started = self.until(|record| match record.life.phase {
            _ if record.life.served => Some(true),
            // Of one that was ended before it began, the end is yet to come.
            _ if record.life.waiting => (!self.is_to_end(record)).then_some(false),
            Phase::Starting | Phase::Running | Phase::Restarting => None,
            Phase::Failed(_) | Phase::Terminated(_) => Some(false),
        });
        Box::pin(async {
            let started = started.await;
            self.lineage.settle();
            started
        })
    }

    fn shut_down(&self, then: Then) {
        self.shut_down_and(ExitReason::Shutdown, Some(then));
    }

    fn kill(&self, then: Then) {
        self.kill_and(Some(then));
    }

    fn settled(&self) -> Until<'_, ()> {
        Box::pin(async {
            self.until(|record| {
                let life = &record.life;
                (!life.begun || life.waiting || life.phase.reason().is_some()).then_some(())
            })
            .await;
            self.lineage.settle();
        })
    }

    fn gone(&self) -> Until<'_, ()> {
        Box::pin(async {
            self.until(|record| {
                let life = &record.life;
                (!life.begun || life.phase.reason().is_some()).then_some(())
            })
            .await;
            self.lineage.settle();
        })
    }

    fn release(&self) {
        Self::release(self);
    }

    fn view(&self) -> TreeNode {
        let (status, incarnation, version, last_crash, uptime) = self.cell.look(|record| {
            let (life, version) = (&record.life, record.kept.version());
            (life.status(), life.serving, version, record.last_crash.clone(), record.born.elapsed())
        });
        let statistics = self.statistics();
        TreeNode {
            id: self.label().to_string(),
            server: self.id,
            name: self.name.as_deref().map(ToString::to_string),
            kind: ChildKind::Server,
            strategy: None,
            status,
            restarts: 0,
            incarnation,
            version,
            mailbox_len: statistics.mailbox_len,
            statistics,
            last_crash: last_crash.map(|report| report.to_string().into()),
            uptime,
            children: Vec::new(),
        }
    }

    fn servers(self: Arc<Self>, found: &mut Vec<AnyServerRef>) {
        found.push(AnyServerRef::new(self));
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
