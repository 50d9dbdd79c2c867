//! Folders of the controller in a machine.

use encamp_core::{Capabilities, ErrorKind, Mount};
use tempfile::TempDir;

use super::exec;
use crate::bed::{Bed, expect_kind};
use crate::promise::{Outcome, Promise, ensure, promises};

pub(crate) fn promises() -> [Promise; 3] {
    promises!(mounts {
        a_folder_of_the_controller_is_seen_inside if mounts_with_commands, or "mounts and exec",
        what_may_only_be_read_cannot_be_written if mounts_with_commands, or "mounts and exec",
        a_folder_that_is_not_there_is_invalid if mounts, or "mounts",
    })
}

fn mounts(capabilities: &Capabilities) -> bool {
    capabilities.mounts
}

fn mounts_with_commands(capabilities: &Capabilities) -> bool {
    mounts(capabilities) && exec(capabilities)
}

/// Where no image has anything.
const INSIDE: &str = "/run/encamp/testkit";

async fn a_folder_of_the_controller_is_seen_inside(bed: &Bed) -> Outcome {
    let folder = TempDir::new()?;
    std::fs::write(folder.path().join("first"), "one\n")?;
    let mut request = bed.request("web", bed.factory.plain()).await?;
    request.mounts.push(Mount::read_only(folder.path(), INSIDE));
    let target = bed.raise_request(&bed.stamps.freeze(request)).await?;
    let output = bed.script(&target, &format!("cat {INSIDE}/first")).await?;
    ensure!(output.text() == "one", "inside it is {output:?}");
    // It is the folder itself and no copy.
    std::fs::write(folder.path().join("second"), "two\n")?;
    let output = bed.script(&target, &format!("cat {INSIDE}/second")).await?;
    ensure!(output.text() == "two", "what came later is {output:?} inside");
    Ok(())
}

async fn what_may_only_be_read_cannot_be_written(bed: &Bed) -> Outcome {
    let folder = TempDir::new()?;
    std::fs::write(folder.path().join("kept"), "as it was\n")?;
    let mut request = bed.request("web", bed.factory.plain()).await?;
    request.mounts.push(Mount::read_only(folder.path(), INSIDE));
    let target = bed.raise_request(&bed.stamps.freeze(request)).await?;
    bed.script(
        &target,
        &format!("echo changed > {INSIDE}/kept; echo more > {INSIDE}/more"),
    )
    .await?;
    let kept = std::fs::read_to_string(folder.path().join("kept"))?;
    ensure!(kept == "as it was\n", "the controller's file is {kept:?}");
    ensure!(
        !folder.path().join("more").exists(),
        "a file was added to the controller's folder"
    );
    Ok(())
}

async fn a_folder_that_is_not_there_is_invalid(bed: &Bed) -> Outcome {
    let folder = TempDir::new()?;
    let mut request = bed.request("web", bed.factory.plain()).await?;
    request
        .mounts
        .push(Mount::read_only(folder.path().join("absent"), INSIDE));
    expect_kind(
        bed.create(&bed.stamps.freeze(request)).await,
        ErrorKind::Invalid,
        "a mount of what is not there",
    )
}
