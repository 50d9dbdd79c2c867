//! TLS to an engine on another host: whom it trusts, and who it says it is.

use std::path::{Path, PathBuf};

use crate::config::TlsSettings;

/// The files of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tls {
    /// The authorities that are trusted, these alone; the system's where none are given.
    pub(super) ca: Option<PathBuf>,
    /// The certificate that is shown.
    pub(super) cert: Option<PathBuf>,
    /// Its key.
    pub(super) key: Option<PathBuf>,
    /// Whether the engine must show a certificate of a trusted authority, for its name.
    pub(super) verify: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            ca: None,
            cert: None,
            key: None,
            verify: true,
        }
    }
}

impl Tls {
    /// What of `ca.pem`, `cert.pem` and `key.pem` is in a folder; none where nothing is.
    pub(super) fn of_folder(folder: &Path) -> Option<Self> {
        let there = |name: &str| Some(folder.join(name)).filter(|file| file.exists());
        let tls = Self {
            ca: there("ca.pem"),
            cert: there("cert.pem"),
            key: there("key.pem"),
            verify: true,
        };
        (tls != Self::default()).then_some(tls)
    }
}

impl From<&TlsSettings> for Tls {
    fn from(settings: &TlsSettings) -> Self {
        Self {
            ca: settings.ca.clone(),
            cert: settings.cert.clone(),
            key: settings.key.clone(),
            verify: settings.verify,
        }
    }
}
