//! Names of images.

use std::fmt;

/// A name of an image with its tag or digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// `registry:5000/shop/web`.
    pub(crate) repository: String,
    /// `1.5`, or `sha256:…`.
    pub(crate) tag: String,
}

impl Reference {
    /// Reads a name; without a tag it means `latest`, because the engine would pull every tag.
    pub(crate) fn parse(text: &str) -> Self {
        let (repository, tag) = text
            .split_once('@')
            .or_else(|| text.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')))
            .unwrap_or((text, "latest"));
        Self {
            repository: repository.to_owned(),
            tag: tag.to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.tag.contains(':') { '@' } else { ':' };
        write!(f, "{}{mark}{}", self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fall_apart_and_come_together() {
        for (text, repository, tag, whole) in [
            ("postgres", "postgres", "latest", "postgres:latest"),
            ("postgres:17", "postgres", "17", "postgres:17"),
            ("reg:5000/a/b", "reg:5000/a/b", "latest", "reg:5000/a/b:latest"),
            ("reg:5000/a/b:c", "reg:5000/a/b", "c", "reg:5000/a/b:c"),
            ("a@sha256:ff", "a", "sha256:ff", "a@sha256:ff"),
        ] {
            let reference = Reference::parse(text);
            assert_eq!(
                (reference.repository.as_str(), reference.tag.as_str()),
                (repository, tag)
            );
            assert_eq!(reference.to_string(), whole);
        }
    }
}
