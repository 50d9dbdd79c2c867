//! Docker's errors as ours: a table, without any I/O.
//!
//! The engine has status codes and prose, no error codes; what a status does not say is read from the prose
//! here and nowhere else.

use std::time::Duration;

use bollard::errors::Error as Native;
use encamp_core::{Error, ErrorKind, Retry};

/// Why a call to the engine gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The engine, or the way to it, said no.
    #[error(transparent)]
    Native(#[from] Native),
    /// No answer before the deadline.
    #[error("no answer before the deadline")]
    Deadline,
    /// The caller asked to stop.
    #[error("the caller asked to stop")]
    Cancelled,
}

impl Failure {
    /// The HTTP status, where there was an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Native(Native::DockerResponseServerError { status_code, .. }) => Some(*status_code),
            _ => None,
        }
    }

    /// Whether there was an answer that the client cannot read.
    pub(crate) fn is_not_understood(&self) -> bool {
        matches!(
            self,
            Self::Native(Native::JsonDataError { .. } | Native::JsonSerdeError { .. })
        )
    }

    /// What the engine said, where it said something.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Native(Native::DockerResponseServerError { message, .. }) => message,
            Self::Native(Native::DockerStreamError { error }) => error,
            _ => "",
        }
    }
}

/// Whether a call that fails may have had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It has none.
    Read,
    /// It may have one.
    Change,
}

/// What the engine said, as the last link of a chain.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

/// One line of the table: whoever says one of these words means that.
struct Rule {
    words: &'static [&'static str],
    kind: ErrorKind,
    message: &'static str,
    help: Option<&'static str>,
}

const fn rule(words: &'static [&'static str], kind: ErrorKind, message: &'static str) -> Rule {
    Rule {
        words,
        kind,
        message,
        help: None,
    }
}

const fn helped(words: &'static [&'static str], kind: ErrorKind, message: &'static str, help: &'static str) -> Rule {
    Rule {
        words,
        kind,
        message,
        help: Some(help),
    }
}

/// Read from the top; all words are lower case. None of these failures leaves an effect that a destroy would not see.
const RULES: &[Rule] = &[
    helped(
        &[
            "non-overlapping ipv4 address pool",
            "address pools have been fully subnetted",
        ],
        ErrorKind::Quota,
        "the engine has no free range of addresses for another network",
        "`encamp gc` removes networks that are left over; or give the environment a range of its own with `docker.subnet`",
    ),
    helped(
        &["pool overlaps with other one"],
        ErrorKind::Conflict,
        "the subnet overlaps that of another network",
        "choose another `docker.subnet`",
    ),
    rule(
        &["no matching manifest for", "does not match the specified platform"],
        ErrorKind::NotFound,
        "the image is not to be had for this platform",
    ),
    rule(
        &[
            "pull access denied",
            "manifest unknown",
            "manifest for",
            "repository does not exist",
            "no such image",
        ],
        ErrorKind::NotFound,
        "there is no such image",
    ),
    rule(
        &["executable file not found", "no such file or directory: unknown"],
        ErrorKind::Invalid,
        "the machine's command is not in its image",
    ),
    rule(
        &["permission denied: unknown", "exec format error"],
        ErrorKind::Invalid,
        "the machine's command cannot be executed",
    ),
    helped(
        &["no space left on device"],
        ErrorKind::Capacity,
        "the engine's disk is full",
        "`docker system df` shows what fills it",
    ),
    rule(
        &["cannot allocate memory", "resource temporarily unavailable"],
        ErrorKind::Capacity,
        "the engine's host has no room for it now",
    ),
    rule(
        &["toomanyrequests", "rate limit"],
        ErrorKind::Throttled,
        "the registry takes no more requests for now",
    ),
    rule(
        &["is not running", "is paused"],
        ErrorKind::Unavailable,
        "the machine is not running",
    ),
    rule(
        &["logging driver does not support reading"],
        ErrorKind::Unsupported,
        "the engine is set up so that logs cannot be read",
    ),
    rule(
        &["rootfs is marked read-only"],
        ErrorKind::Invalid,
        "the machine's file system is read-only",
    ),
];

/// Where an engine should answer, and who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The address as it was given.
    pub(crate) address: String,
    /// Who said so.
    pub(crate) origin: String,
}

/// Translates a failed call to the engine at a place.
pub(crate) fn translate(failure: Failure, effect: Effect, place: &Place) -> Error {
    let lost = match effect {
        Effect::Read => Retry::Safe,
        Effect::Change => Retry::Unknown,
    };
    match failure {
        Failure::Deadline => no_daemon(place, "it took the connection and did not answer in time").retry(lost),
        Failure::Cancelled => Error::new(ErrorKind::Cancelled, "cancelled before the engine answered").retry(
            if effect == Effect::Change {
                Retry::Unknown
            } else {
                Retry::Never
            },
        ),
        Failure::Native(native) => translate_native(native, effect, lost, place),
    }
}

fn translate_native(native: Native, effect: Effect, lost: Retry, place: &Place) -> Error {
    match native {
        Native::DockerResponseServerError { status_code, message } => answered(status_code, message, effect),
        Native::DockerStreamError { error } => by_words(&error).unwrap_or_else(|| {
            Error::new(ErrorKind::Unavailable, "the engine gave up half way")
                .retry(lost)
                .caused_by(Said(error))
        }),
        Native::SocketNotFoundError(_) => no_daemon(place, "the socket does not exist").retry(Retry::Safe),
        Native::HyperLegacyError { err } if err.is_connect() => unreachable_daemon(place, &err),
        Native::JsonDataError { .. } | Native::JsonSerdeError { .. } => {
            Error::new(ErrorKind::Internal, "the engine's answer is not understood")
                .retry(lost)
                .caused_by(native)
        }
        Native::UnsupportedURISchemeError { uri } => unsupported_endpoint(&uri),
        Native::InvalidURIError { .. } | Native::InvalidURIPartsError { .. } | Native::URLParseError { .. } => {
            Error::new(ErrorKind::Invalid, "a name in the request cannot stand in an address").caused_by(native)
        }
        other => Error::new(
            ErrorKind::Unavailable,
            format!("the connection to the Docker daemon at {} broke", place.address),
        )
        .retry(lost)
        .with("chosen by", &place.origin)
        .caused_by(other),
    }
}

/// The engine answered with a status that is no success.
fn answered(status: u16, message: String, effect: Effect) -> Error {
    if let Some(error) = port_taken(&message).or_else(|| by_words(&message)) {
        return error;
    }
    let (kind, text) = match status {
        400 => (ErrorKind::Invalid, "the engine refuses the request"),
        401 | 403 => (ErrorKind::Unauthorized, "the engine does not allow it"),
        404 => (ErrorKind::NotFound, "the engine knows no such thing"),
        409 => (ErrorKind::Conflict, "something else stands in the way"),
        429 => (ErrorKind::Throttled, "the engine takes no more requests for now"),
        _ => (ErrorKind::Unavailable, "the engine failed"),
    };
    let retry = match (status, effect) {
        (429, _) => Retry::After(Duration::from_secs(1)),
        (500.., Effect::Change) => Retry::Unknown,
        (500.., Effect::Read) => Retry::Safe,
        _ => Retry::Never,
    };
    Error::new(kind, text)
        .retry(retry)
        .with("status", status)
        .caused_by(Said(message))
}

fn by_words(message: &str) -> Option<Error> {
    let lower = message.to_lowercase();
    let rule = RULES
        .iter()
        .find(|rule| rule.words.iter().any(|words| lower.contains(words)))?;
    let mut error = Error::new(rule.kind, rule.message).caused_by(Said(message.to_owned()));
    if let Some(help) = rule.help {
        error = error.next_step(help);
    }
    if rule.kind == ErrorKind::Throttled {
        error = error.retry(Retry::After(Duration::from_secs(30)));
    }
    Some(error)
}

/// `Bind for 127.0.0.1:8080 failed: port is already allocated`, or docker-proxy's
/// `listen tcp4 127.0.0.1:8080: bind: address already in use`.
fn port_taken(message: &str) -> Option<Error> {
    let before = ["failed: port is already allocated", ": bind: address already in use"]
        .iter()
        .find_map(|end| message.split_once(end))?
        .0;
    let address = before.trim_end().rsplit(' ').next()?;
    let port = address.rsplit(':').next()?;
    Some(
        Error::new(
            ErrorKind::Conflict,
            format!("port {port} of the engine's host is taken"),
        )
        .with("address", address)
        .next_step("drop `publish` to get a free port, or end what holds this one")
        .caused_by(Said(message.to_owned())),
    )
}

fn unreachable_daemon(place: &Place, native: &(dyn std::error::Error + 'static)) -> Error {
    let mut link = Some(native);
    let mut last = native.to_string();
    while let Some(error) = link {
        last = error.to_string();
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::PermissionDenied
        {
            return Error::new(
                ErrorKind::Unauthorized,
                format!("this user may not speak to the Docker daemon at {}", place.address),
            )
            .with("chosen by", &place.origin)
            .next_step("sudo usermod -aG docker \"$USER\", then log in again")
            .caused_by(Said(last));
        }
        link = error.source();
    }
    no_daemon(place, last).retry(Retry::Safe)
}

/// Nobody answers where a daemon should.
pub(crate) fn no_daemon(place: &Place, why: impl Into<String>) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("no Docker daemon answers at {}", place.address),
    )
    .with("chosen by", &place.origin)
    .next_step("sudo systemctl start docker, or point `host` of the provider (or DOCKER_HOST) at one that runs")
    .caused_by(Said(why.into()))
}

/// An address that this provider cannot dial.
pub(crate) fn unsupported_endpoint(host: &str) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!("`{host}` is no address that this provider can dial"),
    )
    .next_step("use `unix:///path/to.sock`, `tcp://host:port` or `https://host:port`")
}

/// Something of another's stands under our key.
pub(crate) fn foreign(what: &str, name: &str, id: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("a {what} that is not ours has the name `{name}`"),
    )
    .with("id", short(id))
}

/// A failure that is a missing thing.
pub(crate) fn missing(what: &str, name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no {what} `{name}`"))
}

/// The first eight characters of an id, without its algorithm.
pub(crate) fn short(id: &str) -> &str {
    let bare = id.strip_prefix("sha256:").unwrap_or(id);
    bare.get(..8).unwrap_or(bare)
}

/// An image that is neither here nor to be had.
pub(crate) fn image_missing(image: &str, near: &[String], failure: Failure, place: &Place) -> Error {
    let (said, kind, retry) = match &failure {
        Failure::Native(Native::DockerResponseServerError { .. } | Native::DockerStreamError { .. }) => {
            let text = failure.text().to_owned();
            match by_words(&text).map(|error| error.kind()) {
                Some(kind @ (ErrorKind::Throttled | ErrorKind::Capacity)) => (text, kind, Retry::Safe),
                Some(_) => (text, ErrorKind::NotFound, Retry::Never),
                // The registry could not be asked; it may be possible later.
                None => (text, ErrorKind::NotFound, Retry::Safe),
            }
        }
        _ => return translate(failure, Effect::Read, place),
    };
    let mut error = Error::new(kind, format!("image `{image}` is not here and cannot be pulled"))
        .retry(retry)
        .next_step(format!(
            "docker pull {image} shows the registry's answer; or write `docker.build`"
        ))
        .with("key", "image")
        .caused_by(Said(said));
    if !near.is_empty() {
        error = error.with("near", near.join(", "));
    }
    error
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn place() -> Place {
        Place {
            address: "unix:///x".into(),
            origin: "DOCKER_HOST".into(),
        }
    }

    fn said(status_code: u16, message: &str, effect: Effect) -> Error {
        let native = Native::DockerResponseServerError {
            status_code,
            message: message.to_owned(),
        };
        translate(native.into(), effect, &place())
    }

    #[test]
    fn statuses_and_prose_have_their_kind() {
        let table = [
            (404, "No such container: x", ErrorKind::NotFound),
            (404, "No such image: x:latest", ErrorKind::NotFound),
            (409, "Conflict. The container name is in use", ErrorKind::Conflict),
            (409, "Container 3c1f is not running", ErrorKind::Unavailable),
            (
                404,
                "pull access denied for x, repository does not exist or may require 'docker login'",
                ErrorKind::NotFound,
            ),
            (
                500,
                "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
                ErrorKind::Quota,
            ),
            (
                400,
                "OCI runtime create failed: exec: \"nope\": executable file not found in $PATH: unknown",
                ErrorKind::Invalid,
            ),
            (400, "minimum memory limit allowed is 6MB", ErrorKind::Invalid),
            (500, "write /x: no space left on device", ErrorKind::Capacity),
            (503, "starting", ErrorKind::Unavailable),
        ];
        for (status, message, kind) in table {
            assert_eq!(said(status, message, Effect::Read).kind(), kind, "{message}");
        }
    }

    #[test]
    fn a_taken_port_is_named() {
        let error = said(
            500,
            "driver failed programming external connectivity on endpoint x (3c1f): Bind for 127.0.0.1:8080 failed: port is already allocated",
            Effect::Change,
        );
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains("port 8080"), "{error}");
        assert_eq!(error.retryable(), Retry::Never);
        let error = said(
            500,
            "Error starting userland proxy: listen tcp4 127.0.0.1:8081: bind: address already in use",
            Effect::Change,
        );
        assert!(error.message().contains("port 8081"), "{error}");
    }

    #[test]
    fn a_failed_change_is_unknown_and_a_failed_read_is_safe() {
        assert_eq!(said(500, "oops", Effect::Change).retryable(), Retry::Unknown);
        assert_eq!(said(500, "oops", Effect::Read).retryable(), Retry::Safe);
        let timed_out = translate(Native::RequestTimeoutError.into(), Effect::Change, &place());
        assert_eq!(timed_out.retryable(), Retry::Unknown);
        let cancelled = translate(Failure::Cancelled, Effect::Change, &place());
        assert_eq!(
            (cancelled.kind(), cancelled.retryable()),
            (ErrorKind::Cancelled, Retry::Unknown)
        );
    }

    #[test]
    fn a_missing_socket_is_safe_even_for_a_change() {
        let error = translate(
            Native::SocketNotFoundError("/x".into()).into(),
            Effect::Change,
            &place(),
        );
        assert_eq!((error.kind(), error.retryable()), (ErrorKind::Unavailable, Retry::Safe));
        assert!(error.hint().is_some());
    }

    #[test]
    fn a_missing_image_names_itself_and_its_neighbours() {
        let native = Native::DockerStreamError {
            error: "manifest unknown".into(),
        };
        let error = image_missing("shop/web:1.5", &["shop/web:1.4".to_owned()], native.into(), &place());
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.message().contains("shop/web:1.5"));
        let told = [("key", "image"), ("near", "shop/web:1.4")];
        assert_eq!(error.context().collect::<Vec<_>>(), told);
        assert_eq!(
            error.source().map(ToString::to_string).as_deref(),
            Some("manifest unknown")
        );
    }
}
