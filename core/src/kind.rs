//! Makers of configured providers.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Ambient, Capabilities, Cx, InstanceName, KindName, Provider, Result, Value};

/// What a kind is, before anything is configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct KindInfo {
    /// Its name, which is also the name of its table in an environment file.
    pub name: KindName,
    /// Its version.
    pub version: String,
    /// JSON Schema of its settings.
    pub settings_schema: Value,
    /// JSON Schema of its machine table. A leaf that may be known only later says `"x-late": true`.
    /// A folder whose content makes the machine says `"x-content": ".ignore"`, with the name of the file in it that says
    /// what of it does not count.
    pub table_schema: Value,
    /// The most that an instance of it can do.
    pub most: Capabilities,
}

impl KindInfo {
    /// Puts an info together.
    pub fn new(
        name: KindName,
        version: impl Into<String>,
        settings_schema: Value,
        table_schema: Value,
        most: Capabilities,
    ) -> Self {
        Self {
            name,
            version: version.into(),
            settings_schema,
            table_schema,
            most,
        }
    }
}

impl KindInfo {
    /// Whether an instance of it can do nothing without settings: its schema requires some.
    pub fn needs_settings(&self) -> bool {
        let requires = |schema: &Value| schema["required"].as_array().is_some_and(|keys| !keys.is_empty());
        let of_any = self.settings_schema["anyOf"].as_array();
        requires(&self.settings_schema) || of_any.is_some_and(|any| !any.is_empty() && any.iter().all(requires))
    }
}

/// Something wrong with a table that its schema cannot say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Problem {
    /// JSON pointer to the place; from it come file, line and column.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Problem {
    /// A problem at a place.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            message: message.into(),
            help: None,
        }
    }

    /// Says what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Makes configured providers of one kind. A linked crate, a loaded library and a script table each register one.
#[async_trait]
pub trait Kind: Debug + Send + Sync + 'static {
    /// Name, version, schemas, and the most it can do.
    fn info(&self) -> &KindInfo;

    /// Problems of a machine table beyond its schema. Pure. Late leaves hold [markers](crate::late_marker).
    fn examine(&self, table: &Value) -> Vec<Problem>;

    /// Connects a configured instance and learns its capabilities and its site.
    async fn connect(
        &self,
        cx: &Cx,
        name: InstanceName,
        settings: Value,
        ambient: Ambient,
    ) -> Result<Arc<dyn Provider>>;
}
