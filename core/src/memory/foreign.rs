//! Things in a world that are nobody's here, and must be found unharmed at the end.

use crate::{Class, Labels, Stamp, label};

/// A thing that looks more or less like one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Foreign {
    /// What it is.
    pub class: Class,
    /// What the carrier keeps unique.
    pub key: String,
    /// Its labels.
    pub labels: Labels,
}

impl Foreign {
    /// A machine with any key and labels.
    pub fn new(key: impl Into<String>, labels: Labels) -> Self {
        Self {
            class: Class::Machine,
            key: key.into(),
            labels,
        }
    }

    /// A machine under a name of its own with the labels of ours, as one made from a committed image inherits them.
    pub fn with_copied_labels(of: &Stamp, key: impl Into<String>) -> Self {
        Self::new(key, of.labels.clone())
    }

    /// A machine of another controller.
    pub fn of_other_controller(of: &Stamp) -> Self {
        let mut labels = of.labels.clone();
        labels.insert(label::CONTROLLER.into(), "zzzzzz".into());
        labels.insert(label::PROOF.into(), "of-another-owner".into());
        let key = match of.key.as_str().splitn(3, '-').nth(2) {
            Some(rest) => format!("ec-zzzzzz-{rest}"),
            None => "ec-zzzzzz-other".into(),
        };
        Self::new(key, labels)
    }

    /// A machine under our very key whose proof is not ours.
    pub fn with_wrong_proof(of: &Stamp) -> Self {
        let mut labels = of.labels.clone();
        labels.insert(label::PROOF.into(), "forged".into());
        Self::new(of.key.as_str(), labels)
    }

    /// A machine under a key that begins as ours do, without a label.
    pub fn with_our_prefix(of: &Stamp) -> Self {
        let environment = of.labels.get(label::ENVIRONMENT).map_or("0000000000", String::as_str);
        let controller = of.labels.get(label::CONTROLLER).map_or("000000", String::as_str);
        let key = format!("ec-{controller}-{environment}-web-g1-0000000000000000");
        Self::new(key, Labels::new())
    }

    /// The same as another class.
    #[must_use]
    pub fn as_class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }
}
