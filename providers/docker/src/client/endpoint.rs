//! Where an engine answers, and who said so.

use std::net::IpAddr;
use std::path::PathBuf;

use bollard::{API_DEFAULT_VERSION, Docker};
use encamp_core::{Ambient, Error, ErrorKind, Result};

use super::context;
use super::tls::Tls;
use crate::config::Settings;
use crate::error::{self, Effect, Place, translate};

/// Where Docker answers when nobody says anything else.
const DEFAULT: &str = "unix:///var/run/docker.sock";

/// The client's own limit; ours are the deadline and the cancellation of each call.
pub(super) const CLIENT_TIMEOUT_SECS: u64 = 3600;

/// Where an engine answers.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// As errors speak of it.
    pub(crate) place: Place,
    /// Whether it is on this host, as far as the address says.
    pub(crate) local: bool,
    way: Way,
}

/// How it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Socket,
    Plain { authority: String },
    Secure { authority: String, tls: Tls },
}

impl Endpoint {
    /// The settings' host or context, else `DOCKER_HOST`, else `DOCKER_CONTEXT`, else Docker's current context,
    /// else the default socket: the order of Docker's own command line.
    pub(crate) fn choose(settings: &Settings, ambient: &Ambient) -> Result<Self> {
        let variable = |name| ambient.variable(name).filter(|value| !value.is_empty());
        let folder = context::folder(ambient);
        let in_context = |name: &str, origin: String| {
            let found = context::find(folder.as_deref(), name, &origin)?;
            Self::of(&found.host, found.tls, origin)
        };
        let of_settings = settings.tls.as_ref().map(Tls::from);
        if let Some(host) = &settings.host {
            return Self::of(host, of_settings, "`host` of the provider's settings".into());
        }
        if let Some(name) = settings.context.as_ref().filter(|name| !context::is_default(name)) {
            return in_context(name, "`context` of the provider's settings".into());
        }
        let asked_for_default = settings.context.is_some();
        if let Some(host) = variable("DOCKER_HOST") {
            let certificates = variable("DOCKER_CERT_PATH").map(PathBuf::from).or(folder);
            let verify = variable("DOCKER_TLS_VERIFY").is_some();
            let wants_tls = verify || host.starts_with("https://");
            let of_folder = || certificates.as_deref().and_then(Tls::of_folder).unwrap_or_default();
            let tls = of_settings.or_else(|| wants_tls.then(of_folder));
            let origin = if verify {
                "DOCKER_HOST and DOCKER_TLS_VERIFY"
            } else {
                "DOCKER_HOST"
            };
            return Self::of(host, tls, origin.into());
        }
        if let Some(name) = variable("DOCKER_CONTEXT").filter(|_| !asked_for_default) {
            if !context::is_default(name) {
                return in_context(name, format!("DOCKER_CONTEXT={name}"));
            }
        } else if let Some(folder) = folder.as_deref().filter(|_| !asked_for_default)
            && let Some((name, file)) = context::current(folder)?
        {
            return in_context(&name, format!("the current context `{name}` in {}", file.display()));
        }
        Self::of(
            DEFAULT,
            None,
            "nothing says another one, so it is Docker's default".into(),
        )
    }

    fn of(address: &str, tls: Option<Tls>, origin: String) -> Result<Self> {
        let secure = tls.is_some() || address.starts_with("https://");
        let authority = ["tcp://", "http://", "https://"]
            .iter()
            .find_map(|scheme| address.strip_prefix(scheme));
        let (way, local) = match authority.map(|authority| authority.trim_end_matches('/')) {
            None if address.starts_with("unix://") => (Way::Socket, true),
            Some(authority) if is_authority(authority) => {
                let local = is_loopback(host_of(authority));
                let authority = with_port(authority, if secure { 2376 } else { 2375 });
                if secure && address.starts_with("http://") {
                    let text = format!("`{address}` asks for a connection without TLS, and there are TLS files");
                    return Err(Error::new(ErrorKind::Invalid, text)
                        .with("chosen by", origin)
                        .next_step("write `tcp://` or `https://`"));
                }
                let way = if secure {
                    let tls = tls.unwrap_or_default();
                    Way::Secure { authority, tls }
                } else {
                    Way::Plain { authority }
                };
                (way, local)
            }
            _ => return Err(error::unsupported_endpoint(address).with("chosen by", origin)),
        };
        Ok(Self {
            place: Place {
                address: address.to_owned(),
                origin,
            },
            local,
            way,
        })
    }

    /// Whether it is a socket in this host's file system.
    pub(crate) fn is_socket(&self) -> bool {
        self.way == Way::Socket
    }

    /// The path of that socket.
    pub(crate) fn socket(&self) -> Option<&str> {
        self.place.address.strip_prefix("unix://").filter(|_| self.is_socket())
    }

    /// The name of the engine's host, where the address says it.
    pub(crate) fn host(&self) -> Option<&str> {
        match &self.way {
            Way::Socket => None,
            Way::Plain { authority } | Way::Secure { authority, .. } => Some(host_of(authority)),
        }
    }

    /// A client that has sent nothing yet.
    pub(crate) fn client(&self) -> Result<Docker> {
        let failed = |native: bollard::errors::Error| translate(native.into(), Effect::Read, &self.place);
        match &self.way {
            Way::Socket => {
                Docker::connect_with_unix(&self.place.address, CLIENT_TIMEOUT_SECS, API_DEFAULT_VERSION).map_err(failed)
            }
            Way::Plain { authority } => {
                Docker::connect_with_http(authority, CLIENT_TIMEOUT_SECS, API_DEFAULT_VERSION).map_err(failed)
            }
            Way::Secure { authority, tls } => tls.client(authority).map_err(|error| {
                error
                    .with("endpoint", &self.place.address)
                    .with("chosen by", &self.place.origin)
            }),
        }
    }
}

/// `host`, `host:port`, `[::1]:port`; a path or a user in an address would not be kept.
fn is_authority(text: &str) -> bool {
    !host_of(text).is_empty() && !text.contains(['/', '@', ' ', '?', '#'])
}

fn host_of(authority: &str) -> &str {
    if let Some(bracketed) = authority.strip_prefix('[') {
        return bracketed.split(']').next().unwrap_or_default();
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

fn with_port(authority: &str, port: u16) -> String {
    let after = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    if after.contains(':') {
        authority.to_owned()
    } else {
        format!("{authority}:{port}")
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::config::TlsSettings;

    fn ambient(variables: &[(&str, &str)], home: Option<&Path>) -> Ambient {
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Ambient::new(variables, home.map(Path::to_owned))
    }

    fn chosen(settings: &Settings, ambient: &Ambient) -> (String, String) {
        let endpoint = Endpoint::choose(settings, ambient).unwrap();
        (endpoint.place.address, endpoint.place.origin)
    }

    /// A home folder whose contexts are `lab` and `attic`, `lab` the current one.
    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let docker = home.path().join(".docker");
        for name in ["lab", "attic"] {
            let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(name.as_bytes()));
            let meta = docker.join("contexts/meta").join(digest);
            std::fs::create_dir_all(&meta).unwrap();
            let body = format!(r#"{{"Name":"{name}","Endpoints":{{"docker":{{"Host":"unix:///{name}.sock"}}}}}}"#);
            std::fs::write(meta.join("meta.json"), body).unwrap();
        }
        std::fs::write(docker.join("config.json"), r#"{"currentContext":"lab"}"#).unwrap();
        home
    }

    #[test]
    fn each_choice_wins_over_the_next_and_says_who_made_it() {
        let home = home();
        let mut settings = Settings::default();
        let default = chosen(&settings, &Ambient::none());
        assert_eq!(default.0, DEFAULT);
        assert!(default.1.contains("default"));

        let (address, origin) = chosen(&settings, &ambient(&[], Some(home.path())));
        assert_eq!(address, "unix:///lab.sock");
        assert!(origin.contains("`lab`") && origin.contains("config.json"), "{origin}");

        let context = [("DOCKER_CONTEXT", "attic")];
        let (address, origin) = chosen(&settings, &ambient(&context, Some(home.path())));
        assert_eq!(
            (address.as_str(), origin.as_str()),
            ("unix:///attic.sock", "DOCKER_CONTEXT=attic")
        );
        let none = [("DOCKER_CONTEXT", "default")];
        assert_eq!(chosen(&settings, &ambient(&none, Some(home.path()))).0, DEFAULT);

        let both = [("DOCKER_CONTEXT", "attic"), ("DOCKER_HOST", "unix:///x")];
        let variables = ambient(&both, Some(home.path()));
        assert_eq!(
            chosen(&settings, &variables),
            ("unix:///x".into(), "DOCKER_HOST".into())
        );

        settings.context = Some("lab".into());
        let (address, origin) = chosen(&settings, &variables);
        assert_eq!(address, "unix:///lab.sock");
        assert!(origin.contains("settings"));
        settings.context = Some("default".into());
        assert_eq!(chosen(&settings, &variables).0, "unix:///x");
        assert_eq!(chosen(&settings, &ambient(&context, Some(home.path()))).0, DEFAULT);

        settings.context = None;
        settings.host = Some("tcp://[::1]:2375".into());
        let endpoint = Endpoint::choose(&settings, &variables).unwrap();
        assert!(endpoint.local && !endpoint.is_socket());
        assert_eq!(endpoint.host(), Some("::1"));
    }

    #[test]
    fn certificates_come_from_where_docker_keeps_them() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, "x").unwrap();
        let certificates = folder.path().to_str().unwrap();
        let way = |variables: &[(&str, &str)], settings: &Settings| {
            Endpoint::choose(settings, &ambient(variables, None)).unwrap().way
        };
        let settings = Settings::default();
        let secure = |authority: &str, tls: Tls| Way::Secure {
            authority: authority.into(),
            tls,
        };
        let found = Tls {
            ca: Some(ca.clone()),
            ..Tls::default()
        };
        for host in ["tcp://lab:2376", "tcp://lab", "https://lab:2376/"] {
            let variables = [
                ("DOCKER_HOST", host),
                ("DOCKER_TLS_VERIFY", "1"),
                ("DOCKER_CERT_PATH", certificates),
            ];
            assert_eq!(way(&variables, &settings), secure("lab:2376", found.clone()), "{host}");
        }
        assert_eq!(
            way(&[("DOCKER_HOST", "https://lab:1")], &settings),
            secure("lab:1", Tls::default())
        );
        assert_eq!(
            way(&[("DOCKER_HOST", "tcp://lab")], &settings),
            Way::Plain {
                authority: "lab:2375".into()
            }
        );
        let settings = Settings {
            host: Some("tcp://lab:2376".into()),
            tls: Some(TlsSettings::default()),
            ..Settings::default()
        };
        // The settings' host does not get the variables' certificates.
        let variables = [("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", certificates)];
        assert_eq!(way(&variables, &settings), secure("lab:2376", Tls::default()));
    }

    #[test]
    fn what_cannot_be_dialled_is_refused_with_its_origin() {
        for host in [
            "ssh://lab",
            "fd://",
            "lab:2375",
            "tcp://",
            "tcp://user@lab:1",
            "tcp://lab/x",
        ] {
            let error = Endpoint::choose(&Settings::default(), &ambient(&[("DOCKER_HOST", host)], None)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{host}");
            assert!(
                error.context().any(|fact| fact == ("chosen by", "DOCKER_HOST")),
                "{error:?}"
            );
        }
        let variables = [("DOCKER_HOST", "http://lab:2375"), ("DOCKER_TLS_VERIFY", "1")];
        let error = Endpoint::choose(&Settings::default(), &ambient(&variables, None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let gone = ambient(&[("DOCKER_CONTEXT", "gone")], None);
        let error = Endpoint::choose(&Settings::default(), &gone).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
