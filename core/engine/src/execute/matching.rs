//! Who gets which place: as many machines as possible, each the best that leaves enough for the others.

use std::collections::HashMap;
use std::hash::Hash;

/// What one machine may have.
#[derive(Debug, Clone)]
pub(crate) struct Want<P> {
    /// The places, best first, and for how many machines each has room; for any number where that is not said.
    pub(crate) places: Vec<(P, Option<u32>)>,
    /// It may go without.
    pub(crate) has_more: bool,
}

/// Gives each machine one of its places, by position; none where there is none for it. Machines that cannot go without
/// come first. This is the search for augmenting paths of bipartite matching, with room for more than one at a place.
pub(crate) fn assign<P: Eq + Hash + Clone>(wants: &[Want<P>]) -> Vec<Option<usize>> {
    let mut matching = Matching {
        wants,
        given: vec![None; wants.len()],
        guests: HashMap::new(),
    };
    let (may, must): (Vec<usize>, Vec<usize>) = (0..wants.len()).partition(|machine| wants[*machine].has_more);
    for machine in must.into_iter().chain(may) {
        matching.place(machine, &mut Vec::new());
    }
    matching.given
}

struct Matching<'w, P> {
    wants: &'w [Want<P>],
    given: Vec<Option<usize>>,
    guests: HashMap<P, Vec<usize>>,
}

impl<P: Eq + Hash + Clone> Matching<'_, P> {
    /// Finds a place for a machine, for which others may have to move to another of theirs.
    fn place(&mut self, machine: usize, tried: &mut Vec<P>) -> bool {
        let wants = self.wants;
        let places = wants[machine].places.iter().enumerate();
        for (at, (place, room)) in places.clone() {
            let guests = self.guests.entry(place.clone()).or_default();
            if room.is_none_or(|room| guests.len() < usize::try_from(room).unwrap_or(usize::MAX)) {
                guests.push(machine);
                self.given[machine] = Some(at);
                return true;
            }
        }
        for (at, (place, _)) in places {
            if tried.contains(place) {
                continue;
            }
            tried.push(place.clone());
            for guest in self.guests.get(place).cloned().unwrap_or_default() {
                if self.place(guest, tried) {
                    let guests = self.guests.entry(place.clone()).or_default();
                    if let Some(left) = guests.iter().position(|other| *other == guest) {
                        guests.remove(left);
                    }
                    guests.push(machine);
                    self.given[machine] = Some(at);
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(places: &[(&'static str, u32)], has_more: bool) -> Want<&'static str> {
        let places = places.iter().map(|(place, room)| (*place, Some(*room))).collect();
        Want { places, has_more }
    }

    #[test]
    fn a_place_is_left_to_who_has_no_other() {
        let any = want(&[("gpu", 1), ("plain", 1)], false);
        let gpu = want(&[("gpu", 1)], false);
        assert_eq!(assign(&[any.clone(), gpu.clone()]), [Some(1), Some(0)]);
        assert_eq!(assign(&[any.clone(), any.clone()]), [Some(0), Some(1)]);
        let given = assign(&[any.clone(), gpu, any]);
        assert_eq!(given.iter().flatten().count(), 2);
    }

    #[test]
    fn who_can_go_without_does() {
        let may = want(&[("a", 1)], true);
        let must = want(&[("a", 1)], false);
        assert_eq!(assign(&[may.clone(), must]), [None, Some(0)]);
        assert_eq!(assign(&[may.clone(), may]), [Some(0), None]);
    }

    #[test]
    fn a_chain_of_moves_is_found_and_room_is_kept() {
        let wants = [
            want(&[("a", 1), ("b", 1)], false),
            want(&[("b", 1), ("c", 2)], false),
            want(&[("a", 1)], false),
            want(&[("c", 2)], false),
            want(&[("taken", 0)], false),
        ];
        assert_eq!(assign(&wants), [Some(1), Some(1), Some(0), Some(0), None]);
    }
}
