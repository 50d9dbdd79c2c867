//! Between the contract's words and a host's.

use encamp_core::{Env, Labels, Phase, Stamp, Time, label};

use crate::client::State;

/// What every change says of the machine.
pub(crate) fn about(stamp: &Stamp) -> Env {
    let identity: Labels = label::IDENTITY
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), stamp.labels.get(*name)?.clone())))
        .collect();
    Env::from([
        ("ENCAMP_KEY".to_owned(), stamp.key.as_str().to_owned()),
        ("ENCAMP_IDENTITY".to_owned(), json(&identity)),
    ])
}

pub(crate) fn json(labels: &Labels) -> String {
    serde_json::to_string(labels).unwrap_or_default()
}

pub(crate) fn seconds(time: Time) -> String {
    time.unix_millis().div_euclid(1000).to_string()
}

/// How a claim looks as a machine.
pub(crate) fn phase(state: State) -> Phase {
    match state {
        State::Free => Phase::Gone,
        State::Claiming => Phase::Starting,
        State::Claimed => Phase::Running,
        State::Releasing => Phase::Dying,
    }
}
