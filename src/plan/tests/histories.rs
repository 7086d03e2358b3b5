//! Whole histories, against a naive supervisor that knows its children by name and was written from the manual of OTP's `supervisor`.

use proptest::prelude::{Just, ProptestConfig, any, prop, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Gen;

use super::*;

/// How an attempt to start a child goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Runs,
    Ignored,
    Fails,
}

/// What is done to a child, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Stopped(usize),
    Started(usize, Attempt),
    Forgotten(usize),
    /// The supervisor has ended, by itself or because it could not go on.
    Over,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Child {
    name: usize,
    restart: RestartPolicy,
    significant: bool,
    runs: bool,
}

/// A supervisor, its children in start order. Beyond so many restarts in one go it gives up.
#[derive(Debug, Clone)]
struct Flags {
    strategy: Strategy,
    auto: AutoShutdown,
    patience: usize,
}

type Attempts<'a> = &'a mut dyn FnMut() -> Attempt;

/// Does what `react` and `restart` say, by place, as the supervisor's task does.
fn planned(
    flags: &Flags,
    children: &mut Vec<Child>,
    name: usize,
    why: &ExitReason,
    next: Attempts<'_>,
) -> Vec<Deed> {
    let member =
        |child: &Child| Member { restart: child.restart, significant: child.significant, up: child.runs };
    let place =
        |children: &[Child], name| children.iter().position(|child| child.name == name).expect("listed");
    let mut ended = place(children, name);
    children[ended].runs = false;
    let others = children.iter().filter(|child| child.name != name).map(member);
    match react(member(&children[ended]), why, flags.auto, others) {
        Reaction::Restart => {}
        Reaction::Stay => return vec![],
        Reaction::Forget => return vec![Deed::Forgotten(children.remove(ended).name)],
        Reaction::ShutDown => return vec![Deed::Over],
    }
    let mut deeds = Vec::new();
    for _ in 0..flags.patience {
        let members: Vec<_> = children.iter().map(member).collect();
        let (mut dismissed, mut failed) = (Vec::new(), None);
        for step in restart(flags.strategy, &members, ended) {
            let (Stop(place) | Dismiss(place) | Start(place)) = step;
            let child = &mut children[place];
            let attempt = match step {
                Stop(_) | Dismiss(_) => None,
                Start(_) => Some(next()),
            };
            child.runs = attempt == Some(Attempt::Runs);
            deeds.push(attempt.map_or(Deed::Stopped(child.name), |how| Deed::Started(child.name, how)));
            if let Dismiss(_) = step {
                dismissed.push(child.name);
            }
            if attempt == Some(Attempt::Fails) {
                failed = Some(child.name);
                break;
            }
        }
        children.retain(|child| !dismissed.contains(&child.name));
        match failed {
            None => return deeds,
            Some(name) => ended = place(children, name),
        }
    }
    deeds.push(Deed::Over);
    deeds
}

/// The same, from the manual: by name, one thought after the other, and without a plan.
fn manual(
    flags: &Flags,
    children: &mut Vec<Child>,
    name: usize,
    why: &ExitReason,
    next: Attempts<'_>,
) -> Vec<Deed> {
    let child = children.iter_mut().find(|child| child.name == name).expect("listed");
    child.runs = false;
    let child = child.clone();
    let abnormal = !matches!(why, ExitReason::Normal | ExitReason::Shutdown | ExitReason::ShutdownWith(_));
    // Permanent children are restarted whatever happens, transient ones if the end was not an orderly one, temporary ones not at all.
    if child.restart == Permanent || (child.restart == Transient && abnormal) {
        return recover(flags, children, name, flags.patience, next);
    }
    let mut deeds = Vec::new();
    // Any of the significant children is this one; all of them means that none is left running.
    let left = children.iter().filter(|child| child.significant && child.runs).count();
    if child.significant && (flags.auto == AnySignificant || (flags.auto == AllSignificant && left == 0)) {
        deeds.push(Deed::Over);
    } else if child.restart == Temporary {
        children.retain(|child| child.name != name);
        deeds.push(Deed::Forgotten(name));
    }
    deeds
}

fn recover(
    flags: &Flags,
    children: &mut Vec<Child>,
    name: usize,
    patience: usize,
    next: Attempts<'_>,
) -> Vec<Deed> {
    if patience == 0 {
        return vec![Deed::Over];
    }
    let names: Vec<usize> = children.iter().map(|child| child.name).collect();
    let group: Vec<usize> = match flags.strategy {
        OneForOne => vec![name],
        OneForAll => names,
        RestForOne => names.into_iter().skip_while(|&other| other != name).collect(),
    };
    let mut deeds = Vec::new();
    // All who go with it are stopped first, in reverse start order; the temporary ones for good.
    for &name in group.iter().rev() {
        let child = children.iter_mut().find(|child| child.name == name).expect("listed");
        if std::mem::take(&mut child.runs) {
            deeds.push(Deed::Stopped(name));
        }
    }
    children.retain(|child| !(group.contains(&child.name) && child.restart == Temporary));
    // Then they are started again, with the one that ended. One that cannot be is as one that ended.
    for name in group {
        let Some(child) = children.iter_mut().find(|child| child.name == name) else { continue };
        let how = next();
        child.runs = how == Attempt::Runs;
        deeds.push(Deed::Started(name, how));
        if how == Attempt::Fails {
            deeds.extend(recover(flags, children, name, patience - 1, next));
            return deeds;
        }
    }
    deeds
}

fn policies() -> impl Gen<Value = RestartPolicy> {
    prop_oneof![Just(Permanent), Just(Transient), Just(Temporary)]
}

fn reasons() -> impl Gen<Value = ExitReason> {
    prop_oneof![
        Just(ExitReason::Normal),
        Just(ExitReason::Shutdown),
        Just(why()),
        Just(ExitReason::Killed),
        Just(ExitReason::error("an error")),
        Just(limit()),
    ]
}

fn attempts() -> impl Gen<Value = Vec<Attempt>> {
    let attempt =
        prop_oneof![4 => Just(Attempt::Runs), 2 => Just(Attempt::Fails), 1 => Just(Attempt::Ignored)];
    prop::collection::vec(attempt, 0..24)
}

fn flags() -> impl Gen<Value = Flags> {
    let strategy = prop_oneof![Just(OneForOne), Just(OneForAll), Just(RestForOne)];
    let auto = prop_oneof![Just(Never), Just(AnySignificant), Just(AllSignificant)];
    (strategy, auto, 1usize..6).prop_map(|(strategy, auto, patience)| Flags { strategy, auto, patience })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 2_000 } else { 100_000 }))]

    /// SG1 SG2 SG3 SG4 SG5 SG6 SG7: whatever ends and whatever fails to start, the same children run in the end, after the
    /// same stops and starts in the same order.
    #[test]
    fn a_history_of_plans_is_that_of_the_manual(
        flags in flags(),
        members in prop::collection::vec((policies(), any::<bool>()), 1..8),
        ends in prop::collection::vec((any::<prop::sample::Index>(), reasons(), attempts()), 1..16),
    ) {
        let child = |(name, (restart, significant))| Child { name, restart, significant, runs: true };
        let mut planned_children: Vec<Child> = members.into_iter().enumerate().map(child).collect();
        let mut children = planned_children.clone();
        for (who, why, attempts) in ends {
            let running: Vec<usize> = children.iter().filter(|child| child.runs).map(|child| child.name).collect();
            if running.is_empty() {
                break;
            }
            let name = running[who.index(running.len())];
            // What is not scripted goes well.
            let script = || {
                let mut attempts = attempts.clone().into_iter();
                move || attempts.next().unwrap_or(Attempt::Runs)
            };
            let expected = manual(&flags, &mut children, name, &why, &mut script());
            let deeds = planned(&flags, &mut planned_children, name, &why, &mut script());
            prop_assert_eq!(&deeds, &expected, "{} ended: {}", name, why);
            prop_assert_eq!(&planned_children, &children);
            if deeds.contains(&Deed::Over) {
                break;
            }
        }
    }

    /// A plan alone: it touches nobody outside its range, stops before it starts, each once, last first and first first.
    #[test]
    fn a_plan_stops_backwards_and_starts_forwards(
        strategy in flags().prop_map(|flags| flags.strategy),
        members in prop::collection::vec((policies(), any::<bool>()), 1..12),
        who in any::<prop::sample::Index>(),
    ) {
        let ended = who.index(members.len());
        let mut members: Vec<Member> =
            members.into_iter().map(|(restart, up)| Member { restart, significant: false, up }).collect();
        members[ended] = down(Permanent);
        let steps = restart(strategy, &members, ended);
        let range = match strategy {
            OneForOne => ended..=ended,
            OneForAll => 0..=members.len() - 1,
            RestForOne => ended..=members.len() - 1,
        };
        let (mut stops, mut starts) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Start(place) => starts.push(place),
                Stop(place) | Dismiss(place) => {
                    prop_assert_eq!(starts.len(), 0, "a stop after a start");
                    prop_assert_eq!(step == Dismiss(place), members[place].restart == Temporary);
                    stops.insert(0, place);
                }
            }
        }
        let within = |test: fn(&Member) -> bool| -> Vec<usize> {
            range.clone().filter(|&place| test(&members[place])).collect()
        };
        prop_assert_eq!(stops, within(|member| member.up));
        prop_assert_eq!(starts, within(|member| member.restart != Temporary));
    }
}
