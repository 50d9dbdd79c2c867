//! How long making the same usually takes.

use encamp_core::Result;
use encamp_file::spec::Environment;
use serde::Serialize;

use crate::camp::{Camp, canonical};
use crate::journal::Took;
use crate::plan::Plan;

/// How long making so many machines of the same file usually takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Usual {
    /// The median.
    pub millis: u64,
    /// Of the last so many.
    pub of: usize,
}

/// Fewer say nothing about the next.
const USUAL: usize = 3;

/// The median of what making as many machines as `plan` makes took before, over every environment of the file that the
/// store still has: those that are disposed of too.
pub(crate) async fn usual(camp: &Camp, spec: &Environment, plan: &Plan) -> Result<Option<Usual>> {
    let (Some(file), Some(made)) = (canonical(spec), plan.makes()) else {
        return Ok(None);
    };
    let mut rows = camp.journal.environments().await?;
    rows.retain(|row| row.file.as_deref() == Some(&*file));
    rows.sort_by_key(|row| row.created);
    let took = rows.iter().flat_map(|row| &row.took);
    Ok(median(
        took.filter(|took| took.made == made).map(|took| took.millis).collect(),
    ))
}

/// Of the newest; they stand last.
fn median(mut millis: Vec<u64>) -> Option<Usual> {
    millis.drain(..millis.len().saturating_sub(Took::KEPT));
    millis.sort_unstable();
    let of = millis.len();
    (of >= USUAL).then(|| Usual {
        millis: millis[of / 2],
        of,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_is_the_median_of_enough() {
        assert_eq!(median(vec![9, 1]), None);
        assert_eq!(median(vec![9, 1, 5]), Some(Usual { millis: 5, of: 3 }));
        // The first one is too old to count.
        let many: Vec<u64> = [1_000_000].into_iter().chain(1..=14).collect();
        assert_eq!(median(many), Some(Usual { millis: 8, of: 14 }));
    }
}
