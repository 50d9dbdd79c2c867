//! The same as an ordinary user.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use encamp_core::{ErrorKind, Phase, Resolve};
use libtest_mimic::{Failed, Trial};
use serde_json::json;

use crate::bed::{Bed, cx, is_root, trial};

/// Nobody, whom every host has.
const USER: &str = "65534";

pub(crate) fn trials() -> Vec<Trial> {
    if !is_root() {
        return vec![trial("user::another_one_is_refused_to_an_ordinary_user", refused)];
    }
    vec![
        Trial::test("user::an_ordinary_user_has_all_of_this_too", ordinary),
        trial("user::commands_run_as_another_one", another),
    ]
}

async fn refused() {
    let bed = Bed::new().await;
    let resolve = Resolve::new(json!({ "user": "nobody" }));
    let error = bed.provider.resolve(&cx(), resolve).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    // Nobody resolved it.
    let mut request = bed.request("web", json!({})).await;
    request.body["user"] = json!("nobody");
    assert_eq!(bed.create(request).await.unwrap_err().kind(), ErrorKind::Unsupported);
    bed.raise("web", json!({})).await;
    let mut exec = bed.script("web", "id -u");
    exec.user = Some("nobody".to_owned());
    let refused = bed.provider.exec(&cx(), exec).await.err();
    assert_eq!(refused.expect("it runs").kind(), ErrorKind::Unsupported);
    bed.destroy("web").await;
}

async fn another() {
    let bed = Bed::new().await;
    let said = "id -u; echo $HOME";
    for (env, home) in [(None, "/nonexistent"), (Some("/srv"), "/srv")] {
        let table = json!({ "user": "nobody", "workdir": "/", "command": ["sh", "-c", said] });
        let mut request = bed.request("web", table).await;
        request.env.extend(env.map(|home| ("HOME".to_owned(), home.to_owned())));
        bed.create(request).await.unwrap();
        bed.start("web").await.unwrap();
        bed.wait_for("web", |phase| matches!(phase, Phase::Exited(_))).await;
        assert_eq!(bed.said("web").await, format!("65534\n{home}\n"));
        bed.destroy("web").await;
    }
    bed.raise("web", json!({})).await;
    for (env, home) in [(None, "/nonexistent"), (Some("/srv"), "/srv")] {
        let mut exec = bed.script("web", said);
        (exec.user, exec.cwd) = (Some("nobody".to_owned()), Some("/".to_owned()));
        exec.env.extend(env.map(|home| ("HOME".to_owned(), home.to_owned())));
        assert_eq!(bed.finish(exec).await.out, format!("65534\n{home}\n"));
    }
    bed.destroy("web").await;
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
