//! The words of the scripts, read once.

/// What a script says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// The command has begun, in this boot of the host; the run's folder.
    Began { boot: String, folder: String },
    /// A session that looks for a run says which boot the host is in.
    Boot(String),
    /// Standard input was taken up to there.
    Taken(u64),
    /// The end of standard input was told.
    InputEnded,
    /// The command has closed its standard input.
    Deaf,
    /// How the command ended.
    Exit(i32),
    /// So much was said on an output, and no more will be.
    Total(Output, u64),
    /// The disk of the host was full, and an output has a hole from here on.
    Full,
    /// An output is not kept as far back as is asked for.
    Hole,
    /// Who supervised the command is not there any more.
    Orphaned,
    /// The script does not go on; the reason.
    Refused(String),
    /// Of another script.
    Other(String),
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Out,
    Err,
}

impl Word {
    pub(crate) fn parse(text: &str) -> Self {
        let other = || Self::Other(text.to_owned());
        let Some(first) = text.chars().next() else {
            return other();
        };
        let rest = &text[first.len_utf8()..];
        let number = || rest.parse::<u64>();
        let said = match first {
            '!' => Some(Self::Refused(rest.to_owned())),
            's' => rest.split_once(' ').map(|(boot, folder)| Self::Began {
                boot: boot.to_owned(),
                folder: folder.to_owned(),
            }),
            'b' => Some(Self::Boot(rest.to_owned())),
            'i' => number().ok().map(Self::Taken),
            'o' => number().ok().map(|total| Self::Total(Output::Out, total)),
            'e' => number().ok().map(|total| Self::Total(Output::Err, total)),
            'x' => rest.parse().ok().map(Self::Exit),
            'I' if rest.is_empty() => Some(Self::InputEnded),
            'c' if rest.is_empty() => Some(Self::Deaf),
            'd' if rest.len() == 1 => Some(Self::Full),
            'h' if rest.len() == 1 => Some(Self::Hole),
            'g' if rest.is_empty() => Some(Self::Orphaned),
            _ => None,
        };
        said.unwrap_or_else(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_others_kept() {
        assert_eq!(
            Word::parse("sb-1 /run/x y"),
            Word::Began {
                boot: "b-1".into(),
                folder: "/run/x y".into()
            }
        );
        assert_eq!(Word::parse("x141"), Word::Exit(141));
        assert_eq!(Word::parse("e9"), Word::Total(Output::Err, 9));
        assert_eq!(Word::parse("!full /run"), Word::Refused("full /run".into()));
        for other in ["", "x", "ended", "ä", "sent"] {
            assert_eq!(Word::parse(other), Word::Other(other.into()), "{other}");
        }
    }
}
