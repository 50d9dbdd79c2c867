//! Where an engine answers.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bollard::{API_DEFAULT_VERSION, Docker};
use encamp_core::{Ambient, Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

use crate::config::Settings;
use crate::error;

/// Where Docker answers when nobody says anything else.
const DEFAULT: &str = "unix:///var/run/docker.sock";

/// The client's own limit; ours are the deadline and the cancellation of each call.
const CLIENT_TIMEOUT_SECS: u64 = 3600;

/// Where an engine answers.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// `unix:///path` or `tcp://host:port`.
    pub(crate) address: String,
    /// Whether it is on this host.
    pub(crate) local: bool,
}

impl Endpoint {
    /// The settings' host, else `DOCKER_HOST`, else Docker's current context, else the default socket.
    pub(crate) fn choose(settings: &Settings, ambient: &Ambient) -> Result<Self> {
        let variable = |name| ambient.variable(name).filter(|value| !value.is_empty());
        let said = settings.host.clone();
        let from_settings = said.is_some();
        let address = match said.or_else(|| variable("DOCKER_HOST").map(str::to_owned)) {
            Some(address) => address,
            None => context_host(ambient)?.unwrap_or_else(|| DEFAULT.to_owned()),
        };
        let local = if address.starts_with("unix://") {
            true
        } else if let Some(authority) = address.strip_prefix("tcp://") {
            is_loopback(authority)
        } else {
            return Err(error::unsupported_endpoint(&address));
        };
        if !from_settings && address.starts_with("tcp://") && variable("DOCKER_TLS_VERIFY").is_some() {
            return Err(tls(&address));
        }
        Ok(Self { address, local })
    }

    /// Whether it is a socket in this host's file system.
    pub(crate) fn is_socket(&self) -> bool {
        self.address.starts_with("unix://")
    }

    /// A client that has sent nothing yet.
    pub(crate) fn client(&self) -> Result<Docker, bollard::errors::Error> {
        if self.is_socket() {
            Docker::connect_with_unix(&self.address, CLIENT_TIMEOUT_SECS, API_DEFAULT_VERSION)
        } else {
            Docker::connect_with_http(&self.address, CLIENT_TIMEOUT_SECS, API_DEFAULT_VERSION)
        }
    }
}

/// The host of Docker's current context, where there is one besides `default`.
fn context_host(ambient: &Ambient) -> Result<Option<String>> {
    let variable = |name| ambient.variable(name).filter(|value| !value.is_empty());
    let in_home = || ambient.home().map(|home| home.join(".docker"));
    let Some(folder) = variable("DOCKER_CONFIG").map(PathBuf::from).or_else(in_home) else {
        return Ok(None);
    };
    let current = match variable("DOCKER_CONTEXT") {
        Some(name) => Some(name.to_owned()),
        None => text_in(&folder.join("config.json"), "/currentContext"),
    };
    let Some(name) = current.filter(|name| name != "default") else {
        return Ok(None);
    };
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(name.as_bytes()));
    let meta = folder.join("contexts").join("meta").join(digest).join("meta.json");
    match text_in(&meta, "/Endpoints/docker/Host") {
        Some(host) => Ok(Some(host)),
        None => Err(
            Error::new(ErrorKind::NotFound, format!("the Docker context `{name}` says no host"))
                .with("file", meta.display())
                .next_step("docker context ls"),
        ),
    }
}

/// One text of a JSON file; none where the file, or the text in it, is not there.
fn text_in(file: &Path, pointer: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let value: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(value.pointer(pointer)?.as_str()?.to_owned())
}

fn is_loopback(authority: &str) -> bool {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn tls(address: &str) -> Error {
    error::unsupported_endpoint(address).with(
        "why",
        "DOCKER_TLS_VERIFY asks for TLS, which this provider does not speak",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ambient(variables: &[(&str, &str)]) -> Ambient {
        Ambient::new(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())), None)
    }

    #[test]
    fn the_settings_win_over_the_variable_over_the_default() {
        let mut settings = Settings::default();
        let choose = |settings: &Settings, ambient: &Ambient| Endpoint::choose(settings, ambient).unwrap();
        assert_eq!(choose(&settings, &Ambient::none()).address, DEFAULT);
        let variable = ambient(&[("DOCKER_HOST", "tcp://10.0.0.1:2375")]);
        let chosen = choose(&settings, &variable);
        assert_eq!((chosen.address.as_str(), chosen.local), ("tcp://10.0.0.1:2375", false));
        settings.host = Some("tcp://[::1]:2375".into());
        assert!(choose(&settings, &variable).local);
    }

    #[test]
    fn what_cannot_be_dialled_is_refused() {
        for variables in [
            &[("DOCKER_HOST", "ssh://lab")][..],
            &[("DOCKER_HOST", "tcp://lab:2376"), ("DOCKER_TLS_VERIFY", "1")][..],
        ] {
            let error = Endpoint::choose(&Settings::default(), &ambient(variables)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
    }

    #[test]
    fn the_current_context_says_the_host() {
        let home = tempfile::tempdir().unwrap();
        let docker = home.path().join(".docker");
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(b"lab"));
        let meta = docker.join("contexts/meta").join(digest);
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(docker.join("config.json"), r#"{"currentContext":"lab"}"#).unwrap();
        let body = r#"{"Name":"lab","Endpoints":{"docker":{"Host":"unix:///lab.sock"}}}"#;
        std::fs::write(meta.join("meta.json"), body).unwrap();
        let ambient = |variables: &[(&str, &str)]| {
            let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            Ambient::new(variables, Some(home.path().to_owned()))
        };
        let choose = |ambient: &Ambient| Endpoint::choose(&Settings::default(), ambient);
        assert_eq!(choose(&ambient(&[])).unwrap().address, "unix:///lab.sock");
        assert_eq!(
            choose(&ambient(&[("DOCKER_CONTEXT", "default")])).unwrap().address,
            DEFAULT
        );
        assert_eq!(
            choose(&ambient(&[("DOCKER_HOST", "unix:///x")])).unwrap().address,
            "unix:///x"
        );
        let error = choose(&ambient(&[("DOCKER_CONTEXT", "gone")])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
