//! A round through encamp.

use std::fmt::Write;

use encamp::{Command, Encamp, Events, Exit};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::AsyncReadExt;

use crate::Failure;
use crate::docker::{IMAGE, IN_FLIGHT, MACHINES};

/// Up, one command on each machine, down.
pub(crate) async fn round(encamp: &Encamp, instance: &str, table: &str) -> Result<(), Failure> {
    let environment = describe(encamp, instance, MACHINES, table)?;
    let up = encamp.prepare_up(environment, Events::none()).await?.execute().await?;
    if !up.ready {
        return Err(format!("not ready: {:?}", up.errors).into());
    }
    let environment = encamp.environment(&up.environment).await?;
    stream::iter(environment.machines().map(|machine| async move {
        let mut process = machine.spawn(Command::new(["true"])).await?;
        let mut said = Vec::new();
        process.stdout.read_to_end(&mut said).await?;
        match process.control.wait().await? {
            Exit::Code(0) => Ok::<_, Failure>(()),
            exit => Err(exit.to_string().into()),
        }
    }))
    .buffer_unordered(IN_FLIGHT)
    .try_collect::<()>()
    .await?;
    let disposal = encamp.down(&up.environment, Events::none()).await?;
    if disposal.is_clean() {
        Ok(())
    } else {
        Err(format!("left: {:?}", disposal.left).into())
    }
}

/// The table of a machine on Docker.
pub(crate) fn of_docker() -> String {
    format!("docker.image = \"{IMAGE}\"\ndocker.command = [\"sleep\", \"600\"]")
}

/// An environment of so many machines, by the file language as everybody writes it.
pub(crate) fn describe(
    encamp: &Encamp,
    instance: &str,
    machines: usize,
    table: &str,
) -> Result<encamp::file::spec::Environment, Failure> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("encamp.toml");
    let mut text = "name = \"bench\"\nttl = \"30m\"\n".to_owned();
    write!(
        text,
        "[machines.node]\nprovider = \"{instance}\"\ncount = {machines}\n{table}\n"
    )?;
    std::fs::write(&path, text)?;
    let kinds = encamp.kinds();
    match encamp::file::load(&encamp::file::Load::new(&path, &kinds)) {
        Ok(loaded) => {
            let mut environment = loaded.environment;
            // The file is gone after this; the environment is the program's own.
            environment.file = None;
            Ok(environment)
        }
        Err(failure) => Err(failure.render(false).into()),
    }
}
