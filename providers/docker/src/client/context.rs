//! Docker's own configuration: which context is the current one, and where a context leads.

use std::path::{Path, PathBuf};

use encamp_core::{Ambient, Error, ErrorKind, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::tls::Tls;

/// The name of what is no context: `DOCKER_HOST` or the default socket.
const DEFAULT: &str = "default";

/// Where a context leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) host: String,
    pub(super) tls: Option<Tls>,
}

/// Docker's folder: `DOCKER_CONFIG`, else `.docker` of the home folder, where there is one.
pub(super) fn folder(ambient: &Ambient) -> Option<PathBuf> {
    let said = ambient.variable("DOCKER_CONFIG").filter(|value| !value.is_empty());
    said.map(PathBuf::from)
        .or_else(|| ambient.home().map(|home| home.join(".docker")))
}

/// The current context of Docker's folder, where it is not the default one, and the file that says so.
pub(super) fn current(folder: &Path) -> Result<Option<(String, PathBuf)>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Config {
        current_context: Option<String>,
    }
    let file = folder.join("config.json");
    let config: Option<Config> = read(&file)?;
    let current = config.and_then(|config| config.current_context);
    let current = current.filter(|name| !name.is_empty() && name != DEFAULT);
    Ok(current.map(|name| (name, file)))
}

/// Whether a name stands for no context.
pub(super) fn is_default(name: &str) -> bool {
    name == DEFAULT
}

/// A context by its name; who asked for it is told in the error.
pub(super) fn find(folder: Option<&Path>, name: &str, origin: &str) -> Result<Context> {
    let missing = |why: String| {
        Error::new(
            ErrorKind::NotFound,
            format!("there is no Docker context `{name}`: {why}"),
        )
        .with("chosen by", origin)
        .next_step("docker context ls")
    };
    let Some(folder) = folder else {
        return Err(missing("neither a home folder nor DOCKER_CONFIG is known".to_owned()));
    };
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(name.as_bytes()));
    let contexts = folder.join("contexts");
    let file = contexts.join("meta").join(&digest).join("meta.json");
    let meta: Meta = read(&file)?.ok_or_else(|| missing(format!("{} is not there", file.display())))?;
    let endpoint = meta.endpoints.docker;
    let host = endpoint.host.filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| missing(format!("{} says no host", file.display())))?;
    let mut tls = Tls::of_folder(&contexts.join("tls").join(&digest).join("docker"));
    if endpoint.skip_tls_verify {
        tls.get_or_insert_default().verify = false;
    }
    Ok(Context { host, tls })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Deserialize, Default)]
struct Endpoints {
    #[serde(default)]
    docker: MetaEndpoint,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct MetaEndpoint {
    host: Option<String>,
    #[serde(default, rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

/// A JSON file; none where it is not there.
fn read<T: for<'de> Deserialize<'de>>(file: &Path) -> Result<Option<T>> {
    let unreadable = |native: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(
            ErrorKind::Invalid,
            format!("Docker's {} cannot be read", file.display()),
        )
        .caused_by(native)
    };
    match std::fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|native| unreadable(native.into())),
        Err(native) if native.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(native) => Err(unreadable(native.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, file: &str, text: &str) {
        let file = folder.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    fn digest(name: &str) -> String {
        data_encoding::HEXLOWER.encode(&Sha256::digest(name.as_bytes()))
    }

    #[test]
    fn a_context_says_host_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let at = |what: &str| format!("contexts/{what}/{}", digest("lab"));
        let meta = r#"{"Name":"lab","Endpoints":{"docker":{"Host":"tcp://lab:2376","SkipTLSVerify":false}}}"#;
        put(folder.path(), &format!("{}/meta.json", at("meta")), meta);
        let plain = find(Some(folder.path()), "lab", "a test").unwrap();
        assert_eq!((plain.host.as_str(), plain.tls), ("tcp://lab:2376", None));
        put(folder.path(), &format!("{}/docker/ca.pem", at("tls")), "x");
        let tls = find(Some(folder.path()), "lab", "a test").unwrap().tls.unwrap();
        let files = folder.path().join(at("tls")).join("docker");
        assert_eq!((tls.ca, tls.cert, tls.verify), (Some(files.join("ca.pem")), None, true));
        put(
            folder.path(),
            &format!("{}/meta.json", at("meta")),
            &meta.replace("false", "true"),
        );
        assert!(!find(Some(folder.path()), "lab", "a test").unwrap().tls.unwrap().verify);
    }

    #[test]
    fn what_is_missing_is_named_with_who_asked_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = find(Some(folder.path()), "gone", "DOCKER_CONTEXT").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.message().contains("`gone`") && error.message().contains("meta.json"));
        assert!(error.context().any(|fact| fact == ("chosen by", "DOCKER_CONTEXT")));
        assert!(find(None, "gone", "x").unwrap_err().message().contains("home folder"));
        put(folder.path(), "config.json", "{");
        assert_eq!(current(folder.path()).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn the_current_context_is_none_where_it_is_the_default() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(current(folder.path()).unwrap(), None);
        for (text, name) in [
            (r#"{"auths":{}}"#, None),
            (r#"{"currentContext":"default"}"#, None),
            (r#"{"currentContext":"lab"}"#, Some("lab")),
        ] {
            put(folder.path(), "config.json", text);
            let found = current(folder.path()).unwrap().map(|(name, _)| name);
            assert_eq!(found.as_deref(), name, "{text}");
        }
    }
}
