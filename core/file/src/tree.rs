//! A kind's table, with its late leaves beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use encamp_core::{Value, late_marker};

use crate::text::{Facts, RenderError, Text, Viewer};

/// A table whose leaves are known, or late [texts](Text).
#[derive(Debug, Clone)]
pub struct Tree(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Late leaves hold markers.
    skeleton: Value,
    /// By JSON pointer.
    late: BTreeMap<String, Text>,
}

impl Tree {
    /// A table without late leaves.
    pub fn fixed(table: Value) -> Self {
        Self::new(table, BTreeMap::new())
    }

    /// `skeleton` holds markers at the pointers of `late`.
    pub(crate) fn new(skeleton: Value, late: BTreeMap<String, Text>) -> Self {
        Self(Arc::new(Inner { skeleton, late }))
    }

    /// The table; late leaves hold [markers](late_marker).
    pub fn skeleton(&self) -> Value {
        self.0.skeleton.clone()
    }

    /// The same without a copy.
    pub fn as_skeleton(&self) -> &Value {
        &self.0.skeleton
    }

    /// The late leaves by JSON pointer.
    pub fn late(&self) -> impl Iterator<Item = (String, &Text)> {
        self.0.late.iter().map(|(pointer, text)| (pointer.clone(), text))
    }

    /// The late leaves' values as `viewer` sees them, for [`encamp_core::fill_late`].
    pub fn render_late(&self, facts: &Facts, viewer: &Viewer) -> Result<BTreeMap<String, Value>, RenderError> {
        let late = self.0.late.iter();
        late.map(|(pointer, text)| Ok((pointer.clone(), text.render_value(facts, viewer)?)))
            .collect()
    }
}

/// The marker of a late text.
pub(crate) fn marker(text: &Text) -> Value {
    late_marker(text.source())
}
