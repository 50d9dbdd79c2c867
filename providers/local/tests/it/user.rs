//! The same as an ordinary user.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use libtest_mimic::{Failed, Trial};

/// Nobody, whom every host has.
const USER: &str = "65534";

pub(crate) fn trials() -> Vec<Trial> {
    vec![Trial::test("user::an_ordinary_user_has_all_of_this_too", ordinary)]
}

fn ordinary() -> Result<(), Failed> {
    // A place that everybody can enter, for the program and for its machines.
    let folder = tempfile::tempdir_in("/var/tmp")?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o1777))?;
    let program = folder.path().join("it");
    std::fs::copy(std::env::current_exe()?, &program)?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
    command.arg(&program).args(["--test-threads", "2"]).current_dir("/");
    let output = command.env("TMPDIR", folder.path()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Err(said.into())
}
