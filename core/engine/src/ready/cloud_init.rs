//! `cloud_init`: cloud-init has done all that the machine's image and its provider had for it.
//!
//! What its `status` says: <https://docs.cloud-init.io/en/latest/reference/cli.html#status>.

use std::time::Duration;

use encamp_core::{Exec, Report};
use tokio_util::sync::CancellationToken;

use super::missed::Missed;
use crate::inside::Inside;

/// Says what it is about. Its exit says no more, and differs between versions.
const ASK: &str = "command -v cloud-init >/dev/null || { echo status: absent; exit 0; }; cloud-init status --long || :";
/// Keys of what it says that do not tell what went wrong.
const BESIDE: [&str; 4] = [
    "last_update:",
    "boot_status_code:",
    "extended_status:",
    "recoverable_errors:",
];
/// Characters of what it says that a message shows.
const SHOWN: usize = 300;

pub(super) async fn attempt(inside: &Inside, limit: Duration) -> Result<(), Missed> {
    let exec = Exec::new(inside.target.clone(), ["sh", "-c", ASK]);
    let said = inside
        .run(exec, None, limit, &CancellationToken::new())
        .await
        .map_err(|error| Report(&error).to_string())?;
    if said.exit.success() {
        judge(&said.text)
    } else {
        // The shell itself was lost: it boots again, or lets nobody in for a moment.
        Err(Missed::Yet(said.exit.to_string()))
    }
}

fn judge(said: &str) -> Result<(), Missed> {
    let status = said
        .lines()
        .find_map(|line| line.strip_prefix("status:"))
        .map(str::trim);
    match status {
        // Also "degraded done": what it could recover from is no error of the machine's.
        Some("done") => Ok(()),
        Some(status) if status.starts_with("error") => {
            Err(Missed::ForGood(format!("it ended with an error: {}", details(said))))
        }
        Some("absent") => Err(Missed::ForGood("cloud-init is not installed in it".to_owned())),
        Some("disabled") => Err(Missed::ForGood(format!("it is disabled: {}", details(said)))),
        Some(status) => Err(Missed::Yet(format!("it is \"{status}\": {}", details(said)))),
        None => Err(Missed::Yet(details(said))),
    }
}

/// What it says beside its status, in one line.
fn details(said: &str) -> String {
    let lines = said.lines().map(str::trim);
    let lines = lines.filter(|line| !line.starts_with("status:") && !BESIDE.iter().any(|key| line.starts_with(key)));
    let text = lines
        .map(|line| line.strip_prefix("detail:").unwrap_or(line).trim())
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_its_versions_say_is_understood() {
        let done = "status: done\nboot_status_code: enabled-by-generator\nlast_update: Thu\ndetail:\nDataSourceNone\n";
        assert_eq!(judge(done), Ok(()));
        let degraded = "status: done\nextended_status: degraded done\nrecoverable_errors:\nWARNING:\n\t- a key\n";
        assert_eq!(judge(degraded), Ok(()));
        let running = "status: running\ndetail:\nRunning in stage: modules-final\n";
        assert_eq!(
            judge(running),
            Err(Missed::Yet(
                "it is \"running\": Running in stage: modules-final".to_owned()
            ))
        );
        let failed = "status: error\nlast_update: Thu\ndetail:\n('runcmd', ProcessExecutionError())\n";
        assert_eq!(
            judge(failed),
            Err(Missed::ForGood(
                "it ended with an error: ('runcmd', ProcessExecutionError())".to_owned()
            ))
        );
        assert!(matches!(judge("status: error - done\n"), Err(Missed::ForGood(_))));
        assert!(matches!(judge("status: disabled\n"), Err(Missed::ForGood(_))));
        assert!(matches!(judge("status: not started\n"), Err(Missed::Yet(_))));
        assert!(matches!(judge("status: absent\n"), Err(Missed::ForGood(_))));
        assert!(matches!(judge(""), Err(Missed::Yet(_))));
        assert!(matches!(judge("Traceback\n"), Err(Missed::Yet(_))));
    }
}
