//! The variables that encamp reads: all of them, and nowhere else.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use encamp::Ambient;

/// A variable, and what it is for.
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
}

/// What every variable of encamp's own begins with: `ENCAMP__STATE_DIR` is the setting `state_dir`.
pub(crate) const PREFIX: &str = "ENCAMP";
/// Between the parts of a setting's name.
pub(crate) const SEPARATOR: &str = "__";

const HOME: &str = "HOME";
const XDG_STATE_HOME: &str = "XDG_STATE_HOME";
const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
const XDG_CACHE_HOME: &str = "XDG_CACHE_HOME";
const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";
const USER: &str = "USER";
const LOGNAME: &str = "LOGNAME";
const TERM: &str = "TERM";
#[cfg(feature = "failpoints")]
const FAILPOINT: &str = "ENCAMP__FAILPOINT";
#[cfg(feature = "failpoints")]
const FAILPOINT_TRACE: &str = "ENCAMP__FAILPOINT_TRACE";

/// All of them. Providers read their own (`DOCKER_HOST` and its like) through [`Ambient`].
pub(crate) const TABLE: &[Variable] = &[
    Variable {
        name: "ENCAMP__STATE_DIR",
        meaning: "where the store is, as --state",
    },
    Variable {
        name: "ENCAMP__TIMEOUTS__CREATE",
        meaning: "the setting timeouts.create, and so on for each setting",
    },
    Variable {
        name: "ENCAMP__PROVIDERS__DOCKER__HOST",
        meaning: "the setting providers.docker.host, and so on",
    },
    Variable {
        name: "ENCAMP__PLUGINS",
        meaning: "folders and manifests of plugins, with commas between them",
    },
    Variable {
        name: "ENCAMP__LOG",
        meaning: "what to log on standard error: warn, encamp_engine=debug",
    },
    Variable {
        name: "NO_COLOR, CLICOLOR_FORCE",
        meaning: "no colour, or colour where there is no terminal",
    },
];

/// The variables of this process, read once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables(BTreeMap<OsString, OsString>);

impl Variables {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads them")]
    pub(crate) fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    #[cfg(test)]
    pub(crate) fn of(pairs: impl IntoIterator<Item = (&'static str, PathBuf)>) -> Self {
        let pairs = pairs.into_iter();
        Self(pairs.map(|(name, value)| (name.into(), value.into())).collect())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0
            .get(&OsString::from(name))?
            .to_str()
            .filter(|text| !text.is_empty())
    }

    /// A folder; by the rules of XDG one that is not absolute counts as not given.
    fn folder(&self, name: &str) -> Option<PathBuf> {
        self.0
            .get(&OsString::from(name))
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    }

    fn below_home(&self, variable: &str, otherwise: &str) -> Option<PathBuf> {
        let base = self
            .folder(variable)
            .or_else(|| Some(self.folder(HOME)?.join(otherwise)));
        Some(base?.join("encamp"))
    }

    /// Where state is kept where nothing else is said.
    pub(crate) fn state(&self) -> Option<PathBuf> {
        self.below_home(XDG_STATE_HOME, ".local/state")
    }

    /// Where secrets lie that machines get as files: in memory, and gone with the session or the next boot.
    pub(crate) fn runtime(&self) -> PathBuf {
        match self.folder(XDG_RUNTIME_DIR) {
            Some(folder) => folder.join("encamp"),
            None => PathBuf::from(format!("/dev/shm/encamp-{}", rustix::process::getuid().as_raw())),
        }
    }

    /// The user's own settings.
    pub(crate) fn settings_file(&self) -> Option<PathBuf> {
        Some(self.below_home(XDG_CONFIG_HOME, ".config")?.join("settings.toml"))
    }

    /// Who uses encamp.
    pub(crate) fn user(&self) -> String {
        let named = self.text(USER).or_else(|| self.text(LOGNAME));
        named.map_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()), str::to_owned)
    }

    /// The part that this process is asked to play instead of obeying its arguments.
    pub(crate) fn helper(&self) -> Option<&str> {
        self.text(encamp::helper::VARIABLE)
    }

    /// What the terminal is called.
    pub(crate) fn terminal(&self) -> Option<String> {
        self.text(TERM).map(str::to_owned)
    }

    /// The terminal can only print.
    pub(crate) fn terminal_is_dumb(&self) -> bool {
        self.text(TERM) == Some("dumb")
    }

    /// The variables that are settings.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (String, String)> {
        let prefix = format!("{PREFIX}{SEPARATOR}");
        self.0
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value.to_str()?.to_owned())))
            .filter(move |(name, _)| name.starts_with(&prefix) && !Self::is_failpoint(name))
    }

    #[cfg(feature = "failpoints")]
    fn is_failpoint(name: &str) -> bool {
        [FAILPOINT, FAILPOINT_TRACE].contains(&name)
    }

    #[cfg(not(feature = "failpoints"))]
    fn is_failpoint(_: &str) -> bool {
        false
    }

    /// Where the process is to be killed, and where the names of the places go.
    #[cfg(feature = "failpoints")]
    pub(crate) fn failpoints(&self) -> (Option<&str>, Option<PathBuf>) {
        (self.text(FAILPOINT), self.text(FAILPOINT_TRACE).map(PathBuf::from))
    }

    /// What providers may take from this process.
    pub(crate) fn ambient(&self) -> Ambient {
        let text = self
            .0
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value.to_str()?.to_owned())));
        let ambient = Ambient::new(text, self.folder(HOME));
        match self.below_home(XDG_CACHE_HOME, ".cache") {
            Some(folder) => ambient.with_cache(folder),
            None => ambient,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        Variables(
            pairs
                .iter()
                .map(|(name, value)| (OsString::from(name), OsString::from(value)))
                .collect(),
        )
    }

    #[test]
    fn folders_follow_xdg_and_then_home() {
        let both = variables(&[("HOME", "/home/anna"), ("XDG_STATE_HOME", "/state")]);
        assert_eq!(both.state(), Some(PathBuf::from("/state/encamp")));
        assert_eq!(
            both.settings_file(),
            Some(PathBuf::from("/home/anna/.config/encamp/settings.toml"))
        );
        let relative = variables(&[("HOME", "/home/anna"), ("XDG_STATE_HOME", "state")]);
        assert_eq!(relative.state(), Some(PathBuf::from("/home/anna/.local/state/encamp")));
        assert_eq!(variables(&[]).state(), None);
        let session = variables(&[("XDG_RUNTIME_DIR", "/run/user/7")]);
        assert_eq!(session.runtime(), PathBuf::from("/run/user/7/encamp"));
        let own = format!("/dev/shm/encamp-{}", rustix::process::getuid().as_raw());
        assert_eq!(variables(&[]).runtime(), PathBuf::from(own));
    }

    #[test]
    fn only_our_own_are_settings() {
        let some = variables(&[
            ("ENCAMP__STATE_DIR", "/x"),
            ("ENCAMP_TESTS_RUN", "1"),
            ("ENCAMPX__A", "1"),
        ]);
        assert_eq!(
            some.settings().map(|(name, _)| name).collect::<Vec<_>>(),
            ["ENCAMP__STATE_DIR"]
        );
    }
}
