//! The calls that nobody can do without, made directly over the socket by one process: in phases, eight in flight.

use std::collections::HashMap;
use std::future::Future;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{ContainerCreateBody, EndpointSettings, HostConfig, NetworkCreateRequest, NetworkingConfig};
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::Failure;
use crate::docker::{IMAGE, IN_FLIGHT, MACHINES};

/// The daemon that `DOCKER_HOST` or the default socket reaches.
pub(crate) async fn connect() -> Result<Docker, Failure> {
    Ok(Docker::connect_with_defaults()?.negotiate_version().await?)
}

/// Network, containers, start, one command each, removal, network.
pub(crate) async fn round(docker: &Docker, round: usize) -> Result<(), Failure> {
    let network = format!("floor-{}-{round}", std::process::id());
    docker
        .create_network(NetworkCreateRequest {
            name: network.clone(),
            ..Default::default()
        })
        .await?;
    let names: Vec<String> = (0..MACHINES).map(|machine| format!("{network}-{machine}")).collect();
    phase(&names, |name| create(docker, name, &network)).await?;
    phase(
        &names,
        |name| async move { Ok(docker.start_container(name, None).await?) },
    )
    .await?;
    phase(&names, |name| exec(docker, name)).await?;
    phase(&names, |name| async move {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        Ok(docker.remove_container(name, Some(options)).await?)
    })
    .await?;
    docker.remove_network(&network).await?;
    Ok(())
}

#[expect(clippy::future_not_send, reason = "it is as `Send` as the call that it is given")]
async fn phase<'a, F: Future<Output = Result<(), Failure>>>(
    names: &'a [String],
    call: impl Fn(&'a str) -> F,
) -> Result<(), Failure> {
    stream::iter(names.iter().map(|name| call(name)))
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<()>()
        .await
}

async fn create(docker: &Docker, name: &str, network: &str) -> Result<(), Failure> {
    let endpoints = HashMap::from([(network.to_owned(), EndpointSettings::default())]);
    let body = ContainerCreateBody {
        image: Some(IMAGE.to_owned()),
        cmd: Some(vec!["sleep".into(), "600".into()]),
        host_config: Some(HostConfig {
            network_mode: Some(network.to_owned()),
            ..Default::default()
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(endpoints),
        }),
        ..Default::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    docker.create_container(Some(options), body).await?;
    Ok(())
}

async fn exec(docker: &Docker, name: &str) -> Result<(), Failure> {
    let options = CreateExecOptions {
        cmd: Some(vec!["true".to_owned()]),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..Default::default()
    };
    let id = docker.create_exec(name, options).await?.id;
    if let StartExecResults::Attached { mut output, .. } = docker.start_exec(&id, None).await? {
        while let Some(LogOutput::StdOut { .. } | LogOutput::StdErr { .. }) = output.try_next().await? {}
    }
    match docker.inspect_exec(&id).await?.exit_code {
        Some(0) => Ok(()),
        exit => Err(format!("the command of {name} exited {exit:?}").into()),
    }
}
