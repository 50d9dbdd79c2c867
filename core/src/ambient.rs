//! What a provider may take from the process that it runs in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::helper::Helper;

/// Variables and folders of the surrounding process, handed over explicitly.
///
/// The library reads no environment by itself: what is not in here does not exist for a
/// provider. The default is empty.
#[derive(Debug, Clone, Default)]
pub struct Ambient {
    variables: BTreeMap<String, String>,
    home: Option<PathBuf>,
    cache: Option<PathBuf>,
    state: Option<PathBuf>,
    helper: Option<Helper>,
}

impl Ambient {
    /// Nothing at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// The variables given, and the home folder if there is one.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>, home: Option<PathBuf>) -> Self {
        Self {
            variables: variables.into_iter().collect(),
            home,
            cache: None,
            state: None,
            helper: None,
        }
    }

    /// Takes all variables of this process that are valid Unicode, and `HOME`.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that a caller asks to read the process"
    )]
    pub fn of_process() -> Self {
        let variables: BTreeMap<_, _> = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        let home = variables.get("HOME").map(PathBuf::from);
        Self {
            variables,
            home,
            cache: None,
            state: None,
            helper: None,
        }
    }

    /// Where a provider may cache what can be made again.
    #[must_use]
    pub fn with_cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    /// Where a provider may keep what machines of this host are made of.
    #[must_use]
    pub fn with_state(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state = Some(folder.into());
        self
    }

    /// The program that can be started again as a shim.
    #[must_use]
    pub fn with_helper(mut self, helper: Helper) -> Self {
        self.helper = Some(helper);
        self
    }

    /// With another value of a variable.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The user's home folder.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The program that can be started again as a shim; none where nobody named one.
    pub fn helper(&self) -> Option<&Helper> {
        self.helper.as_ref()
    }

    /// The state folder.
    pub fn state(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    /// The cache folder.
    pub fn cache(&self) -> Option<&Path> {
        self.cache.as_deref()
    }
}
