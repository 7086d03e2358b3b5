//! Feature `serde`: as the std types do.

use std::{
    collections::VecDeque,
    fmt,
    hash::{BuildHasher, Hash},
    marker::PhantomData,
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use super::{KeptDeque, KeptMap, KeptSet, KeptVec};

/// No length that is merely claimed makes anybody allocate more entries than this.
const CAUTIOUS: usize = 4096;

impl<K: Serialize, V: Serialize, S> Serialize for KeptMap<K, V, S> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_map(self)
    }
}

impl<T: Serialize, S> Serialize for KeptSet<T, S> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_seq(self)
    }
}

impl<T: Serialize> Serialize for KeptVec<T> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_seq(self)
    }
}

impl<T: Serialize> Serialize for KeptDeque<T> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de, K, V, S> Deserialize<'de> for KeptMap<K, V, S>
where
    K: Deserialize<'de> + Eq + Hash + Clone,
    V: Deserialize<'de> + Clone,
    S: BuildHasher + Default,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<K, V, S>(PhantomData<KeptMap<K, V, S>>);

impl<'de, K, V, S> Visitor<'de> for Entries<K, V, S>
where
    K: Deserialize<'de> + Eq + Hash + Clone,
    V: Deserialize<'de> + Clone,
    S: BuildHasher + Default,
{
    type Value = KeptMap<K, V, S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let room = entries.size_hint().unwrap_or(0).min(CAUTIOUS);
        let mut map = KeptMap::with_capacity_and_hasher(room, S::default());
        while let Some((key, value)) = entries.next_entry()? {
            map.insert(key, value);
        }
        Ok(map)
    }
}

impl<'de, T, S> Deserialize<'de> for KeptSet<T, S>
where
    T: Deserialize<'de> + Eq + Hash + Clone,
    S: BuildHasher + Default,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Items(PhantomData))
    }
}

struct Items<T, S>(PhantomData<KeptSet<T, S>>);

impl<'de, T, S> Visitor<'de> for Items<T, S>
where
    T: Deserialize<'de> + Eq + Hash + Clone,
    S: BuildHasher + Default,
{
    type Value = KeptSet<T, S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let room = items.size_hint().unwrap_or(0).min(CAUTIOUS);
        let mut set = KeptSet::with_capacity_and_hasher(room, S::default());
        while let Some(item) = items.next_element()? {
            set.insert(item);
        }
        Ok(set)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for KeptVec<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for KeptDeque<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        VecDeque::deserialize(deserializer).map(Self::from)
    }
}
