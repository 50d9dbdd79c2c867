//! Between the contract's words and a host's.

use std::fmt::Write as _;

use encamp_core::{Env, Error, ErrorKind, Labels, Phase, Result, Stamp, Time, label};

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

/// The variables of a machine as a shell reads them.
pub(crate) fn exports(env: &Env) -> Result<String> {
    let mut text = String::new();
    for (name, value) in env {
        let mut letters = name.bytes();
        let begins = letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !begins || !letters.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("`{name}` is no name of a variable that a shell takes"),
            ));
        }
        if value.contains('\0') {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("the variable {name} holds a NUL"),
            ));
        }
        // Writing to a text cannot fail.
        let _ = writeln!(text, "export {name}='{}'", value.replace('\'', r"'\''"));
    }
    Ok(text)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_by_a_shell_as_they_are() {
        let value = "it's $HOME `x` \"y\"\nz";
        let text = exports(&Env::from([("A_1".to_owned(), value.to_owned())])).unwrap();
        let script = format!("{text}printf %s \"$A_1\"");
        let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), value);
        for name in ["", "1A", "A-B", "A;B"] {
            assert!(
                exports(&Env::from([(name.to_owned(), String::new())])).is_err(),
                "{name}"
            );
        }
    }
}
