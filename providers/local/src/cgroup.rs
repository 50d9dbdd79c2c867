//! Control groups: the one that a machine's processes cannot leave, and those that limit them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Access;
use serde::{Deserialize, Serialize};

use crate::place::fresh_name;
use crate::process::pause;
use crate::table::Table;

/// How a hierarchy writes its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Version {
    One,
    Two,
}

/// What can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    Memory,
    Cpus,
    Pids,
}

impl Limit {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Cpus, Self::Pids];

    fn controller(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpus => "cpu",
            Self::Pids => "pids",
        }
    }

    /// The key of the table that asks for it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpus => "cpus",
            Self::Pids => "pids",
        }
    }

    /// The file and the text that say so much.
    fn written(self, table: &Table, version: Version) -> Option<Vec<(&'static str, String)>> {
        let one = |file, text: String| Some(vec![(file, text)]);
        match (self, version) {
            (Self::Memory, Version::One) => one("memory.limit_in_bytes", table.memory?.0.to_string()),
            (Self::Memory, Version::Two) => one("memory.max", table.memory?.0.to_string()),
            (Self::Pids, _) => one("pids.max", table.pids?.to_string()),
            (Self::Cpus, version) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a positive number of cores, as the table says; the cast saturates"
                )]
                let quota = ((table.cpus? * f64::from(PERIOD_MICROS)) as u64).max(1000);
                match version {
                    Version::One => Some(vec![
                        ("cpu.cfs_period_us", PERIOD_MICROS.to_string()),
                        ("cpu.cfs_quota_us", quota.to_string()),
                    ]),
                    Version::Two => one("cpu.max", format!("{quota} {PERIOD_MICROS}")),
                }
            }
        }
    }
}

const PERIOD_MICROS: u32 = 100_000;

/// A group in which groups of machines can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) folder: PathBuf,
    version: Version,
}

/// What this process may do with groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Groups {
    /// Where a machine's processes can be caged, or why they cannot.
    pub(crate) cage: Result<PathBuf, String>,
    /// What can be limited.
    pub(crate) limits: Vec<(Limit, Base)>,
}

/// A machine's own group of one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limiter {
    pub(crate) limit: Limit,
    pub(crate) folder: PathBuf,
    version: Version,
}

impl Limiter {
    pub(crate) fn new(limit: Limit, base: &Base, key: &str) -> Self {
        Self {
            limit,
            folder: named(&base.folder, key),
            version: base.version,
        }
    }

    /// Makes the group with what the table says.
    pub(crate) fn make(&self, table: &Table) -> io::Result<()> {
        make(&self.folder)?;
        for (file, text) in self.limit.written(table, self.version).unwrap_or_default() {
            fs::write(self.folder.join(file), text)?;
        }
        Ok(())
    }
}

/// The group of a machine.
pub(crate) fn named(base: &Path, key: &str) -> PathBuf {
    base.join(format!("encamp-{key}"))
}

/// Makes a group; one that is there is fine.
pub(crate) fn make(group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Puts a process, all of its threads, into a group.
pub(crate) fn enter(group: &Path, pid: u32) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), pid.to_string())
}

/// Kills everything in a group, also what forks meanwhile; one that is not there is fine.
pub(crate) fn kill(group: &Path) -> io::Result<()> {
    match fs::write(group.join("cgroup.kill"), "1") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether something lives in a group.
pub(crate) fn is_populated(group: &Path) -> bool {
    says(&group.join("cgroup.events"), "populated 1")
}

/// Whether everything in a group stands still, or is about to.
pub(crate) fn is_frozen(group: &Path) -> bool {
    fs::read_to_string(group.join("cgroup.freeze")).is_ok_and(|text| text.trim() == "1")
}

/// Lets everything in a group stand still, or go on.
pub(crate) fn freeze(group: &Path, still: bool) -> io::Result<()> {
    fs::write(group.join("cgroup.freeze"), if still { "1" } else { "0" })?;
    for _ in 0..FREEZE_LOOKS {
        if says(&group.join("cgroup.events"), "frozen 1") == still {
            return Ok(());
        }
        pause(LOOK);
    }
    Err(io::Error::other("the group does not come to a standstill"))
}

const FREEZE_LOOKS: u32 = 1000;
const LOOK: Duration = Duration::from_millis(5);

fn says(file: &Path, line: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.lines().any(|one| one == line))
}

/// Removes a group that is empty, with the groups that were made in it.
pub(crate) fn remove(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path())?;
        }
    }
    for _ in 0..REMOVALS {
        match fs::remove_dir(group) {
            // A process lets its files go before it leaves its group.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => pause(LOOK),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => return Ok(()),
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

const REMOVALS: u32 = 1000;

impl Groups {
    /// What there is on this host for this user.
    pub(crate) fn of_this_host() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let cage = match place(&mounts, &own, None) {
            None => Err("no control groups of version 2 are mounted".to_owned()),
            Some(folder) => match may_cage(&folder) {
                Ok(()) => Ok(folder),
                Err(error) => Err(format!("{} is not this user's to use: {error}", folder.display())),
            },
        };
        // A group that cannot cage limits nothing either.
        let unified = cage.as_deref().ok();
        let limits = Limit::ALL
            .into_iter()
            .filter_map(|limit| Some((limit, limiting(limit, &mounts, &own, unified)?)))
            .collect();
        Self { cage, limits }
    }
}

/// A process is moved by who may write to the group above both, and `cgroup.kill` came with Linux 5.14. Below a group
/// that has threaded ones, a group takes no processes.
fn may_cage(folder: &Path) -> io::Result<()> {
    let probe = named(folder, &format!("probe-{}", fresh_name()?));
    rustix::fs::access(folder.join("cgroup.procs"), Access::WRITE_OK)?;
    fs::create_dir(&probe)?;
    let can = rustix::fs::access(probe.join("cgroup.kill"), Access::WRITE_OK)
        .and_then(|()| rustix::fs::access(probe.join("cgroup.procs"), Access::WRITE_OK));
    let kind = fs::read_to_string(probe.join("cgroup.type"));
    fs::remove_dir(&probe)?;
    can?;
    match kind?.trim() {
        "domain" => Ok(()),
        other => Err(io::Error::other(format!("a group in it is `{other}`"))),
    }
}

fn limiting(limit: Limit, mounts: &str, own: &str, unified: Option<&Path>) -> Option<Base> {
    let controller = limit.controller();
    let writable = |folder: &Path| rustix::fs::access(folder, Access::WRITE_OK).is_ok();
    if let Some(folder) = place(mounts, own, Some(controller)).filter(|folder| writable(folder)) {
        let version = Version::One;
        return Some(Base { folder, version });
    }
    let folder = unified.filter(|folder| writable(folder))?.to_owned();
    let has = |file: &str| {
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        text.split_whitespace().any(|word| word == controller)
    };
    let handed_on =
        || may_hand_on(&folder) && fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}")).is_ok();
    let can = has("cgroup.subtree_control") || has("cgroup.controllers") && handed_on();
    can.then_some(Base {
        folder,
        version: Version::Two,
    })
}

/// Only a group without processes of its own, or the root of all, may hand controllers on. The kernel refuses some to the
/// others, and takes threaded ones, after which no group in it takes processes any more.
fn may_hand_on(folder: &Path) -> bool {
    // Only the root has no type.
    let is_root = matches!(fs::exists(folder.join("cgroup.type")), Ok(false));
    is_root || fs::read_to_string(folder.join("cgroup.procs")).is_ok_and(|processes| processes.trim().is_empty())
}

/// The folder of this process's own group: of version 2, or of the version 1 hierarchy of a controller.
fn place(mounts: &str, own: &str, controller: Option<&str>) -> Option<PathBuf> {
    let (root, point) = mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let fields: Vec<&str> = left.split(' ').collect();
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1)?);
        let fits = match controller {
            None => kind == "cgroup2",
            Some(controller) => kind == "cgroup" && options.split(',').any(|option| option == controller),
        };
        fits.then(|| Some((*fields.get(3)?, *fields.get(4)?)))?
    })?;
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let fits = match controller {
            None => controllers.is_empty(),
            Some(controller) => controllers.split(',').any(|one| one == controller),
        };
        fits.then_some(path)
    })?;
    let below = path.strip_prefix(root).unwrap_or(path);
    let below = below.trim_start_matches('/');
    Some(if below.is_empty() {
        point.into()
    } else {
        Path::new(point).join(below)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
30 1 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
31 1 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 1 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn ones_own_groups_are_found() {
        let own = "4:memory:/user/7\n2:cpu,cpuacct:/\n0::/user.slice/x.scope\n";
        let of = |controller| place(MOUNTS, own, controller).map(|path| path.display().to_string());
        assert_eq!(of(None).unwrap(), "/sys/fs/cgroup/unified/user.slice/x.scope");
        assert_eq!(of(Some("memory")).unwrap(), "/sys/fs/cgroup/memory/user/7");
        assert_eq!(of(Some("cpu")).unwrap(), "/sys/fs/cgroup/cpu,cpuacct");
        assert_eq!(of(Some("pids")), None);
    }

    /// A folder that looks like a group of version 2 with all controllers.
    fn group(kind: Option<&str>, processes: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            ("cgroup.type", kind),
            ("cgroup.procs", Some(processes)),
            ("cgroup.controllers", Some("cpu memory pids")),
            ("cgroup.subtree_control", Some("")),
        ];
        for (name, text) in files.into_iter().filter_map(|(name, text)| Some((name, text?))) {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn controllers_are_handed_on_only_where_nothing_breaks_by_it() {
        for (kind, processes, may) in [
            (Some("domain"), "7\n", false),
            (Some("domain"), "", true),
            (None, "7\n", true),
        ] {
            let group = group(kind, processes);
            for limit in Limit::ALL {
                let base = limiting(limit, "", "", Some(group.path()));
                assert_eq!(base.is_some(), may, "{limit:?} of {kind:?} with {processes:?}");
            }
            let handed_on = fs::read_to_string(group.path().join("cgroup.subtree_control")).unwrap();
            assert_eq!(!handed_on.is_empty(), may, "{kind:?} with {processes:?}: {handed_on}");
        }
    }

    #[test]
    fn a_group_whose_children_take_no_processes_is_no_cage() {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let Some(base) = place(&mounts, &own, None) else {
            return;
        };
        if let Err(error) = may_cage(&base) {
            // As an ordinary user nobody hands one out.
            let is_root = rustix::process::geteuid().is_root();
            assert!(!is_root, "{} cannot cage: {error}", base.display());
            return;
        }
        let group = named(&base, &format!("test-{}", fresh_name().unwrap()));
        fs::create_dir(&group).unwrap();
        let before = may_cage(&group);
        let threaded = group.join("threaded");
        fs::create_dir(&threaded).unwrap();
        let made = fs::write(threaded.join("cgroup.type"), "threaded");
        let after = may_cage(&group);
        remove(&group).unwrap();
        assert!(before.is_ok() && made.is_ok(), "{before:?} {made:?}");
        assert!(after.unwrap_err().to_string().contains("domain invalid"));
    }

    #[test]
    fn limits_are_written_as_each_version_has_them() {
        let table = Table {
            cpus: Some(0.5),
            memory: Some(crate::table::ByteSize(64 << 20)),
            ..Table::default()
        };
        let written = |limit: Limit, version| limit.written(&table, version);
        assert_eq!(
            written(Limit::Cpus, Version::Two).unwrap(),
            [("cpu.max", "50000 100000".to_owned())]
        );
        assert_eq!(
            written(Limit::Memory, Version::One).unwrap(),
            [("memory.limit_in_bytes", "67108864".to_owned())]
        );
        assert_eq!(written(Limit::Pids, Version::Two), None);
    }
}
