//! Commands in a machine: how they begin and end.

use encamp_core::{Capabilities, ErrorKind, Exec, Exit, ExitDetail, Signal};

use super::{exec, stops};
use crate::bed::{Bed, Output, expect_kind, finish};
use crate::promise::{Outcome, Promise, Stop, ensure, promises};

pub(crate) fn promises() -> [Promise; 13] {
    promises!(commands {
        exit_codes_are_exact if exec, or "exec",
        an_end_by_signal_is_no_success if exec, or "exec",
        a_command_that_is_not_there_is_no_success if exec, or "exec",
        arguments_arrive_as_they_are if exec, or "exec",
        variables_reach_a_command if exec, or "exec",
        a_folder_can_be_chosen if exec, or "exec",
        a_user_can_be_chosen if exec, or "exec",
        two_commands_run_at_once if exec, or "exec",
        a_dropped_handle_ends_nothing if exec, or "exec",
        a_signal_ends_a_command if signals, or "signals",
        a_signal_ends_what_a_command_started if signals, or "signals",
        commands_in_what_is_absent_are_refused if exec, or "exec",
        commands_in_what_is_stopped_are_refused if stops_with_commands, or "stop and exec",
    })
}

fn signals(capabilities: &Capabilities) -> bool {
    exec(capabilities) && capabilities.signals
}

fn stops_with_commands(capabilities: &Capabilities) -> bool {
    stops(capabilities) && exec(capabilities)
}

async fn exit_codes_are_exact(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    for code in [0, 1, 7, 255] {
        let exit = bed.script(&target, &format!("exit {code}")).await?.exit;
        ensure!(exit == Exit::Code(code), "`exit {code}` gave {exit:?}");
    }
    Ok(())
}

/// As the capability says that a signal is seen.
fn by_signal(bed: &Bed, name: &str, number: i32) -> Exit {
    match bed.capabilities().exits {
        ExitDetail::Signal => Exit::Signal(name.into()),
        ExitDetail::Code => Exit::Code(128 + number),
    }
}

async fn an_end_by_signal_is_no_success(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let exit = bed.script(&target, "kill -KILL $$; sleep 5; exit 0").await?.exit;
    let expected = by_signal(bed, "KILL", 9);
    ensure!(exit == expected, "a killed command gave {exit:?} and not {expected:?}");
    Ok(())
}

async fn a_command_that_is_not_there_is_no_success(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let exec = Exec::new(target, ["encamp-testkit-no-such-command"]);
    match bed.provider.exec(&bed.cx(), exec).await {
        Err(_) => Ok(()),
        Ok(process) => {
            let exit = finish(process, &[]).await?.exit;
            ensure!(!exit.success(), "a command that is not there gave {exit:?}");
            Ok(())
        }
    }
}

async fn arguments_arrive_as_they_are(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let exec = Exec::new(target, ["echo", "two  spaces", "$HOME; exit 3", "'", ""]);
    let output = bed.run(exec).await?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said == "two  spaces $HOME; exit 3 ' \n", "`echo` got {said:?}");
    Ok(())
}

async fn variables_reach_a_command(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let mut exec = bed.exec(&target, "echo \"$ENCAMP_TESTKIT\"");
    exec.env.insert("ENCAMP_TESTKIT".into(), "it's = \"here\"".into());
    let output = bed.run(exec).await?;
    ensure!(
        output.text() == "it's = \"here\"",
        "the variable is {:?}",
        output.text()
    );
    Ok(())
}

async fn a_folder_can_be_chosen(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let folder = bed.factory.folder();
    let mut exec = bed.exec(&target, "pwd");
    exec.cwd = Some(folder.into());
    let output = bed.run(exec).await?;
    ensure!(output.text() == folder, "the command ran in {:?}", output.text());
    Ok(())
}

async fn a_user_can_be_chosen(bed: &Bed) -> Outcome {
    let user = bed
        .factory
        .user()
        .ok_or_else(|| Stop::NotOffered("no other user".into()))?;
    let target = bed.plain().await?;
    let mut exec = bed.exec(&target, "id -u");
    exec.user = Some(user.into());
    let output = bed.run(exec).await?;
    ensure!(output.text() == user, "the command ran as {:?}", output.text());
    Ok(())
}

async fn two_commands_run_at_once(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let folder = bed.folder(&target);
    let (one, other) = (format!("{folder}/one"), format!("{folder}/other"));
    // Each waits for the other: one after the other they would not end.
    let wait = |mine: &str, theirs: &str| {
        let tries = "test -e THEIRS || sleep 0.2; ".repeat(100).replace("THEIRS", theirs);
        format!("mkdir -p {folder}; echo > {mine}; {tries} test -e {theirs}")
    };
    let (first, second) = (wait(&one, &other), wait(&other, &one));
    let (first, second) = tokio::join!(bed.script(&target, &first), bed.script(&target, &second));
    for exit in [first?.exit, second?.exit] {
        ensure!(exit.success(), "a command did not see the other: {exit:?}");
    }
    Ok(())
}

async fn a_dropped_handle_ends_nothing(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let folder = bed.folder(&target);
    let path = format!("{folder}/done");
    let exec = bed.exec(&target, &format!("mkdir -p {folder}; sleep 1; echo done > {path}"));
    drop(bed.provider.exec(&bed.cx(), exec).await?);
    bed.eventually("done", || async {
        let output = bed.script(&target, &format!("cat {path}")).await?;
        Ok((output.text() == "done").then_some(()))
    })
    .await
}

async fn a_signal_ends_a_command(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    for (signal, name, number) in [(Signal::Term, "TERM", 15), (Signal::Kill, "KILL", 9)] {
        let exec = bed.exec(&target, "echo here; exec sleep 600");
        let mut process = bed.provider.exec(&bed.cx(), exec).await?;
        said_here(&mut process).await?;
        process.control.signal(signal).await?;
        let exit = ended(bed, process).await?.exit;
        let expected = by_signal(bed, name, number);
        ensure!(exit == expected, "after {name} the command {exit}, not {expected:?}");
    }
    Ok(())
}

/// Waits for the first line.
async fn said_here(process: &mut encamp_core::Process) -> Outcome {
    use tokio::io::AsyncReadExt;
    let mut line = [0; 5];
    process.stdout.read_exact(&mut line).await?;
    ensure!(&line == b"here\n", "the command said {line:?}");
    Ok(())
}

async fn ended(bed: &Bed, process: encamp_core::Process) -> Outcome<Output> {
    let ended = tokio::time::timeout(bed.factory.bounds().running, finish(process, &[])).await;
    ended.unwrap_or_else(|_| Err(Stop::Broken("the command did not end after the signal".into())))
}

async fn a_signal_ends_what_a_command_started(bed: &Bed) -> Outcome {
    use tokio::io::AsyncReadExt;
    let target = bed.plain().await?;
    let exec = bed.exec(&target, "sleep 654 & echo $!; wait");
    let mut process = bed.provider.exec(&bed.cx(), exec).await?;
    let mut pid = String::new();
    loop {
        match process.stdout.read_u8().await? {
            b'\n' => break,
            byte => pid.push(char::from(byte)),
        }
    }
    ensure!(
        pid.parse::<u32>().is_ok(),
        "the shell said {pid:?} instead of a process id"
    );
    // A zombie has ended; that nobody reaps it is another matter.
    let probe = format!("kill -0 {pid} && ! grep -q 'State:.Z' /proc/{pid}/status");
    let there = || bed.script(&target, &probe);
    ensure!(there().await?.exit.success(), "the child is not there to begin with");
    process.control.signal(Signal::Kill).await?;
    ended(bed, process).await?;
    bed.eventually("ended with its parent", || async {
        Ok((!there().await?.exit.success()).then_some(()))
    })
    .await
}

async fn commands_in_what_is_absent_are_refused(bed: &Bed) -> Outcome {
    let exec = bed.exec(&bed.absent(), "true");
    expect_kind(
        bed.provider.exec(&bed.cx(), exec).await,
        ErrorKind::NotFound,
        "a command in what is absent",
    )
}

async fn commands_in_what_is_stopped_are_refused(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    bed.stop(&target).await?;
    bed.wait_stopped(&target).await?;
    let refused = bed.provider.exec(&bed.cx(), bed.exec(&target, "true")).await;
    ensure!(refused.is_err(), "a command was started in a stopped machine");
    Ok(())
}
