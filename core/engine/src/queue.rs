//! Who wants places that others have: first come, first served within one installation.
//!
//! Everybody has a ticket, a file with a number that is locked as long as its holder lives: a process that dies leaves no
//! lock, and so nobody waits for it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use encamp_core::{Error, ErrorKind, Result, Site};
use serde::{Deserialize, Serialize};

/// The file whose lock whoever reads or writes tickets has.
const DOOR: &str = "door";

/// The tickets of one installation.
#[derive(Debug, Clone)]
pub struct Queue(Option<PathBuf>);

/// A place in the queue, until it is dropped.
#[derive(Debug)]
pub(crate) struct QueueTicket {
    folder: PathBuf,
    number: u64,
    file: File,
}

/// What a ticket says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wish {
    /// The environment's name.
    pub(crate) environment: String,
    /// Where its machines may be.
    pub(crate) sites: BTreeSet<Site>,
    /// It has found no place yet; before that it is about to take some.
    pub(crate) waits: bool,
}

impl Queue {
    /// Nobody waits: for simulations.
    pub fn none() -> Self {
        Self(None)
    }

    /// The tickets of that folder, which is made when there is one.
    pub fn at(folder: PathBuf) -> Self {
        Self(Some(folder))
    }

    /// Takes the next number; none where there is no queue.
    pub(crate) fn enter(&self, wish: &Wish) -> Result<Option<QueueTicket>> {
        let Some(folder) = &self.0 else { return Ok(None) };
        let enter = || {
            fs::create_dir_all(folder)?;
            let _door = door(folder)?;
            let number = numbers(folder)?.into_iter().max().unwrap_or_default() + 1;
            let mut file = open(&path(folder, number))?;
            file.lock()?;
            write(&mut file, wish)?;
            let folder = folder.clone();
            io::Result::Ok(QueueTicket { folder, number, file })
        };
        enter().map(Some).map_err(|native| lost(folder, native))
    }
}

impl QueueTicket {
    /// Says something else from now on.
    pub(crate) fn say(&mut self, wish: &Wish) -> Result<()> {
        let mut say = || {
            let _door = door(&self.folder)?;
            write(&mut self.file, wish)
        };
        say().map_err(|native| lost(&self.folder, native))
    }

    /// Those with lower numbers who want one of the same sites. Tickets of the dead are removed.
    pub(crate) fn before(&self, sites: &BTreeSet<Site>) -> Result<Vec<Wish>> {
        let look = || {
            let _door = door(&self.folder)?;
            let mut before = Vec::new();
            let earlier = numbers(&self.folder)?.into_iter();
            for number in earlier.filter(|number| *number < self.number) {
                let path = path(&self.folder, number);
                let mut file = open(&path)?;
                match file.try_lock() {
                    Ok(()) => fs::remove_file(&path)?,
                    Err(TryLockError::WouldBlock) => before.extend(read(&mut file)?),
                    Err(TryLockError::Error(error)) => return Err(error),
                }
            }
            before.retain(|wish: &Wish| !wish.sites.is_disjoint(sites));
            Ok(before)
        };
        look().map_err(|native| lost(&self.folder, native))
    }
}

impl Drop for QueueTicket {
    fn drop(&mut self) {
        let _door = door(&self.folder);
        // Without its lock it counts no more; the next one removes it.
        let _ = fs::remove_file(path(&self.folder, self.number));
    }
}

fn door(folder: &Path) -> io::Result<File> {
    let door = open(&folder.join(DOOR))?;
    door.lock()?;
    Ok(door)
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).open(path)
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(number.to_string())
}

fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    Ok(numbers)
}

fn write(file: &mut File, wish: &Wish) -> io::Result<()> {
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(serde_json::to_string(wish)?.as_bytes())
}

/// Nothing where its writer was cut off: it is dead soon.
fn read(file: &mut File) -> io::Result<Option<Wish>> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text).ok())
}

fn lost(folder: &Path, native: io::Error) -> Error {
    let message = format!("the queue in {} cannot be used", folder.display());
    Error::new(ErrorKind::Internal, message).caused_by(native)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(environment: &str, sites: &[&str]) -> Wish {
        Wish {
            environment: environment.to_owned(),
            sites: sites.iter().map(|site| Site::new(*site)).collect(),
            waits: false,
        }
    }

    #[test]
    fn who_came_first_is_before_those_who_want_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::at(folder.path().join("queue"));
        let [a, b, c] = [wish("a", &["x", "y"]), wish("b", &["y", "z"]), wish("c", &["z"])];
        let first = queue.enter(&a).unwrap().unwrap();
        let mut second = queue.enter(&b).unwrap().unwrap();
        let third = queue.enter(&c).unwrap().unwrap();
        assert_eq!(first.before(&a.sites).unwrap(), []);
        assert_eq!(second.before(&b.sites).unwrap(), [a]);
        assert_eq!(third.before(&c.sites).unwrap(), std::slice::from_ref(&b));
        let waiting = Wish {
            waits: true,
            ..b.clone()
        };
        second.say(&waiting).unwrap();
        assert_eq!(third.before(&c.sites).unwrap(), [waiting]);
        drop(first);
        assert_eq!(second.before(&b.sites).unwrap(), []);
        let last = queue.enter(&b).unwrap().unwrap();
        assert_eq!(last.before(&b.sites).unwrap().len(), 2);
    }

    #[test]
    fn nobody_waits_for_the_dead() {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::at(folder.path().to_owned());
        let dead = path(folder.path(), 1);
        fs::write(&dead, serde_json::to_string(&wish("dead", &["x"])).unwrap()).unwrap();
        let ours = wish("ours", &["x"]);
        let ticket = queue.enter(&ours).unwrap().unwrap();
        assert_eq!(ticket.before(&ours.sites).unwrap(), []);
        assert!(!dead.exists());
    }
}
