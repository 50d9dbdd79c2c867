//! The streams of commands.

use encamp_core::{Capabilities, Process, Size, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::exec;
use crate::bed::Bed;
use crate::promise::{Outcome, Promise, Stop, ensure, promises};

pub(crate) fn promises() -> [Promise; 8] {
    promises!(streams {
        output_and_errors_are_apart if exec, or "exec",
        input_comes_back_to_its_end if exec, or "exec",
        without_input_there_is_an_end_at_once if exec, or "exec",
        large_output_is_not_lost if exec, or "exec",
        output_arrives_while_the_command_runs if exec, or "exec",
        what_is_said_at_the_end_arrives if exec, or "exec",
        a_terminal_is_one_and_has_its_size if tty, or "terminals",
        a_terminal_can_be_resized if tty, or "terminals",
    })
}

fn tty(capabilities: &Capabilities) -> bool {
    exec(capabilities) && capabilities.tty
}

/// Bytes that no text handling would leave alone.
fn bytes(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}

async fn output_and_errors_are_apart(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let output = bed.script(&target, "echo out; echo err >&2; exit 3").await?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(
        (&*out, &*err) == ("out\n", "err\n"),
        "the output is {out:?} and the errors are {err:?}"
    );
    Ok(())
}

async fn input_comes_back_to_its_end(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let input = bytes(1 << 20);
    let mut exec = bed.exec(&target, "cat");
    exec.stdin = true;
    let output = bed.feed(exec, &input).await?;
    ensure!(output.exit.success(), "`cat` gave {:?}", output.exit);
    let (sent, got) = (input.len(), output.stdout.len());
    ensure!(sent == got, "of {sent} bytes {got} came back");
    ensure!(output.stdout == input, "the bytes that came back are others");
    Ok(())
}

async fn without_input_there_is_an_end_at_once(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let output = bed.script(&target, "cat; echo over").await?;
    ensure!(output.text() == "over", "without input `cat` gave {:?}", output.text());
    Ok(())
}

async fn large_output_is_not_lost(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let wanted = 5 << 20;
    let output = bed
        .script(&target, &format!("head -c {wanted} /dev/zero; echo end"))
        .await?;
    let got = output.stdout.len();
    ensure!(got == wanted + 4, "of {} bytes {got} arrived", wanted + 4);
    ensure!(
        output.stdout.ends_with(b"\0end\n"),
        "the output does not end as it was written"
    );
    Ok(())
}

async fn output_arrives_while_the_command_runs(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let mut exec = bed.exec(&target, "echo ready; cat");
    exec.stdin = true;
    let mut process = bed.provider.exec(&bed.cx(), exec).await?;
    let talking = async {
        let mut line = [0; 6];
        process.stdout.read_exact(&mut line).await?;
        ensure!(&line == b"ready\n", "the command said {line:?}");
        let stdin = process
            .stdin
            .as_mut()
            .ok_or_else(|| Stop::Broken("there is no input".into()))?;
        stdin.write_all(b"ping\n").await?;
        stdin.flush().await?;
        let mut line = [0; 5];
        process.stdout.read_exact(&mut line).await?;
        ensure!(&line == b"ping\n", "the command gave back {line:?}");
        Ok(())
    };
    let talked = tokio::time::timeout(bed.factory.bounds().running, talking).await;
    talked.unwrap_or_else(|_| Err(Stop::Broken("nothing arrived while the command ran".into())))?;
    // Dropping the input is its end.
    drop(process.stdin.take());
    let exit = tokio::time::timeout(bed.factory.bounds().running, process.control.wait()).await;
    let exit = exit.unwrap_or_else(|_| Ok(encamp_core::Exit::Lost("it did not end".into())))?;
    ensure!(exit.success(), "after the end of its input the command {exit}");
    Ok(())
}

async fn what_is_said_at_the_end_arrives(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    for round in 0..10 {
        let output = bed.script(&target, "echo a; echo b >&2; echo c").await?;
        ensure!(
            output.stdout == b"a\nc\n" && output.stderr == b"b\n",
            "in round {round} a short command said {output:?}"
        );
    }
    Ok(())
}

async fn a_terminal_is_one_and_has_its_size(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let mut process = sized(bed, &target, "test -t 1 && echo terminal; echo err >&2").await?;
    ensure!(process.stderr.is_none(), "a terminal has one stream, not two");
    let said = said_until(bed, &mut process, "40 111").await?;
    ensure!(
        said.starts_with("terminal\nerr\n"),
        "in a terminal the command said {said:?}"
    );
    Ok(())
}

async fn a_terminal_can_be_resized(bed: &Bed) -> Outcome {
    let target = bed.plain().await?;
    let mut process = sized(bed, &target, "true").await?;
    process.control.resize(Size::new(50, 99)).await?;
    said_until(bed, &mut process, "50 99").await?;
    Ok(())
}

/// A command in a terminal of 40 lines and 111 columns that says its size again and again: a size is carried out a
/// moment after it was told.
async fn sized(bed: &Bed, target: &Target, first: &str) -> Outcome<Process> {
    let mut exec = bed.exec(target, &format!("{first}{}", "; stty size; sleep 0.1".repeat(300)));
    exec.tty = Some(Size::new(40, 111));
    Ok(bed.provider.exec(&bed.cx(), exec).await?)
}

/// What the command has said up to this line.
async fn said_until(bed: &Bed, process: &mut Process, line: &str) -> Outcome<String> {
    let mut said = String::new();
    let reading = async {
        let mut bytes = [0; 1024];
        while !said.lines().any(|said| said == line) {
            let count = process.stdout.read(&mut bytes).await?;
            ensure!(count > 0, "it never has the size {line}");
            said.extend(String::from_utf8_lossy(&bytes[..count]).chars().filter(|c| *c != '\r'));
        }
        Ok(())
    };
    let read = tokio::time::timeout(bed.factory.bounds().running, reading).await;
    let late = |_| Err(Stop::Broken(format!("the terminal has {said:?}, not {line}")));
    read.unwrap_or_else(late)?;
    Ok(said)
}
