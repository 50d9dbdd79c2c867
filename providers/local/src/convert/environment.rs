//! What every process of a machine finds in its environment.

use std::collections::BTreeMap;

use super::Record;
use crate::place::Place;
use crate::process::COOKIE;

/// Where programs are found; the user's own `PATH` would make one machine differ from another.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A machine's home where its files are its own.
pub(crate) const HOME: &str = "/root";

/// The environment of a machine: what each has, and on top of it what was asked for.
pub(crate) fn base(record: &Record, place: &Place) -> BTreeMap<String, String> {
    let shown = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), PATH.to_owned()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("HOSTNAME".to_owned(), record.create.name.to_string()),
        ("HOME".to_owned(), default_home(record, place)),
    ]);
    if !record.confinement.overlay {
        env.insert("TMPDIR".to_owned(), shown(place.tmp()));
        env.insert("ENCAMP_RUN".to_owned(), shown(place.run_folder()));
    }
    env.extend(record.create.env.clone());
    env.insert(COOKIE.to_owned(), record.tag.clone());
    env
}

/// Where commands start that say nothing else.
pub(crate) fn default_folder(record: &Record, place: &Place) -> String {
    let workdir = record.table.workdir.clone();
    workdir.unwrap_or_else(|| default_home(record, place))
}

fn default_home(record: &Record, place: &Place) -> String {
    if record.confinement.overlay {
        HOME.to_owned()
    } else {
        place.home().to_string_lossy().into_owned()
    }
}
