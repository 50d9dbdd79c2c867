//! All things of a world, found by number, key and id.

use std::collections::BTreeMap;

use super::state::Number;
use super::thing::Thing;

/// Things are added and never removed, and neither key nor id of one ever changes; so the indexes only grow.
#[derive(Debug, Default)]
pub(super) struct Things {
    all: BTreeMap<Number, Thing>,
    by_key: BTreeMap<String, Vec<Number>>,
    by_id: BTreeMap<String, Vec<Number>>,
}

impl Things {
    pub(super) fn insert(&mut self, number: Number, thing: Thing) {
        self.by_key.entry(thing.key.clone()).or_default().push(number);
        self.by_id.entry(thing.id.clone()).or_default().push(number);
        self.all.insert(number, thing);
    }

    pub(super) fn get(&self, number: Number) -> Option<&Thing> {
        self.all.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: Number) -> Option<&mut Thing> {
        self.all.get_mut(&number)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&Number, &Thing)> {
        self.all.iter()
    }

    pub(super) fn values(&self) -> impl DoubleEndedIterator<Item = &Thing> {
        self.all.values()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Thing> {
        self.all.values_mut()
    }

    /// Everything that was ever made under a key, oldest first.
    pub(super) fn of_key(&self, key: &str) -> impl DoubleEndedIterator<Item = (Number, &Thing)> {
        self.of(self.by_key.get(key))
    }

    /// Everything that ever had an id, oldest first.
    pub(super) fn of_id(&self, id: &str) -> impl DoubleEndedIterator<Item = (Number, &Thing)> {
        self.of(self.by_id.get(id))
    }

    fn of<'a>(&'a self, numbers: Option<&'a Vec<Number>>) -> impl DoubleEndedIterator<Item = (Number, &'a Thing)> {
        let numbers = numbers.into_iter().flatten();
        numbers.filter_map(|number| Some((*number, self.all.get(number)?)))
    }
}
