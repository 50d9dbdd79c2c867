//! The file in which the words of a machine's command are kept: frames, each with its moment.

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

impl Said {
    /// The first whole piece, and how long it is in the file; nothing where none is whole.
    pub(crate) fn first(text: &[u8]) -> Option<(Self, usize)> {
        let end = text.iter().position(|byte| *byte == b'\n')?;
        let head = std::str::from_utf8(text.get(..end)?).ok()?;
        let (millis, length) = head.split_once(' ')?;
        let (millis, length): (i64, usize) = (millis.parse().ok()?, length.parse().ok()?);
        let to = (end + 1).checked_add(length)?;
        let bytes = text.get(end + 1..to)?.to_vec();
        let at = Time::from_unix_millis(millis);
        Some((Self { at, bytes }, to))
    }

    /// The last so many lines of pieces.
    pub(crate) fn tail(bytes: &[u8], lines: usize) -> &[u8] {
        if lines == 0 {
            return &[];
        }
        let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let mut ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
        match ends.nth(lines - 1) {
            Some((at, _)) => bytes.get(at + 1..).unwrap_or_default(),
            None => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_framed_is_read_piece_by_piece() {
        let (early, late) = (Time::from_unix_millis(5), Time::from_unix_millis(7));
        let mut file = frame(early, b"one\n\n");
        file.extend(frame(late, b""));
        file.extend_from_slice(&frame(late, b"half")[..5]);
        let (first, length) = Said::first(&file).unwrap();
        assert_eq!((first.at, &first.bytes[..]), (early, &b"one\n\n"[..]));
        let (second, more) = Said::first(&file[length..]).unwrap();
        assert_eq!((second.at, second.bytes.len()), (late, 0));
        assert_eq!(Said::first(&file[length + more..]), None);
    }

    #[test]
    fn the_last_lines_are_whole() {
        assert_eq!(Said::tail(b"a\nb\nc\n", 2), b"b\nc\n");
        assert_eq!(Said::tail(b"a\nb\nc", 1), b"c");
        assert_eq!(Said::tail(b"a\n", 5), b"a\n");
        assert_eq!(Said::tail(b"a\n", 0), b"");
    }
}
