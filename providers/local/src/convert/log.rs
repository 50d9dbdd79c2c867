//! The words of a machine's command as they are kept: frames, each with its moment.

use std::collections::VecDeque;

use encamp_core::Time;

/// One piece of what was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) at: Time,
    pub(crate) bytes: Vec<u8>,
}

/// A piece as it stands in the file: `MILLISECONDS LENGTH`, a line's end, and the bytes.
pub(crate) fn frame(at: Time, bytes: &[u8]) -> Vec<u8> {
    let mut frame = format!("{} {}\n", at.unix_millis(), bytes.len()).into_bytes();
    frame.extend_from_slice(bytes);
    frame
}

/// What stands before the bytes of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) at: Time,
    pub(crate) length: u64,
}

impl Head {
    /// A whole line; nothing where it is none.
    pub(crate) fn read(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
        let (millis, length) = text.split_once(' ')?;
        Some(Self {
            at: Time::from_unix_millis(millis.parse().ok()?),
            length: length.parse().ok()?,
        })
    }
}

/// The last lines of what goes by, and nothing else of it.
#[derive(Debug)]
pub(crate) struct LastLines {
    most: usize,
    lines: VecDeque<Vec<u8>>,
}

impl LastLines {
    /// So many at most.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            lines: VecDeque::new(),
        }
    }

    /// Something more that was said; a line may come in pieces.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match self.lines.back_mut().filter(|last| !last.ends_with(b"\n")) {
                Some(open) => open.extend_from_slice(piece),
                None => self.lines.push_back(piece.to_vec()),
            }
            if self.lines.len() > self.most {
                self.lines.pop_front();
            }
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.lines.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_whole() {
        let tail = |pieces: &[&str], most| {
            let mut last = LastLines::new(most);
            for piece in pieces {
                last.push(piece.as_bytes());
            }
            String::from_utf8(last.into_bytes()).unwrap()
        };
        assert_eq!(tail(&["a\nb\nc\n"], 2), "b\nc\n");
        assert_eq!(tail(&["a\nb", "b\nc", "", "c"], 2), "bb\ncc");
        assert_eq!(tail(&["a\nb\nc"], 1), "c");
        assert_eq!(tail(&["a\n"], 5), "a\n");
        assert_eq!(tail(&["a\n"], 0), "");
    }
}
