//! Words of a script on the host in the middle of what a command says.

/// What a word begins and ends with.
const BOUND: u8 = 0x1e;
/// The longest word, with a path in it.
const WORD_BYTES_MAX: usize = 4096;

/// A piece of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The command's.
    Bytes(Vec<u8>),
    /// The script's.
    Word(String),
}

/// Takes the words of one run out of a stream. The run's id is random, so a command says no word by accident.
#[derive(Debug)]
pub(crate) struct Marks {
    begin: Vec<u8>,
    held: Vec<u8>,
}

impl Marks {
    pub(crate) fn new(id: &str) -> Self {
        let begin = [&[BOUND], b"encamp-".as_slice(), id.as_bytes(), b":"].concat();
        Self {
            begin,
            held: Vec::new(),
        }
    }

    /// What more of the stream brings. The beginning of what may be a word is held back until it is known.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Piece> {
        self.held.extend_from_slice(bytes);
        let mut pieces = Vec::new();
        let mut from = 0;
        while let Some(at) = self.held[from..].iter().position(|b| *b == BOUND).map(|at| from + at) {
            let rest = &self.held[at..];
            if !rest.starts_with(&self.begin) {
                if self.begin.starts_with(rest) {
                    break;
                }
                from = at + 1;
                continue;
            }
            let word = &rest[self.begin.len()..];
            let Some(length) = word.iter().position(|b| *b == BOUND) else {
                if word.len() > WORD_BYTES_MAX {
                    from = at + 1;
                    continue;
                }
                break;
            };
            let word = String::from_utf8_lossy(&word[..length]).into_owned();
            let behind = at + self.begin.len() + length + 1;
            if at > 0 {
                pieces.push(Piece::Bytes(self.held[..at].to_vec()));
            }
            pieces.push(Piece::Word(word));
            self.held.drain(..behind);
            from = 0;
        }
        let sure = self.sure();
        if sure > 0 {
            pieces.push(Piece::Bytes(self.held.drain(..sure).collect()));
        }
        pieces
    }

    /// What was held back when the stream ended: no word.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// How much of what is held cannot be the beginning of a word.
    fn sure(&self) -> usize {
        let may_be = |at: &usize| {
            let rest = &self.held[*at..];
            self.begin.starts_with(rest)
                || (rest.starts_with(&self.begin) && rest.len() <= self.begin.len() + WORD_BYTES_MAX)
        };
        let bounds = (0..self.held.len()).filter(|at| self.held[*at] == BOUND);
        bounds.into_iter().find(may_be).unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(chunks: &[&[u8]]) -> (Vec<u8>, Vec<String>) {
        let mut marks = Marks::new("07");
        let (mut bytes, mut words) = (Vec::new(), Vec::new());
        for chunk in chunks {
            for piece in marks.take(chunk) {
                match piece {
                    Piece::Bytes(more) => bytes.extend(more),
                    Piece::Word(word) => words.push(word),
                }
            }
        }
        bytes.extend(marks.rest());
        (bytes, words)
    }

    #[test]
    fn words_are_found_however_the_stream_is_cut() {
        let stream = b"a\x1eb\x1eencamp-07:s1 /tmp\x1e\x1eencamp-07:x0\x1ec\x1eencamp-08:x1\x1e\x1e\x1eencamp-07:e9\x1ed\x1eencamp-";
        let expected = (
            b"a\x1ebc\x1eencamp-08:x1\x1e\x1ed\x1eencamp-".to_vec(),
            vec!["s1 /tmp".to_owned(), "x0".to_owned(), "e9".to_owned()],
        );
        assert_eq!(all(&[stream]), expected);
        for at in 0..stream.len() {
            assert_eq!(all(&[&stream[..at], &stream[at..]]), expected, "cut at {at}");
        }
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(all(&single), expected);
    }

    #[test]
    fn nothing_is_held_back_that_is_no_word() {
        let mut marks = Marks::new("07");
        assert_eq!(marks.take(b"a\x1eb"), [Piece::Bytes(b"a\x1eb".to_vec())]);
        assert_eq!(marks.take(b"\x1eenc"), []);
        assert_eq!(marks.take(b"x"), [Piece::Bytes(b"\x1eencx".to_vec())]);
        let long = [b"\x1eencamp-07:".as_slice(), &[b'x'; WORD_BYTES_MAX + 1]].concat();
        assert_eq!(marks.take(&long), [Piece::Bytes(long.clone())]);
    }
}
