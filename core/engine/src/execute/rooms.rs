//! How many machines candidates have room for, while an environment is brought up.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use encamp_core::{Candidate, Site};

/// How often each candidate that says how much room it has was taken, so that two machines do not try for one place.
#[derive(Debug, Default)]
pub(super) struct Rooms(Mutex<HashMap<(Site, String), u32>>);

impl Rooms {
    /// Takes a place, where there is one left.
    pub(super) fn take(&self, candidate: &Candidate) -> bool {
        let Some(room) = candidate.room else { return true };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = all
            .entry((candidate.site.clone(), candidate.body.to_string()))
            .or_default();
        let has_room = *taken < room;
        *taken += u32::from(has_room);
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_once() {
        let rooms = Rooms::default();
        let candidate = |site: &str, room| {
            let mut candidate = Candidate::new(Site::new(site), serde_json::Value::Null);
            candidate.room = room;
            candidate
        };
        assert!(rooms.take(&candidate("a", Some(2))) && rooms.take(&candidate("a", Some(2))));
        assert!(!rooms.take(&candidate("a", Some(2))));
        assert!(rooms.take(&candidate("b", Some(1))) && !rooms.take(&candidate("b", Some(1))));
        for _ in 0..3 {
            assert!(rooms.take(&candidate("c", None)));
        }
    }
}
