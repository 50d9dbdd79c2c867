//! What goes wrong here, as the contract's errors; pure.

use std::io;
use std::path::Path;

use encamp_core::{Error, ErrorKind, Retry};

/// A failure that is a name held by something else.
pub(crate) fn foreign(key: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("a machine that is not ours has the name `{key}`"),
    )
}

/// A failure that is a missing machine.
pub(crate) fn missing(object: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no machine `{object}`"))
}

/// A machine in which nothing can run now.
pub(crate) fn not_running(object: &str, why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the machine `{object}` {why}")).retry(Retry::Safe)
}

/// A port that something else listens on.
pub(crate) fn port_taken(port: u16, native: io::Error) -> Error {
    Error::new(ErrorKind::Conflict, format!("port {port} of this host is taken"))
        .with("address", format!("127.0.0.1:{port}"))
        .next_step("drop `publish` to get a free port, or end what holds this one")
        .caused_by(native)
}

/// A file of ours that cannot be read or written.
pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.display().to_string();
    move |native| {
        let kind = match native.kind() {
            io::ErrorKind::PermissionDenied => ErrorKind::Unauthorized,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Capacity,
            _ => ErrorKind::Internal,
        };
        Error::new(kind, format!("{path} cannot be used")).caused_by(native)
    }
}

/// A change whose effect may have happened.
pub(crate) fn unknown(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, text.into()).retry(Retry::Unknown)
}
