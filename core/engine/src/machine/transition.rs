//! The transitions.

use super::{Effect, Event, State};

/// What follows from an event in a state. Every pair is spelled out; one that cannot happen gives [`Effect::Anomaly`].
#[expect(
    clippy::too_many_lines,
    clippy::match_same_arms,
    clippy::unnested_or_patterns,
    reason = "it is a table, read row by row"
)]
pub fn transition(state: State, event: Event) -> (State, Effect) {
    use Event as E;
    use State as S;
    match (state, event) {
        // Whoever stops here leaves the object as the journal has it.
        (state, E::Interrupted) => (state, Effect::Rest),

        (S::Planned, E::Begun) => (S::Creating, Effect::SendCreate),
        (S::Planned, E::DestroyWanted) => (S::Gone, Effect::RecordGone),

        // Taken up from the journal: it was sent, and the answer died with the sender.
        (S::Creating, E::Begun | E::Lost) => (S::Unknown, Effect::RecordUnknown),
        (S::Creating, E::Created) => (S::Seen, Effect::RecordSeen),
        (S::Creating, E::Refused) => (S::Gone, Effect::RecordGone),
        (S::Creating, E::Busy) => (S::Creating, Effect::Pause),
        (S::Creating, E::Paused) => (S::Creating, Effect::SendCreate),
        (S::Creating | S::Unknown, E::DestroyWanted) => (S::Dying { unsettled: true }, Effect::RecordDying),

        (S::Unknown, E::Begun | E::Recorded | E::Paused) => (S::Unknown, Effect::Settle),
        (S::Unknown, E::FoundPresent) => (S::Seen, Effect::RecordSeen),
        (S::Unknown, E::FoundAbsent) => (S::Creating, Effect::SendCreate),
        (S::Unknown, E::Lost | E::Busy) => (S::Unknown, Effect::Pause),
        (S::Unknown, E::Refused) => (S::Failed, Effect::RecordFailure),

        (S::Seen, E::Begun | E::Recorded | E::Paused) => (S::Seen, Effect::SendStart),
        (S::Seen, E::Started) => (S::Started, Effect::Probe),
        (S::Seen, E::Lost | E::Busy) => (S::Seen, Effect::Pause),
        (S::Seen, E::Refused) => (S::Failed, Effect::RecordFailure),

        (S::Started, E::ProbesHeld) => (S::Ready, Effect::RecordReady),
        (S::Started, E::ProbesFailed) => (S::Failed, Effect::RecordFailure),

        (S::Ready | S::Failed | S::Gone, E::Begun | E::Recorded) => (state, Effect::Rest),

        (S::Seen | S::Started | S::Ready | S::Failed, E::DestroyWanted) => {
            (S::Dying { unsettled: false }, Effect::RecordDying)
        }

        // The destroyer settles first, so that nothing of an unknown create can come after it.
        (S::Dying { unsettled: true }, E::Begun | E::DestroyWanted | E::Recorded | E::Paused) => {
            (state, Effect::Settle)
        }
        (S::Dying { unsettled: true }, E::FoundPresent | E::FoundAbsent) => {
            (S::Dying { unsettled: false }, Effect::RecordSettled)
        }
        (S::Dying { unsettled: true }, E::Lost | E::Busy) => (state, Effect::Pause),
        (S::Dying { unsettled: false }, E::Begun | E::DestroyWanted | E::Recorded | E::Paused) => {
            (state, Effect::SendDestroy)
        }
        (S::Dying { unsettled: false }, E::Removed) => (S::Gone, Effect::RecordGone),
        (S::Dying { unsettled: false }, E::Removing | E::Lost | E::Busy) => (state, Effect::Pause),
        // Refused for good: it stays to be dealt with, and the caller is told what is left.
        (S::Dying { .. }, E::Refused) => (state, Effect::Rest),
        (S::Gone, E::DestroyWanted) => (S::Gone, Effect::Rest),

        (
            S::Planned,
            E::Recorded
            | E::Created
            | E::Refused
            | E::Busy
            | E::Lost
            | E::Paused
            | E::FoundPresent
            | E::FoundAbsent
            | E::Started
            | E::ProbesHeld
            | E::ProbesFailed
            | E::Removed
            | E::Removing,
        )
        | (
            S::Creating,
            E::Recorded
            | E::FoundPresent
            | E::FoundAbsent
            | E::Started
            | E::ProbesHeld
            | E::ProbesFailed
            | E::Removed
            | E::Removing,
        )
        | (S::Unknown, E::Created | E::Started | E::ProbesHeld | E::ProbesFailed | E::Removed | E::Removing)
        | (
            S::Seen,
            E::Created | E::FoundPresent | E::FoundAbsent | E::ProbesHeld | E::ProbesFailed | E::Removed | E::Removing,
        )
        | (
            S::Started,
            E::Begun
            | E::Recorded
            | E::Created
            | E::Refused
            | E::Busy
            | E::Lost
            | E::Paused
            | E::FoundPresent
            | E::FoundAbsent
            | E::Started
            | E::Removed
            | E::Removing,
        )
        | (
            S::Ready | S::Failed | S::Gone,
            E::Created
            | E::Refused
            | E::Busy
            | E::Lost
            | E::Paused
            | E::FoundPresent
            | E::FoundAbsent
            | E::Started
            | E::ProbesHeld
            | E::ProbesFailed
            | E::Removed
            | E::Removing,
        )
        | (
            S::Dying { unsettled: true },
            E::Created | E::Started | E::ProbesHeld | E::ProbesFailed | E::Removed | E::Removing,
        )
        | (
            S::Dying { unsettled: false },
            E::Created | E::FoundPresent | E::FoundAbsent | E::Started | E::ProbesHeld | E::ProbesFailed,
        ) => (state, Effect::Anomaly),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATES: [State; 10] = [
        State::Planned,
        State::Creating,
        State::Unknown,
        State::Seen,
        State::Started,
        State::Ready,
        State::Failed,
        State::Dying { unsettled: true },
        State::Dying { unsettled: false },
        State::Gone,
    ];

    /// What the shell may answer to an effect.
    fn answers(effect: Effect) -> &'static [Event] {
        match effect {
            Effect::SendCreate => &[
                Event::Created,
                Event::Refused,
                Event::Busy,
                Event::Lost,
                Event::Interrupted,
            ],
            Effect::RecordUnknown
            | Effect::RecordSeen
            | Effect::RecordReady
            | Effect::RecordFailure
            | Effect::RecordDying
            | Effect::RecordSettled
            | Effect::RecordGone => &[Event::Recorded],
            Effect::Settle => &[
                Event::FoundPresent,
                Event::FoundAbsent,
                Event::Lost,
                Event::Refused,
                Event::Interrupted,
            ],
            Effect::SendStart => &[
                Event::Started,
                Event::Refused,
                Event::Busy,
                Event::Lost,
                Event::Interrupted,
            ],
            Effect::Probe => &[Event::ProbesHeld, Event::ProbesFailed, Event::Interrupted],
            Effect::SendDestroy => &[
                Event::Removed,
                Event::Removing,
                Event::Lost,
                Event::Busy,
                Event::Refused,
            ],
            Effect::Pause => &[Event::Paused, Event::Interrupted],
            Effect::Rest | Effect::Anomaly => &[],
        }
    }

    fn walk(mut state: State, first: Event, choices: &[usize]) -> Vec<(State, Effect)> {
        let mut trail = Vec::new();
        let mut event = first;
        for choice in choices {
            let (next, effect) = transition(state, event);
            trail.push((next, effect));
            state = next;
            match answers(effect) {
                [] => break,
                possible => event = possible[choice % possible.len()],
            }
        }
        trail
    }

    proptest! {
        #[test]
        fn nothing_a_shell_can_answer_is_an_anomaly(
            start in 0..STATES.len(), destroy: bool, choices in prop::collection::vec(0usize..8, 1..60),
        ) {
            let start = STATES[start];
            // `Started` is never recorded, so nothing begins there.
            prop_assume!(start != State::Started || destroy);
            let first = if destroy { Event::DestroyWanted } else { Event::Begun };
            for (state, effect) in walk(start, first, &choices) {
                prop_assert_ne!(effect, Effect::Anomaly, "in {:?}", state);
            }
        }

        #[test]
        fn destroy_wins(start in 0..STATES.len(), choices in prop::collection::vec(0usize..8, 1..60)) {
            for (state, effect) in walk(STATES[start], Event::DestroyWanted, &choices) {
                let going = matches!(state, State::Dying { .. } | State::Gone);
                prop_assert!(going);
                prop_assert!(!matches!(effect, Effect::SendCreate | Effect::SendStart | Effect::RecordReady));
            }
        }

        #[test]
        fn a_destroy_is_sent_only_once_the_create_is_settled(choices in prop::collection::vec(0usize..8, 1..60)) {
            for (state, effect) in walk(State::Unknown, Event::DestroyWanted, &choices) {
                let settled = state == State::Dying { unsettled: false };
                prop_assert!(effect != Effect::SendDestroy || settled);
            }
        }
    }

    #[test]
    fn what_was_interrupted_stays_as_it_is() {
        for state in STATES {
            assert_eq!(transition(state, Event::Interrupted), (state, Effect::Rest));
        }
    }

    #[test]
    fn gone_is_for_good() {
        for event in [
            Event::Begun,
            Event::DestroyWanted,
            Event::Recorded,
            Event::Created,
            Event::FoundPresent,
        ] {
            assert_eq!(transition(State::Gone, event).0, State::Gone);
        }
    }
}
