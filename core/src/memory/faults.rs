//! What goes wrong with a call.

use std::time::Duration;

use super::settings::{Faults, Settling};
use crate::layers::Draw;
use crate::{Error, ErrorKind, Retry, Verb};

/// How one call will fare.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fault that a call may or may not meet"
)]
#[derive(Debug, Default)]
pub(super) struct Fate {
    /// How much longer it takes.
    pub(super) slow: Duration,
    /// It fails so before it has an effect.
    pub(super) fails: Option<Error>,
    /// It never arrives.
    pub(super) unheard: bool,
    /// It takes effect so much later.
    pub(super) late: Option<Duration>,
    /// Its answer is lost.
    pub(super) lost: bool,
    /// An unknown outcome is told only when the caller gives up.
    pub(super) hangs: bool,
    /// There is no capacity.
    pub(super) no_capacity: bool,
    /// The link to the command breaks after so long.
    pub(super) breaks_after: Option<Duration>,
}

impl Fate {
    /// Draws the fate of a call.
    pub(super) fn draw(faults: &Faults, draw: Draw, verb: Verb, settling: Settling) -> Self {
        let meets = |name: &str, probability: f64| draw.text(name).happens(probability);
        let fails = if meets("refused", faults.refused) {
            Some(Error::new(ErrorKind::Unavailable, "the infrastructure is busy").retry(Retry::Safe))
        } else if meets("throttled", faults.throttled) {
            let after = Duration::from_millis(50) + draw.text("after").span(Duration::from_secs(2));
            Some(Error::new(ErrorKind::Throttled, "too many requests").retry(Retry::After(after)))
        } else {
            None
        };
        let mut fate = Self {
            fails,
            ..Self::default()
        };
        if meets("slow", faults.slow) {
            fate.slow = draw.text("slowness").span(faults.slowness.0);
        }
        if verb == Verb::Exec && meets("broken link", faults.broken_link) {
            fate.breaks_after = Some(draw.text("breaks").span(Duration::from_secs(1)));
        }
        if verb.is_change() {
            let may_be_late = matches!(verb, Verb::Create | Verb::OpenScope | Verb::Destroy | Verb::CloseScope);
            let lateness = settling.lateness();
            fate.unheard = meets("unheard", faults.unheard);
            fate.late = (may_be_late && !lateness.is_zero() && meets("late", faults.late))
                .then(|| draw.text("lateness").span(lateness));
            fate.lost = meets("lost reply", faults.lost_reply);
            fate.hangs = meets("hang", faults.hang);
            fate.no_capacity = verb == Verb::Create && meets("no capacity", faults.no_capacity);
        }
        fate
    }
}

/// The answer of a call without an answer.
pub(super) fn unknown() -> Error {
    Error::new(ErrorKind::Unavailable, "the connection broke before the answer").retry(Retry::Unknown)
}
