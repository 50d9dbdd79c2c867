//! What hosts refuse, for people.

use encamp_core::{Error, ErrorKind, Retry, Time, Verb};

/// A refusal of the host, for people. Nothing has happened.
pub(crate) fn refused(name: &str, refusal: &str) -> Error {
    let (word, rest) = refusal.split_once(' ').unwrap_or((refusal, ""));
    match word {
        "held" => until(Error::new(ErrorKind::Capacity, format!("{name} is taken")), rest, "by"),
        "reserved" => until(
            Error::new(ErrorKind::Capacity, format!("{name} is kept for another environment")),
            rest,
            "keys begin with",
        ),
        "quarantined" => Error::new(ErrorKind::Capacity, format!("{name} is out of use"))
            .with("why", rest)
            .next_step(format!("mend {name}, and remove the file `quarantine` there")),
        "gone" => Error::new(
            ErrorKind::Conflict,
            format!("the claim on {name} was given back already"),
        ),
        "conflict" => Error::new(
            ErrorKind::Conflict,
            format!("what stands under this key on {name} carries other labels, or is of another request"),
        ),
        "absent" => Error::new(ErrorKind::NotFound, format!("{name} is not claimed for this machine")),
        "busy" => Error::new(
            ErrorKind::Unavailable,
            format!("{name} is being reset or claimed by somebody"),
        )
        .retry(Retry::Safe),
        "full" => Error::new(ErrorKind::Unavailable, format!("the disk of {name} is full"))
            .with("folder", rest)
            .next_step(format!("make room on {name}")),
        "halfway" => Error::new(ErrorKind::Unavailable, format!("the disk of {name} is full"))
            .retry(Retry::Unknown)
            .with("folder", rest)
            .next_step(format!("make room on {name}")),
        "folder" => Error::new(ErrorKind::Unauthorized, format!("{rest} on {name} cannot be written"))
            .next_step("log in as a user who can, or name another `folder` in the settings of the provider"),
        "unsupported" => Error::new(ErrorKind::Unsupported, format!("{name}: {rest}"))
            .next_step(format!("install util-linux on {name}")),
        _ => unreadable(name, refusal),
    }
}

/// Adds who has a host, and until when.
fn until(error: Error, rest: &str, who: &'static str) -> Error {
    let (until, name) = rest.split_once(' ').unwrap_or((rest, ""));
    let error = error.with(who, name);
    match until.parse::<i64>() {
        Ok(at) => error.with("until", Time::from_unix_millis(at.saturating_mul(1000))),
        Err(_) => error,
    }
}

/// A host that does not say what came of it.
pub(crate) fn silent(name: &str, what: &'static str, verb: Verb) -> Error {
    let retry = if verb.is_change() { Retry::Unknown } else { Retry::Safe };
    Error::new(ErrorKind::Unavailable, format!("{name}: {what}")).retry(retry)
}

/// An answer that says nothing.
pub(crate) fn unreadable(name: &str, why: &str) -> Error {
    let message = format!("{name}: the host's answer is not understood: {why}");
    Error::new(ErrorKind::Unavailable, message)
}
