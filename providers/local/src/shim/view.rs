//! What a machine sees of this host's files: all of them, and what it writes lands in its own folder.
//!
//! As root that is one overlay of `/`. In a user name space the kernel allows no overlay over what has other mounts in
//! it, so each folder that has none gets its own; and because others' files cannot be owned there, the folders in which
//! files are usually put are the machine's own from the beginning.

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use encamp_core::Mount;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use super::spaces;
use crate::convert::HOME;
use crate::message::Confinement;
use crate::place::Place;

/// What is the machine's own, or not of any disk.
const OWN: [&str; 7] = ["/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", HOME];
/// Where container engines keep trees of their own, which they could not remove any more.
const ENGINES: [&str; 3] = ["/var/lib/docker", "/var/lib/containers", "/var/lib/kubelet"];
/// Folders in which files are put, and which are therefore the machine's own to some depth.
const WRITTEN: [(&str, usize); 7] = [
    ("/etc", 2),
    ("/opt", 2),
    ("/srv", 2),
    ("/mnt", 1),
    ("/usr/local", 2),
    ("/var", 2),
    ("/home", 1),
];

/// Names that the machine itself and its group have.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
}

/// Enters the view. The folder of the machine is the current one.
pub(super) fn enter(place: &Place, cage: Confinement, names: &Names, mounts: &[Mount]) -> Result<(), String> {
    let told = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    if !cage.overlay && !cage.processes {
        return Ok(());
    }
    spaces::leave_mounts().map_err(told("a mount name space"))?;
    if !names.name.is_empty() {
        rustix::system::sethostname(names.name.as_bytes()).map_err(|error| format!("the host name: {error}"))?;
    }
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|error| format!("mounts of its own: {error}"))?;
    if !cage.overlay {
        return processes(Path::new("/proc"), cage).map_err(told("its own /proc"));
    }
    let view = place.folder.join("view");
    let mounted = mounted();
    fs::create_dir_all("upper/etc").map_err(told("its /etc"))?;
    fs::set_permissions("upper/etc", Permissions::from_mode(0o755)).map_err(told("its /etc"))?;
    hosts(Path::new("upper/etc/hosts"), names).map_err(told("its /etc/hosts"))?;
    match overlay("/", Path::new("upper"), Path::new("work"), &view, cage) {
        Ok(()) => {}
        Err(_) if cage.users => piecewise(&view, &mounted, cage).map_err(told("overlays"))?,
        Err(error) => return Err(format!("an overlay: {error}")),
    }
    for other in mounted.iter().filter(|other| other.carried) {
        carry(&other.point, &view);
    }
    furnish(place, &view, cage).map_err(told("its own folders"))?;
    for mount in mounts {
        bind(mount, &view).map_err(|error| format!("{} at {}: {error}", mount.from.display(), mount.to))?;
    }
    turn(&view).map_err(told("its root"))
}

/// The machine's own folders, and those of the kernel.
fn furnish(place: &Place, view: &Path, cage: Confinement) -> io::Result<()> {
    let at = |path: &str| view.join(path.trim_start_matches('/'));
    for path in OWN {
        fs::create_dir_all(at(path))?;
    }
    rustix::mount::mount_bind(place.tmp(), at("/tmp"))?;
    rustix::mount::mount_bind(place.var_tmp(), at("/var/tmp"))?;
    rustix::mount::mount_bind(place.run_folder(), at("/run"))?;
    rustix::mount::mount_bind(place.home(), at(HOME))?;
    rustix::mount::mount_bind_recursive("/dev", at("/dev"))?;
    if at("/dev/shm").is_dir() {
        let mode = CString::new("mode=1777").unwrap_or_default();
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount("tmpfs", at("/dev/shm"), "tmpfs", flags, mode.as_c_str())?;
    }
    // Without the control groups in it, where that is allowed.
    rustix::mount::mount_bind("/sys", at("/sys"))
        .or_else(|_| rustix::mount::mount_bind_recursive("/sys", at("/sys")))?;
    processes(&at("/proc"), cage)
}

fn processes(at: &Path, cage: Confinement) -> io::Result<()> {
    if !cage.processes {
        return Ok(rustix::mount::mount_bind_recursive("/proc", at)?);
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(rustix::mount::mount("proc", at, "proc", flags, None)?)
}

/// Paths stand in the options as they are, so they are relative: nothing in them has to be escaped.
fn overlay(lower: &str, upper: &Path, work: &Path, at: &Path, cage: Confinement) -> io::Result<()> {
    if [',', ':', '\\'].iter().any(|special| lower.contains(*special)) {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    let kind = if cage.users { ",userxattr" } else { "" };
    let (upper, work) = (upper.display(), work.display());
    let options = CString::new(format!("lowerdir={lower},upperdir={upper},workdir={work}{kind}"))?;
    Ok(rustix::mount::mount(
        "encamp",
        at,
        "overlay",
        MountFlags::empty(),
        options.as_c_str(),
    )?)
}

fn piecewise(view: &Path, mounted: &[Mounted], cage: Confinement) -> io::Result<()> {
    rustix::mount::mount_bind(view, view)?;
    let mut pieces = Pieces {
        view,
        mounted,
        cage,
        count: 0,
    };
    pieces.of_folder(Path::new("/"))
}

/// Overlays of the folders that have no mounts in them.
struct Pieces<'a> {
    view: &'a Path,
    mounted: &'a [Mounted],
    cage: Confinement,
    count: u32,
}

/// So many overlays are enough for any host; more are a host that this was not made for.
const PIECES: u32 = 2000;

impl Pieces<'_> {
    fn of_folder(&mut self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            let at = self.view.join(path.strip_prefix("/").unwrap_or(&path));
            if OWN.iter().any(|own| path == Path::new(own)) {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                if fs::symlink_metadata(&at).is_err() {
                    symlink(fs::read_link(&path)?, &at)?;
                }
            } else if kind.is_dir() {
                fs::create_dir_all(&at)?;
                match self.mounted.iter().find(|other| other.point.starts_with(&path)) {
                    // It is a mount itself: carried as one, or not shown.
                    Some(other) if other.point == path => {}
                    // What cannot be looked into is empty for the machine.
                    Some(_) => drop(self.of_folder(&path)),
                    None => self.overlay(&path, &at)?,
                }
            } else if kind.is_file() && fs::symlink_metadata(&at).is_err() {
                fs::write(&at, "")?;
                let _ = rustix::mount::mount_bind(&path, &at);
            }
        }
        Ok(())
    }

    fn overlay(&mut self, path: &Path, at: &Path) -> io::Result<()> {
        self.count += 1;
        if self.count > PIECES {
            return Err(io::Error::other("this host has too many mounts in its folders"));
        }
        let Some(lower) = path.to_str() else { return Ok(()) };
        let upper = Path::new("upper").join(path.strip_prefix("/").unwrap_or(path));
        let work = PathBuf::from(format!("work/{}", lower.trim_start_matches('/').replace('/', "%")));
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(&work)?;
        for (written, depth) in WRITTEN {
            let written = Path::new(written);
            if path.starts_with(written) {
                let used = path.components().count() - written.components().count();
                own(path, &upper, depth.saturating_sub(used));
            } else if let Ok(below) = written.strip_prefix(path) {
                fs::create_dir_all(upper.join(below))?;
                own(written, &upper.join(below), depth);
            }
        }
        // A folder that this user cannot read is empty for the machine.
        let _ = overlay(lower, &upper, &work, at, self.cage);
        Ok(())
    }
}

/// Makes the folders of a tree the machine's own, to a depth. What cannot be read is left alone.
fn own(lower: &Path, upper: &Path, depth: usize) {
    if depth == 0 {
        return;
    }
    for entry in fs::read_dir(lower).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && fs::read_dir(entry.path()).is_ok() {
            let mine = upper.join(entry.file_name());
            if fs::create_dir_all(&mine).is_ok() {
                own(&entry.path(), &mine, depth - 1);
            }
        }
    }
}

/// Another file system, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mounted {
    point: PathBuf,
    /// A machine is to see it.
    carried: bool,
}

/// All of them but the root, the outer before the inner.
fn mounted() -> Vec<Mounted> {
    const KERNEL: [&str; 15] = [
        "proc",
        "sysfs",
        "devtmpfs",
        "devpts",
        "cgroup",
        "cgroup2",
        "nsfs",
        "mqueue",
        "securityfs",
        "debugfs",
        "tracefs",
        "bpf",
        "autofs",
        "fusectl",
        "overlay",
    ];
    const NAMES: [&str; 2] = ["/etc/hosts", "/etc/hostname"];
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found: Vec<Mounted> = table
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let point = unescaped(left.split(' ').nth(4)?);
            let kernel = KERNEL.contains(&right.split(' ').next()?);
            let left_out = OWN.iter().chain(&ENGINES).any(|own| Path::new(&point).starts_with(own));
            let carried = !kernel && !left_out && !NAMES.contains(&point.as_str());
            (point != "/").then(|| Mounted {
                point: point.into(),
                carried,
            })
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The kernel writes blanks and the like as `\040`.
fn unescaped(text: &str) -> String {
    let mut rest = text;
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain + rest
}

/// Shows another file system, which may only be read; one that cannot be shown like that is not shown at all.
fn carry(other: &Path, view: &Path) {
    let at = view.join(other.strip_prefix("/").unwrap_or(other));
    let shown = rustix::mount::mount_bind(other, &at).or_else(|_| rustix::mount::mount_bind_recursive(other, &at));
    if shown.is_ok() && read_only(&at).is_err() {
        let _ = rustix::mount::unmount(&at, UnmountFlags::DETACH);
    }
}

/// A folder of the controller.
fn bind(mount: &Mount, view: &Path) -> io::Result<()> {
    let at = view.join(mount.to.trim_start_matches('/'));
    fs::create_dir_all(&at)?;
    rustix::mount::mount_bind(&mount.from, &at)?;
    if mount.read_only {
        read_only(&at)?;
    }
    Ok(())
}

/// Flags that a mount has stay: in a user name space none may be dropped.
fn read_only(at: &Path) -> io::Result<()> {
    use rustix::fs::StatVfsMountFlags as Has;
    let has = rustix::fs::statvfs(at)?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (one, flag) in [
        (Has::NOSUID, MountFlags::NOSUID),
        (Has::NODEV, MountFlags::NODEV),
        (Has::NOEXEC, MountFlags::NOEXEC),
        (Has::NOATIME, MountFlags::NOATIME),
        (Has::NODIRATIME, MountFlags::NODIRATIME),
        (Has::RELATIME, MountFlags::RELATIME),
    ] {
        if has.contains(one) {
            flags |= flag;
        }
    }
    Ok(rustix::mount::mount_remount(at, flags, "")?)
}

/// The names of this host, and its own on top. A machine that was there before keeps what it has.
fn hosts(file: &Path, names: &Names) -> io::Result<()> {
    if file.exists() || names.name.is_empty() {
        return Ok(());
    }
    let theirs = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let aliases = names.aliases.join(" ");
    fs::write(file, format!("127.0.0.1 {} {aliases}\n{theirs}", names.name))?;
    fs::set_permissions(file, Permissions::from_mode(0o644))
}

/// Makes the view the root. The old one is put on top of it for a moment, and taken away.
fn turn(view: &Path) -> io::Result<()> {
    std::env::set_current_dir(view)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_escapes_are_undone() {
        assert_eq!(unescaped(r"/mnt/a\040b\134c"), r"/mnt/a b\c");
        assert_eq!(unescaped(r"/plain\x"), r"/plain\x");
    }

    #[test]
    fn nothing_of_the_kernels_is_carried() {
        let of_kernel = |other: &Mounted| other.point.starts_with("/proc") || other.point.starts_with("/dev");
        assert!(mounted().iter().any(of_kernel));
        assert!(mounted().iter().all(|other| !(other.carried && of_kernel(other))));
    }
}
