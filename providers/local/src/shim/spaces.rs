//! Name spaces of one's own.

use std::fs;
use std::io;

use rustix::thread::UnshareFlags;

use crate::message::Confinement;

/// Leaves the host's spaces, all but that of mounts: whoever is started next is the first process of the new ones.
pub(super) fn leave(cage: Confinement) -> io::Result<()> {
    let mut flags = UnshareFlags::empty();
    if cage.users {
        flags |= UnshareFlags::NEWUSER;
    }
    if cage.processes {
        flags |= UnshareFlags::NEWPID;
    }
    if flags.is_empty() {
        return Ok(());
    }
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    unshare(flags)?;
    if cage.users {
        // Only who may not change groups may map one without privileges.
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    }
    Ok(())
}

/// Mounts and a host name of one's own.
pub(super) fn leave_mounts() -> io::Result<()> {
    unshare(UnshareFlags::NEWNS | UnshareFlags::NEWUTS)
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    #[expect(
        deprecated,
        reason = "the other one is unsafe for the sake of a flag that is not used here, that of descriptors"
    )]
    rustix::thread::unshare(flags)?;
    Ok(())
}
