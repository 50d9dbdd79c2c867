//! What a machine's main process has said.

use std::time::Duration;

use encamp_core::{BoxRead, Capabilities, Logs, Target, Verb};
use tokio::io::AsyncReadExt;

use crate::bed::Bed;
use crate::promise::{Outcome, Promise, Stop, ensure, promises};

pub(crate) fn promises() -> [Promise; 5] {
    promises!(logs {
        what_was_said_is_in_the_logs if logs, or "logs",
        an_end_leaves_its_logs if logs, or "logs",
        the_last_lines_can_be_asked_for if logs, or "logs",
        logs_begin_where_they_are_asked_to if since, or "logs since a moment",
        logs_are_followed if follow, or "following logs",
    })
}

fn logs(capabilities: &Capabilities) -> bool {
    capabilities.offers(Verb::Logs)
}

fn since(capabilities: &Capabilities) -> bool {
    logs(capabilities) && capabilities.logs.since
}

fn follow(capabilities: &Capabilities) -> bool {
    logs(capabilities) && capabilities.logs.follow
}

const LINE: &str = "hello from the testkit";

pub(super) async fn talker(bed: &Bed) -> Outcome<Target> {
    let table = bed
        .factory
        .says(LINE)
        .ok_or_else(|| Stop::NotOffered("no table for a machine that speaks".into()))?;
    bed.raise("talker", table).await
}

pub(super) async fn read(bed: &Bed, logs: Logs) -> Outcome<Vec<String>> {
    let mut said = Vec::new();
    let mut stream = bed.provider.logs(&bed.cx(), logs).await?;
    stream.read_to_end(&mut said).await?;
    Ok(String::from_utf8_lossy(&said).lines().map(str::to_owned).collect())
}

/// Waits until so many lines were said.
pub(super) async fn at_least(bed: &Bed, target: &Target, count: usize) -> Outcome<Vec<String>> {
    bed.eventually("said", || async {
        let lines = read(bed, Logs::new(target.clone())).await?;
        Ok((lines.len() >= count).then_some(lines))
    })
    .await
}

async fn what_was_said_is_in_the_logs(bed: &Bed) -> Outcome {
    let target = talker(bed).await?;
    let lines = at_least(bed, &target, 1).await?;
    ensure!(lines.iter().all(|line| line == LINE), "the logs are {lines:?}");
    Ok(())
}

async fn an_end_leaves_its_logs(bed: &Bed) -> Outcome {
    if !bed.capabilities().offers(Verb::Stop) {
        return Err(Stop::NotOffered("stop".into()));
    }
    let target = talker(bed).await?;
    at_least(bed, &target, 1).await?;
    bed.stop(&target).await?;
    let lines = at_least(bed, &target, 1).await?;
    ensure!(
        lines.iter().any(|line| line == LINE),
        "after its end the logs are {lines:?}"
    );
    Ok(())
}

async fn the_last_lines_can_be_asked_for(bed: &Bed) -> Outcome {
    let target = talker(bed).await?;
    at_least(bed, &target, 3).await?;
    let mut last = Logs::new(target);
    last.tail = Some(2);
    let lines = read(bed, last).await?;
    ensure!(lines.len() == 2, "two lines were asked for: {lines:?}");
    Ok(())
}

async fn logs_begin_where_they_are_asked_to(bed: &Bed) -> Outcome {
    let target = talker(bed).await?;
    at_least(bed, &target, 1).await?;
    let mut later = Logs::new(target.clone());
    later.since = Some(bed.factory.now().plus(Duration::from_hours(1)));
    let lines = read(bed, later.clone()).await?;
    ensure!(lines.is_empty(), "the logs since an hour ahead are {lines:?}");
    later.since = Some(bed.factory.now());
    let before = read(bed, Logs::new(target)).await?.len();
    let lines = bed
        .eventually("said", || async {
            let lines = read(bed, later.clone()).await?;
            Ok((!lines.is_empty()).then_some(lines))
        })
        .await?;
    ensure!(
        lines.len() <= before + 60,
        "the logs since now have {} lines",
        lines.len()
    );
    Ok(())
}

async fn logs_are_followed(bed: &Bed) -> Outcome {
    let target = talker(bed).await?;
    let mut follow = Logs::new(target.clone());
    follow.follow = true;
    let mut stream = bed.provider.logs(&bed.cx(), follow).await?;
    hear(bed, &mut stream, 1).await?;
    // What was said before it was followed tells nothing.
    let before = read(bed, Logs::new(target.clone())).await?.len();
    hear(bed, &mut stream, before + 2).await?;
    bed.dispose(&target).await?;
    let mut rest = Vec::new();
    let end = tokio::time::timeout(bed.factory.bounds().running, stream.read_to_end(&mut rest)).await;
    ensure!(end.is_ok(), "the logs do not end with the machine");
    Ok(())
}

/// The next lines of logs that are followed.
async fn hear(bed: &Bed, stream: &mut BoxRead, count: usize) -> Outcome {
    let line = format!("{LINE}\n");
    let mut said = vec![0; line.len() * count];
    let more = tokio::time::timeout(bed.factory.bounds().running, stream.read_exact(&mut said)).await;
    more.map_err(|_| Stop::Broken("nothing more was heard".into()))??;
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(said == line.repeat(count), "what was heard is {said:?}");
    Ok(())
}
