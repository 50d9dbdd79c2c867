//! A template file: the whole of Jinja, rendered when what it speaks of is known.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use encamp_core::Name;

use crate::jinja::Compiled;
use crate::text::{Facts, RenderError, Tree, Viewer};
use crate::world::World;

/// A template file and the variables that its step gives it.
#[derive(Clone)]
pub struct Template(Arc<Inner>);

pub(crate) struct Inner {
    /// On the controller.
    pub(crate) file: PathBuf,
    pub(crate) page: Arc<Compiled>,
    /// What it gives as far as that is known while loading, for the hash of a machine.
    pub(crate) digest: String,
    pub(crate) vars: Tree,
    pub(crate) late: bool,
    pub(crate) needs: BTreeSet<Name>,
    pub(crate) secrets: BTreeSet<Name>,
    pub(crate) world: Arc<World>,
    pub(crate) stage: Option<String>,
}

impl Template {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// The file's content as `viewer` sees it.
    pub fn render(&self, facts: &Facts, viewer: &Viewer) -> Result<String, RenderError> {
        crate::jinja::render(&self.0, facts, viewer)
    }

    /// Whether it needs facts of running machines.
    pub fn is_late(&self) -> bool {
        self.0.late
    }

    /// Whether it holds a secret.
    pub fn is_secret(&self) -> bool {
        !self.0.secrets.is_empty()
    }

    /// The secrets that it and its variables speak of.
    pub fn secrets(&self) -> &BTreeSet<Name> {
        &self.0.secrets
    }

    /// The machines that it depends on.
    pub fn needs(&self) -> &BTreeSet<Name> {
        &self.0.needs
    }

    pub(crate) fn digest(&self) -> &str {
        &self.0.digest
    }

    /// The file, on the controller.
    pub fn file(&self) -> &Path {
        &self.0.file
    }

    /// The template as the file has it.
    pub fn source(&self) -> &str {
        &self.0.page.source
    }

    /// The variables that the step gives it.
    pub fn vars(&self) -> &Tree {
        &self.0.vars
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.0.file).finish()
    }
}
