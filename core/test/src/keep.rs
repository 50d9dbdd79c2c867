//! Environments that stay for a look inside.

use std::path::Path;

use encamp::{Ambient, Error, ErrorKind, Result};

/// The variable that keeps environments.
pub(crate) const KEEP: &str = "ENCAMP_TEST_KEEP";

/// When the environments of a test stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Never,
    OnFailure,
    Always,
}

impl Keep {
    pub(crate) fn of(ambient: &Ambient) -> Result<Self> {
        match ambient.variable(KEEP) {
            None | Some("" | "never") => Ok(Self::Never),
            Some("on-failure") => Ok(Self::OnFailure),
            Some("always") => Ok(Self::Always),
            Some(other) => {
                let error = Error::new(ErrorKind::Invalid, format!("{KEEP} is `{other}`"));
                Err(error.next_step("set it to on-failure, always or never"))
            }
        }
    }

    pub(crate) fn keeps(self, failed: bool) -> bool {
        match self {
            Self::Never => false,
            Self::OnFailure => failed,
            Self::Always => true,
        }
    }
}

/// The beginning of a command on these environments.
pub(crate) fn encamp(state: &Path) -> String {
    format!("encamp --state {}", encamp::shell::quote(&state.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        assert_eq!(encamp(Path::new("/a/b-1")), "encamp --state /a/b-1");
        assert_eq!(encamp(Path::new("/a b/it's")), r"encamp --state '/a b/it'\''s'");
    }

    #[test]
    fn a_word_that_is_not_known_is_no_silence() {
        let of = |value: &str| Keep::of(&Ambient::new([(KEEP.to_owned(), value.to_owned())], None));
        assert_eq!(of("on-failure").expect("a word"), Keep::OnFailure);
        assert_eq!(of("").expect("nothing"), Keep::Never);
        assert!(of("yes").is_err());
        assert!(Keep::OnFailure.keeps(true) && !Keep::OnFailure.keeps(false));
    }
}
