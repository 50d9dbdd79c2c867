//! What a command that failed has said of it.

use std::borrow::Cow;
use std::time::Duration;

use encamp_core::{Error, ErrorKind, Exit, Retry, Verb};

/// What the last line of standard error begins with where a command knows why it failed, and that nothing came of it:
/// `encamp:error:capacity:all hosts are taken`.
const MARK: &str = "encamp:error:";

/// The kinds that a command may name.
const KINDS: [(&str, ErrorKind); 10] = [
    ("invalid", ErrorKind::Invalid),
    ("unauthorized", ErrorKind::Unauthorized),
    ("not_found", ErrorKind::NotFound),
    ("conflict", ErrorKind::Conflict),
    ("quota", ErrorKind::Quota),
    ("capacity", ErrorKind::Capacity),
    ("throttled", ErrorKind::Throttled),
    ("unavailable", ErrorKind::Unavailable),
    ("unsupported", ErrorKind::Unsupported),
    ("internal", ErrorKind::Internal),
];

/// Lines that an error shows.
const LINES: usize = 5;

/// The error of a command that did not end with 0. Where it does not say why, whether a change happened is not known.
pub(crate) fn refusal(verb: Verb, exit: &Exit, said: &str) -> Error {
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    if let Some(error) = lines.last().and_then(|line| named(line)) {
        return error.at(verb);
    }
    let error = unsure(verb, format!("its command {exit}"));
    let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
    if last.is_empty() {
        error
    } else {
        error.with("said", last)
    }
}

/// The error of a command of which nobody knows what came of it.
pub(crate) fn unsure(verb: Verb, why: impl Into<Cow<'static, str>>) -> Error {
    let retry = if verb.is_change() { Retry::Unknown } else { Retry::Safe };
    Error::new(ErrorKind::Unavailable, why).retry(retry).at(verb)
}

fn named(line: &str) -> Option<Error> {
    let (word, text) = line.strip_prefix(MARK)?.split_once(':')?;
    let (_, kind) = KINDS.into_iter().find(|(known, _)| *known == word)?;
    let retry = match kind {
        ErrorKind::Throttled => Retry::After(Duration::from_secs(1)),
        ErrorKind::Unavailable | ErrorKind::Capacity => Retry::Safe,
        _ => Retry::Never,
    };
    Some(Error::new(kind, text.trim().to_owned()).retry(retry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_it_knows() {
        let failed = Exit::Code(1);
        let error = refusal(
            Verb::Create,
            &failed,
            "warming up\nencamp:error:capacity: all hosts are taken\n",
        );
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Capacity, "all hosts are taken")
        );
        assert_eq!(error.retryable(), Retry::Safe);
        // Not the last line, no known kind: nothing is known.
        for said in ["encamp:error:capacity:no\nbye", "encamp:error:bored:no", ""] {
            let error = refusal(Verb::Create, &failed, said);
            assert_eq!(
                (error.kind(), error.retryable()),
                (ErrorKind::Unavailable, Retry::Unknown),
                "{said}"
            );
        }
        assert_eq!(refusal(Verb::List, &failed, "").retryable(), Retry::Safe);
    }
}
