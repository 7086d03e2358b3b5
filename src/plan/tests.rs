use super::*;

#[test]
fn a_transient_child_is_restarted_after_an_abnormal_end_only() {
    let child = Member { restart: RestartPolicy::Transient, significant: false, up: false };
    let react = |reason: &ExitReason| react(child, reason, AutoShutdown::Never, [].into_iter());
    assert_eq!(react(&ExitReason::Killed), Reaction::Restart);
    assert_eq!(react(&ExitReason::Shutdown), Reaction::Stay);
}
