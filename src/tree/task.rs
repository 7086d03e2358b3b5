//! A plain task as the child of a supervisor.

use std::{any::Any, mem, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{self, Instant},
};

use super::{
    child::{Child, Lineage, News, Until},
    child_spec::Seed,
    children::Care,
    view::{ChildKind, TreeNode},
};
use crate::{
    any::AnyServerRef,
    bell::Bell,
    contain::{Caught, Quiet, catch, log},
    deadlines::later,
    error::StartError,
    exit::{Callback, CrashReport, ExitReason, Place},
    name::ServerId,
    options::Shutdown,
    record::{Phase, Then},
    server_ref::Status,
    sync::Mutex,
    sys::Statistics,
};

/// How long an aborted task that does not yield is waited for before it is left behind.
const GRACE: Duration = Duration::from_secs(1);

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;
type Run = Box<dyn Fn() -> Work + Send + Sync>;

pub(crate) struct TaskChild {
    server: ServerId,
    id: String,
    run: Quiet<Run>,
    shutdown: Shutdown,
    lineage: Lineage,
    life: Mutex<Life>,
    bell: Bell,
}

struct Life {
    /// Counted from 1; 0 before the first.
    number: u64,
    phase: Phase,
    since: Instant,
    task: Option<AbortHandle>,
    /// Whether its parent wants it to end.
    ordered: bool,
    /// When it is aborted, if it has not come to its end by then.
    abort_at: Option<Instant>,
}

struct TaskSeed(Quiet<Run>);

impl TaskChild {
    pub(crate) fn seed<F, Fut>(run: F) -> impl Seed
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        TaskSeed(Quiet::new(Box::new(move || Box::pin(run()))))
    }

    async fn until<T>(&self, mut check: impl FnMut(&mut Life) -> Option<T>) -> T {
        loop {
            // Listen before looking: what happens in between is not missed.
            let ring = self.bell.listen();
            if let Some(found) = check(&mut self.life.lock()) {
                return found;
            }
            ring.await;
        }
    }

    async fn is_over(&self) {
        self.until(|life| (life.number == 0 || life.phase.reason().is_some()).then_some(())).await;
    }

    /// Waits for the end; of a task that is to end, for as long as its `Shutdown` has it.
    async fn see_off(&self) {
        let ordered = self.until(|life| match life.phase.reason() {
            Some(_) => Some(None),
            None if life.number == 0 => Some(None),
            None => life.ordered.then_some(Some(life.abort_at)),
        });
        let Some(abort_at) = ordered.await else { return };
        let Some(abort_at) = abort_at else { return self.is_over().await };
        if time::timeout_at(abort_at, self.is_over()).await.is_ok() {
            return;
        }
        self.abort();
        if time::timeout(GRACE, self.is_over()).await.is_err() {
            log!(error, undying.task = %self.id, "a task does not yield; it is left behind");
            let number = self.life.lock().number;
            self.over(number, ExitReason::Killed);
        }
    }

    fn abort(&self) {
        let task = self.life.lock().task.clone();
        task.into_iter().for_each(|task| task.abort());
    }

    /// Marks life `number` as over, if it is not.
    fn over(&self, number: u64, reason: ExitReason) {
        let life = self.life.lock();
        if life.number != number || life.phase.reason().is_some() {
            return;
        }
        // What was told to end has ended as it was told.
        let reason =
            if life.ordered && !matches!(reason, ExitReason::Normal) { ExitReason::Shutdown } else { reason };
        drop(life);
        // The parent first: it is not to see a child that is over and not know of it.
        self.lineage.report(News::Ended(reason.clone()));
        let mut life = self.life.lock();
        if life.number == number {
            life.phase = Phase::Terminated(reason);
            life.task = None;
        }
        drop(life);
        self.bell.ring();
    }
}

/// Tells of the end of a task, whatever way it comes.
struct Ending {
    task: Arc<TaskChild>,
    number: u64,
    reason: ExitReason,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.task.over(self.number, mem::replace(&mut self.reason, ExitReason::Killed));
    }
}

impl Child for TaskChild {
    fn server(&self) -> ServerId {
        self.server
    }

    fn kind(&self) -> ChildKind {
        ChildKind::Task
    }

    fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    fn status(&self) -> Status {
        match self.life.lock().phase.reason() {
            Some(_) => Status::Terminated,
            None => Status::Running,
        }
    }

    fn begin(self: Arc<Self>, on: &Handle, _: u64) -> Result<(), StartError> {
        let number = {
            let mut life = self.life.lock();
            let number = life.number + 1;
            *life = Life::begun(number);
            number
        };
        let task = self.clone();
        let place = Place { callback: Callback::Task, incarnation: number, version: 0 };
        let crashed =
            move |payload: &(dyn Any + Send)| ExitReason::Crashed(CrashReport::of_panic(payload, place));
        // Before it can end.
        self.lineage.report(News::Up);
        let mut ending = Ending { task: self.clone(), number, reason: ExitReason::Killed };
        let handle = on.spawn(async move {
            ending.reason = match catch(|| (task.run)()) {
                Ok(work) => match Caught::new(work).await {
                    Ok(()) => ExitReason::Normal,
                    Err(payload) => crashed(payload.as_any()),
                },
                Err(payload) => crashed(payload.as_any()),
            };
            drop(task);
            drop(ending);
        });
        let mut life = self.life.lock();
        if life.number == number && life.phase.reason().is_none() {
            life.task = Some(handle.abort_handle());
            if life.ordered && life.abort_at.is_some_and(|at| at <= Instant::now()) {
                handle.abort();
            }
        }
        drop(life);
        self.bell.ring();
        Ok(())
    }

    fn started(&self) -> Until<'_, bool> {
        // There is no `init` to wait for.
        Box::pin(std::future::ready(true))
    }

    fn shut_down(&self, then: Then) {
        if self.shutdown == Shutdown::BrutalKill {
            return self.kill(then);
        }
        let mut life = self.life.lock();
        life.abort_at = match self.shutdown {
            Shutdown::Timeout(limit) if !life.ordered => later(limit),
            _ => life.abort_at,
        };
        life.ordered = true;
        drop(life);
        self.bell.ring();
    }

    fn kill(&self, _then: Then) {
        {
            let mut life = self.life.lock();
            (life.ordered, life.abort_at) = (true, Some(Instant::now()));
        }
        self.abort();
        self.bell.ring();
    }

    fn settled(&self) -> Until<'_, ()> {
        Box::pin(self.see_off())
    }

    fn gone(&self) -> Until<'_, ()> {
        Box::pin(self.see_off())
    }

    fn release(&self) {}

    fn view(&self) -> TreeNode {
        let uptime = self.life.lock().since.elapsed();
        TreeNode {
            id: self.id.clone(),
            server: self.server,
            name: None,
            kind: ChildKind::Task,
            strategy: None,
            status: self.status(),
            restarts: 0,
            incarnation: 0,
            version: 0,
            mailbox_len: 0,
            statistics: Statistics::default(),
            last_crash: None,
            uptime,
            children: Vec::new(),
        }
    }

    fn servers(self: Arc<Self>, _found: &mut Vec<AnyServerRef>) {}

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Life {
    fn begun(number: u64) -> Self {
        Self {
            number,
            phase: Phase::Running,
            since: Instant::now(),
            task: None,
            ordered: false,
            abort_at: None,
        }
    }
}

impl Seed for TaskSeed {
    fn check(&self, _id: &str) -> Result<(), StartError> {
        Ok(())
    }

    fn plant(self: Box<Self>, id: &str, care: Care, _retained: bool) -> Result<Arc<dyn Child>, StartError> {
        Ok(Arc::new(TaskChild {
            server: ServerId::next(),
            id: id.to_owned(),
            run: self.0,
            shutdown: care.shutdown,
            lineage: Lineage::default(),
            life: Mutex::new(Life::begun(0)),
            bell: Bell::new(),
        }))
    }
}
