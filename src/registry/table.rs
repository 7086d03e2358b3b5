//! The table: names, groups, and who watches them. What is in it changes under one lock, so that there is one order of all
//! changes, and the watchers are told in that order.
//!
//! Whatever is given to or taken out of it is a user's, and is dropped outside that lock (K8): what is taken out goes
//! [`Aside`], what is given and not taken in stays with the caller.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    ops::RangeInclusive,
    sync::{Arc, Weak},
    task::Waker,
};

use super::{
    key::{Key, Map, Sought, This},
    watch::{Event, NameEvent, Queue},
};
use crate::{any::AnyServer, contain::wake_quietly, error::StartError, name::ServerId};

pub(super) struct Table<Q: ?Sized, V> {
    pub(super) names: Map<Q, Name<V>>,
    /// Those that somebody is in, by their numbers.
    pub(super) groups: Map<Q, u64>,
    /// Of each group, in the order in which they joined.
    members: BTreeMap<(u64, u64), Holder>,
    joined: HashMap<(u64, ServerId), u64>,
    /// What ends with each server, in the order in which it came.
    places: BTreeMap<(ServerId, u64), Place<Q>>,
    /// Numbers places and groups.
    came: u64,
    pub(super) watchers: BTreeMap<u64, Arc<Queue<Q>>>,
}

/// A server, whatever its type.
#[derive(Clone)]
pub(super) struct Holder {
    pub(super) id: ServerId,
    pub(super) server: Weak<dyn AnyServer>,
}

/// Who has a name, and what goes with it.
pub(super) struct Name<V> {
    pub(super) id: ServerId,
    /// `None` as long as the name is only reserved.
    pub(super) server: Option<Weak<dyn AnyServer>>,
    pub(super) value: V,
    /// `None` for the name that a server was started with, which is not taken away.
    place: Option<u64>,
}

/// What a server has.
enum Place<Q: ?Sized> {
    Name(Key<Q>),
    Group(Key<Q>),
}

/// What a change leaves to be done outside the lock.
#[must_use = "the watchers are woken by `settle`"]
pub(super) struct Aside<Q: ?Sized, V> {
    wakers: Vec<Waker>,
    keys: Vec<Key<Q>>,
    values: Vec<V>,
}

impl<Q: ?Sized, V> Aside<Q, V> {
    pub(super) const fn nothing() -> Self {
        Self { wakers: Vec::new(), keys: Vec::new(), values: Vec::new() }
    }

    /// Wakes whoever waits for what has happened, and drops what was taken out.
    pub(super) fn settle(self) {
        self.wakers.into_iter().map(Some).for_each(wake_quietly);
    }
}

impl<Q: Eq + ?Sized> Table<Q, ()> {
    /// Takes a name for a server that is being made.
    pub(super) fn reserve(&mut self, name: &Key<Q>, id: ServerId) -> Result<(), StartError> {
        match self.names.entry(name.clone()) {
            Entry::Occupied(taken) => Err(StartError::AlreadyStarted(taken.get().id)),
            Entry::Vacant(free) => {
                free.insert(Name { id, server: None, value: (), place: None });
                Ok(())
            }
        }
    }
}

impl<Q: Eq + ?Sized, V> Table<Q, V> {
    pub(super) fn new() -> Self {
        Self {
            names: Map::default(),
            groups: Map::default(),
            members: BTreeMap::new(),
            joined: HashMap::new(),
            places: BTreeMap::new(),
            came: 0,
            watchers: BTreeMap::new(),
        }
    }

    // ---- lookups

    pub(super) fn named(&self, name: &dyn Sought<Q>) -> Option<&Name<V>> {
        self.names.get(name)
    }

    /// The members of a group that there still are.
    pub(super) fn members(&self, group: &dyn Sought<Q>) -> impl Iterator<Item = Arc<dyn AnyServer>> {
        let members = self.groups.get(group).into_iter().flat_map(|group| self.members.range(all_of(*group)));
        members.filter_map(|(_, holder)| holder.server.upgrade())
    }

    /// The names of a server, in the order in which it got them.
    pub(super) fn names_of(&self, id: ServerId) -> Vec<Key<Q>> {
        let names = self.places.range(all_of(id)).filter_map(|(_, place)| match place {
            Place::Name(name) => Some(name.clone()),
            Place::Group(_) => None,
        });
        names.collect()
    }

    // ---- the names that servers are started with

    /// Makes a reserved name lead to its server.
    pub(super) fn lead(&mut self, name: &Key<Q>, server: Weak<dyn AnyServer>, aside: &mut Aside<Q, V>) {
        let Some(Name { id, server: leads_to, .. }) = self.names.get_mut(&This(name) as &dyn Sought<Q>)
        else {
            return;
        };
        let id = *id;
        if leads_to.replace(server).is_none() {
            self.tell(NameEvent::Registered { name: name.clone(), id }, aside);
        }
    }

    /// Frees a name that was reserved.
    pub(super) fn free(&mut self, name: &Key<Q>, aside: &mut Aside<Q, V>) {
        let Some((name, Name { id, server, value, place: _ })) =
            self.names.remove_entry(&This(name) as &dyn Sought<Q>)
        else {
            return;
        };
        if server.is_some() {
            self.tell(NameEvent::Unregistered { name: name.clone(), id }, aside);
        }
        aside.keys.push(name);
        aside.values.push(value);
    }

    // ---- the names that servers are given

    /// Gives a server a name, if that is free and the server agrees to `enter`, which is asked under the lock.
    pub(super) fn register(
        &mut self,
        name: &Key<Q>,
        Holder { id, server }: Holder,
        value: &mut Option<V>,
        enter: impl FnOnce() -> bool,
        aside: &mut Aside<Q, V>,
    ) -> Result<(), StartError> {
        let free = match self.names.entry(name.clone()) {
            Entry::Occupied(taken) => return Err(StartError::AlreadyStarted(taken.get().id)),
            Entry::Vacant(free) => free,
        };
        if !enter() {
            return Err(StartError::OwnerGone);
        }
        self.came += 1;
        let (place, value) = (Some(self.came), value.take().expect("a value is given with the name"));
        free.insert(Name { id, server: Some(server), value, place });
        self.places.insert((id, self.came), Place::Name(name.clone()));
        self.tell(NameEvent::Registered { name: name.clone(), id }, aside);
        Ok(())
    }

    /// Takes a name away that was given, and gives what went with it.
    pub(super) fn unregister(&mut self, name: &dyn Sought<Q>, aside: &mut Aside<Q, V>) -> Option<V> {
        let (name, &Name { id, place: Some(place), .. }) = self.names.get_key_value(name)? else {
            return None;
        };
        let name = name.clone();
        self.vacate(id, place, aside);
        self.strike_name(&name, id, aside)
    }

    // ---- groups

    /// Puts a server into a group, unless it is there already or does not agree to `enter`.
    pub(super) fn join(
        &mut self,
        group: &Key<Q>,
        holder: Holder,
        enter: impl FnOnce() -> bool,
        aside: &mut Aside<Q, V>,
    ) {
        let (entry, id) = (self.groups.entry(group.clone()), holder.id);
        let is_in = |number: &u64| self.joined.contains_key(&(*number, id));
        if matches!(&entry, Entry::Occupied(group) if is_in(group.get())) || !enter() {
            return;
        }
        self.came += 1;
        // The key that stands in the table, which need not be the one that was given.
        let group = entry.key().clone();
        let number = *entry.or_insert(self.came);
        self.members.insert((number, self.came), holder);
        self.joined.insert((number, id), self.came);
        self.places.insert((id, self.came), Place::Group(group.clone()));
        self.tell(NameEvent::Joined { group, id }, aside);
    }

    /// Takes a server out of a group. `false`: it is not in it.
    pub(super) fn leave(&mut self, group: &dyn Sought<Q>, id: ServerId, aside: &mut Aside<Q, V>) -> bool {
        let Some((group, number)) = self.groups.get_key_value(group) else { return false };
        let Some(&place) = self.joined.get(&(*number, id)) else { return false };
        let group = group.clone();
        self.vacate(id, place, aside);
        self.strike_member(&group, id, aside);
        true
    }

    // ---- the end of a server

    /// Takes out whatever ends with a server, in the order in which it came.
    pub(super) fn strike(&mut self, id: ServerId, aside: &mut Aside<Q, V>) {
        let places: Vec<_> = self.places.range(all_of(id)).map(|(place, _)| *place).collect();
        for place in places {
            match self.places.remove(&place).expect("it was there, and the table is locked") {
                Place::Name(name) => {
                    let value = self.strike_name(&name, id, aside);
                    aside.values.extend(value);
                }
                Place::Group(group) => self.strike_member(&group, id, aside),
            }
        }
    }

    /// Takes back a place.
    fn vacate(&mut self, id: ServerId, place: u64, aside: &mut Aside<Q, V>) {
        if let Some(Place::Name(key) | Place::Group(key)) = self.places.remove(&(id, place)) {
            aside.keys.push(key);
        }
    }

    fn strike_name(&mut self, name: &Key<Q>, id: ServerId, aside: &mut Aside<Q, V>) -> Option<V> {
        let (name, Name { value, .. }) = self.names.remove_entry(&This(name) as &dyn Sought<Q>)?;
        self.tell(NameEvent::Unregistered { name: name.clone(), id }, aside);
        aside.keys.push(name);
        Some(value)
    }

    fn strike_member(&mut self, group: &Key<Q>, id: ServerId, aside: &mut Aside<Q, V>) {
        let Some(&number) = self.groups.get(&This(group) as &dyn Sought<Q>) else { return };
        if let Some(place) = self.joined.remove(&(number, id)) {
            self.members.remove(&(number, place));
        }
        if self.members.range(all_of(number)).next().is_none() {
            let empty = self.groups.remove_entry(&This(group) as &dyn Sought<Q>);
            aside.keys.extend(empty.map(|(group, _)| group));
        }
        self.tell(NameEvent::Left { group: group.clone(), id }, aside);
    }

    // ---- those who watch

    fn tell(&self, event: Event<Q>, aside: &mut Aside<Q, V>) {
        for watcher in self.watchers.values() {
            aside.wakers.extend(watcher.push(event.clone()));
        }
    }
}

/// The keys of all that has this first half.
fn all_of<T: Copy>(first: T) -> RangeInclusive<(T, u64)> {
    (first, 0)..=(first, u64::MAX)
}
