//! The codes of what can go wrong outside the environment file: stable, to search for.
//!
//! Codes of the file itself, `E01..`, are `encamp::file`'s.

use encamp::{Error, ErrorKind, Verb};

/// A code, `E0401`.
pub(crate) type Code = &'static str;

/// The settings are wrong.
pub(crate) const SETTINGS: Code = "E0301";
/// No environment, or no machine, is called that.
pub(crate) const NO_SUCH: Code = "E0302";
/// Several environments came from the file.
pub(crate) const SEVERAL: Code = "E0303";
/// Something asks, and nobody can answer.
pub(crate) const NOT_CONFIRMED: Code = "E0307";
/// A file is there already.
pub(crate) const EXISTS: Code = "E0310";
/// A copy was refused.
pub(crate) const COPY: Code = "E0311";
/// A port of this host cannot be listened on.
pub(crate) const LISTEN: Code = "E0312";
/// An image is missing.
pub(crate) const IMAGE: Code = "E0412";
/// A machine did not become ready.
pub(crate) const NOT_READY: Code = "E0414";
/// A port is taken.
pub(crate) const PORT: Code = "E0415";
/// A download is not what its hash says.
pub(crate) const HASH: Code = "E0416";
/// A download failed.
pub(crate) const FETCH: Code = "E0417";
/// What became of a command is not known.
pub(crate) const LOST: Code = "E0419";

/// One line of the table.
struct Row {
    kind: ErrorKind,
    /// During one of these; during any where there are none.
    verbs: &'static [Verb],
    /// A fact that the error must carry.
    fact: Option<&'static str>,
    code: Code,
}

const fn row(kind: ErrorKind, verbs: &'static [Verb], code: Code) -> Row {
    Row {
        kind,
        verbs,
        fact: None,
        code,
    }
}

const fn fetching(kind: ErrorKind, fact: &'static str, code: Code) -> Row {
    Row {
        kind,
        verbs: &[],
        fact: Some(fact),
        code,
    }
}

/// What files from the network say, wherever they land.
const FETCHES: &[Row] = &[
    fetching(ErrorKind::Invalid, "found sha256", HASH),
    fetching(ErrorKind::NotFound, "url", FETCH),
    fetching(ErrorKind::Unavailable, "url", FETCH),
];

/// What providers say. The first line that fits counts.
const PROVIDERS: &[Row] = &[
    row(ErrorKind::Invalid, &[Verb::Connect], SETTINGS),
    row(ErrorKind::Unavailable, &[Verb::Connect, Verb::Check], "E0401"),
    row(
        ErrorKind::NotFound,
        &[Verb::Resolve, Verb::Prepare, Verb::Create],
        IMAGE,
    ),
    row(ErrorKind::Unavailable, &[Verb::Inspect], NOT_READY),
    Row {
        kind: ErrorKind::Conflict,
        verbs: &[Verb::Create, Verb::Start],
        fact: Some("address"),
        code: PORT,
    },
    row(ErrorKind::Unavailable, &[], "E0402"),
    row(ErrorKind::Unauthorized, &[], "E0403"),
    row(ErrorKind::NotFound, &[], "E0404"),
    row(ErrorKind::Conflict, &[], "E0405"),
    row(ErrorKind::Quota, &[], "E0406"),
    row(ErrorKind::Capacity, &[], "E0407"),
    row(ErrorKind::Throttled, &[], "E0408"),
    row(ErrorKind::Unsupported, &[], "E0409"),
    row(ErrorKind::Cancelled, &[], "E0410"),
    row(ErrorKind::Invalid, &[], "E0411"),
    row(ErrorKind::Internal, &[], "E0490"),
];

/// What encamp itself says: the store, names, who holds what.
const OURS: &[Row] = &[
    row(ErrorKind::NotFound, &[], NO_SUCH),
    row(ErrorKind::Conflict, &[], "E0304"),
    row(ErrorKind::Cancelled, &[], "E0305"),
    row(ErrorKind::Invalid, &[], "E0306"),
    row(ErrorKind::Unavailable, &[], "E0308"),
    row(ErrorKind::Internal, &[], "E0390"),
];

/// Whether a provider said it, rather than encamp itself.
pub(crate) fn is_of_provider(error: &Error) -> bool {
    error.provider().is_some() || error.verb().is_some()
}

/// The code of an error.
pub(crate) fn of(error: &Error) -> Code {
    let table = if is_of_provider(error) { PROVIDERS } else { OURS };
    let fits = |row: &&Row| {
        row.kind == error.kind()
            && (row.verbs.is_empty() || error.verb().is_some_and(|verb| row.verbs.contains(&verb)))
            && row.fact.is_none_or(|fact| error.context().any(|(key, _)| key == fact))
    };
    FETCHES.iter().chain(table).find(fits).map_or("E0499", |row| row.code)
}

/// Every code that there is.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = Code> {
    let named = [
        SETTINGS,
        NO_SUCH,
        SEVERAL,
        NOT_CONFIRMED,
        EXISTS,
        COPY,
        LISTEN,
        LOST,
        "E0499",
    ];
    let rows = FETCHES.iter().chain(PROVIDERS).chain(OURS).map(|row| row.code);
    named.into_iter().chain(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrower_line_comes_first() {
        let error = |kind, verb| Error::new(kind, "x").at(verb);
        assert_eq!(of(&error(ErrorKind::Unavailable, Verb::Connect)), "E0401");
        assert_eq!(of(&error(ErrorKind::Unavailable, Verb::Create)), "E0402");
        assert_eq!(of(&error(ErrorKind::NotFound, Verb::Prepare)), "E0412");
        assert_eq!(of(&error(ErrorKind::NotFound, Verb::Exec)), "E0404");
        assert_eq!(of(&error(ErrorKind::Conflict, Verb::Start)), "E0405");
        assert_eq!(
            of(&error(ErrorKind::Conflict, Verb::Start).with("address", "127.0.0.1:80")),
            "E0415"
        );
        assert_eq!(of(&Error::new(ErrorKind::Conflict, "held")), "E0304");
    }
}
