//! The file of a machine's log, read frame by frame. The rest of one that is not whole is read again later: whoever writes
//! it may take it back.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::convert::{Head, Said};

/// The longest head that there is: two numbers.
const HEAD: u64 = 48;

/// Reads from the beginning to the end that there is just now.
#[derive(Debug)]
pub(crate) struct Frames {
    file: BufReader<File>,
    /// Where the next one begins.
    at: u64,
}

impl Frames {
    /// Those of a file; nothing where there is none.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => Ok(Some(Self {
                file: BufReader::new(file),
                at: 0,
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How far it was read.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// How long the file is just now.
    pub(crate) fn length(&self) -> io::Result<u64> {
        Ok(self.file.get_ref().metadata()?.len())
    }

    /// The next one that is whole.
    pub(crate) fn next(&mut self) -> io::Result<Option<Said>> {
        let Some((head, end)) = self.head()? else {
            return Ok(None);
        };
        let mut bytes = vec![0; usize::try_from(head.length).unwrap_or(usize::MAX)];
        self.file.read_exact(&mut bytes)?;
        self.at = end;
        Ok(Some(Said { at: head.at, bytes }))
    }

    /// Where the last one that is whole ends.
    pub(crate) fn end(mut self) -> io::Result<u64> {
        while let Some((head, end)) = self.head()? {
            self.file
                .seek_relative(i64::try_from(head.length).unwrap_or(i64::MAX))?;
            self.at = end;
        }
        Ok(self.at)
    }

    /// The head of the next one that is whole, and where that ends.
    fn head(&mut self) -> io::Result<Option<(Head, u64)>> {
        let mut line = Vec::new();
        let read = (&mut self.file).take(HEAD).read_until(b'\n', &mut line)?;
        let begin = self.at + u64::try_from(read).unwrap_or_default();
        let length = self.length()?;
        let head = Head::read(&line).and_then(|head| Some((head, begin.checked_add(head.length)?)));
        match head.filter(|(_, end)| *end <= length) {
            Some(head) => Ok(Some(head)),
            None => self.back().map(|()| None),
        }
    }

    fn back(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.at)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use encamp_core::Time;

    use super::*;
    use crate::convert::frame;

    #[test]
    fn what_is_framed_is_read_piece_by_piece() {
        let (early, late) = (Time::from_unix_millis(5), Time::from_unix_millis(7));
        let (one, empty, half) = (frame(early, b"one\n\n"), frame(late, b""), frame(late, b"half"));
        let whole = one.len() + empty.len();
        for cut in 0..half.len() {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            for part in [&one[..], &empty, &half[..cut]] {
                file.write_all(part).unwrap();
            }
            let mut frames = Frames::open(file.path()).unwrap().unwrap();
            let mut next = || frames.next().unwrap().map(|said| (said.at, said.bytes));
            assert_eq!(next(), Some((early, b"one\n\n".to_vec())));
            assert_eq!(next(), Some((late, Vec::new())));
            assert_eq!(next(), None);
            let end = Frames::open(file.path()).unwrap().unwrap().end().unwrap();
            assert_eq!(usize::try_from(end).unwrap(), whole, "cut at {cut}");
            // What was taken back was never there.
            file.as_file().set_len(end).unwrap();
            fs::OpenOptions::new()
                .append(true)
                .open(file.path())
                .unwrap()
                .write_all(&frame(early, b"another"))
                .unwrap();
            assert_eq!(next(), Some((early, b"another".to_vec())), "cut at {cut}");
        }
        assert!(Frames::open(Path::new("/nowhere/log")).unwrap().is_none());
    }

    #[test]
    fn what_is_no_frame_ends_what_can_be_read() {
        for broken in [
            "what?\n",
            "1 99999999999999999999\n",
            "1 18446744073709551615\n",
            "7 -1\n",
        ] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            let first = frame(Time::from_unix_millis(5), b"one");
            file.write_all(&first).unwrap();
            file.write_all(broken.as_bytes()).unwrap();
            let end = Frames::open(file.path()).unwrap().unwrap().end().unwrap();
            assert_eq!(usize::try_from(end).unwrap(), first.len(), "{broken}");
            let mut frames = Frames::open(file.path()).unwrap().unwrap();
            assert!(frames.next().unwrap().is_some() && frames.next().unwrap().is_none());
        }
    }
}
