//! What the machine's command says, kept with its moment.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use encamp_core::Time;

use super::complain;
use crate::convert::frame;
use crate::frames::Frames;
use crate::place::private;

/// The file of one machine's log.
#[derive(Debug, Clone)]
pub(super) struct Log(Arc<Mutex<File>>);

impl Log {
    /// Without what an earlier shim could not write to its end: behind it nothing could be read.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = private().append(true).create(true).open(path)?;
        if let Some(frames) = Frames::open(path)? {
            file.set_len(frames.end()?)?;
        }
        Ok(Self(Arc::new(Mutex::new(file))))
    }

    /// Keeps everything that comes out of a stream, until its end.
    pub(super) fn keep(&self, mut stream: impl Read + Send + 'static) -> io::Result<JoinHandle<()>> {
        let log = self.clone();
        thread::Builder::new().spawn(move || {
            let mut buffer = vec![0; 16 << 10];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                let frame = frame(now(), buffer.get(..read).unwrap_or_default());
                let mut file = log.0.lock().unwrap_or_else(PoisonError::into_inner);
                // The command goes on where its words cannot be kept.
                if let Err(error) = append(&mut file, &frame) {
                    complain(&format!("the log cannot be written: {error}"));
                }
            }
        })
    }
}

/// All of it or nothing.
fn append(file: &mut File, frame: &[u8]) -> io::Result<()> {
    let whole = file.metadata()?.len();
    file.write_all(frame).inspect_err(|_| {
        // Where this fails too, what comes is not read until the next start.
        let _ = file.set_len(whole);
    })
}

/// The wall clock.
pub(crate) fn now() -> Time {
    #[expect(
        clippy::disallowed_methods,
        reason = "the shim has no injected clock: it is the host"
    )]
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    Time::from_unix_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
