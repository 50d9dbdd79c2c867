//! A keeper that works by a store which is lost makes room for one that works by the store that there is.

use std::time::Duration;

use encamp_core::{Error, ErrorKind, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::seat::Seat;
use crate::clock::monotonic_now as now;

/// How long a process that was killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(5);

/// Ends whoever sits there: it has its own record, in a file that has no name any more, and would end the environment by
/// the lease that it says. A keeper may die at any point.
pub(super) async fn dismiss(seat: &Seat) -> Result<()> {
    let Some(pid) = seat.keeper()? else { return Ok(()) };
    let failed = |e: rustix::io::Errno| {
        Error::new(
            ErrorKind::Unavailable,
            format!("the keeper, process {pid}, cannot be ended"),
        )
        .caused_by(e)
    };
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(process) = process else { return Ok(()) };
    let process = pidfd_open(process, PidfdFlags::empty()).map_err(failed)?;
    // What was opened sits there, and is no other that has its number by now.
    if !seat.is_open_in(pid) || seat.keeper()? != Some(pid) {
        return Ok(());
    }
    pidfd_send_signal(&process, Signal::KILL).map_err(failed)?;
    let began = now();
    while seat.keeper()? == Some(pid) {
        if began.elapsed() > PATIENCE {
            return Err(failed(rustix::io::Errno::TIMEDOUT));
        }
        tokio::time::sleep(GLANCE).await;
    }
    Ok(())
}
