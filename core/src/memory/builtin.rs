//! The programs that every simulated machine has.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::files::absolute;
use super::program::{Flow, Program};
use crate::Exit;

/// Runs one of them; 127 where there is none of that name.
pub(super) async fn run(program: &mut Program, name: &str, arguments: &[String]) -> Flow {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match name {
        "true" | ":" | "set" => Flow::Next(0),
        "false" => Flow::Next(1),
        "exit" => Flow::Leave(
            words
                .first()
                .and_then(|code| code.parse().ok())
                .unwrap_or(program.status),
        ),
        "exec" => {
            let flow = program.execute(arguments.to_vec()).await;
            Flow::Leave(flow.status())
        }
        "echo" => echo(program, &words).await,
        "printf" => {
            let text = words.join(" ").replace("\\n", "\n");
            status(program.say(text.as_bytes()).await)
        }
        "cat" => cat(program, &words).await,
        "head" => head(program, &words).await,
        "wc" => count(program).await,
        "grep" => grep(program, &words),
        "sleep" => sleep(program, &words).await,
        "env" => {
            let mut lines = String::new();
            for (name, value) in &program.env {
                lines.extend([name, "=", value, "\n"]);
            }
            status(program.say(lines.as_bytes()).await)
        }
        "pwd" => {
            let cwd = if program.cwd.is_empty() { "/" } else { &program.cwd };
            status(program.say(format!("{cwd}\n").as_bytes()).await)
        }
        "hostname" => status(program.say(format!("{}\n", program.inside.host).as_bytes()).await),
        "whoami" | "id" => status(
            program
                .say(format!("{}\n", identity(program, name, &words)).as_bytes())
                .await,
        ),
        "export" => {
            for (name, value) in words.iter().filter_map(|word| word.split_once('=')) {
                program.env.insert(name.into(), value.into());
            }
            Flow::Next(0)
        }
        "test" | "[" => {
            let words = if name == "[" {
                words.split_last().map_or(&[][..], |(_, rest)| rest)
            } else {
                &words
            };
            status(test(program, words))
        }
        "kill" => kill(program, &words).await,
        "wait" => {
            for child in std::mem::take(&mut program.children) {
                child.cancelled().await;
            }
            Flow::Next(0)
        }
        "stty" => size(program).await,
        "die" => {
            let code = words.first().and_then(|code| code.parse().ok());
            program
                .run
                .end(Exit::Code(code.unwrap_or(program.inside.table.exits.unwrap_or(1))));
            std::future::pending().await
        }
        "cd" | "mkdir" | "rm" | "chmod" | "touch" => paths(program, name, &words).await,
        name => program.complain(name, "not found").await,
    }
}

fn status(success: bool) -> Flow {
    Flow::Next(i32::from(!success))
}

async fn echo(program: &Program, words: &[&str]) -> Flow {
    let text = match words {
        ["-n", rest @ ..] => rest.join(" "),
        words => format!("{}\n", words.join(" ")),
    };
    status(program.say(text.as_bytes()).await)
}

async fn cat(program: &Program, words: &[&str]) -> Flow {
    if words.is_empty() {
        let mut stdin = program.io.stdin.lock().await;
        let mut stdout = program.io.stdout.lock().await;
        return status(tokio::io::copy(&mut *stdin, &mut *stdout).await.is_ok() && stdout.flush().await.is_ok());
    }
    for path in words {
        match program.inside.files.read(&absolute(&program.cwd, path)) {
            Some(bytes) => {
                if !program.say(&bytes).await {
                    return Flow::Next(1);
                }
            }
            None => return program.complain("cat", &format!("{path}: no such file")).await,
        }
    }
    Flow::Next(0)
}

/// `head -c BYTES [FILE]`; `/dev/zero` has no end.
async fn head(program: &Program, words: &[&str]) -> Flow {
    let ["-c", bytes, rest @ ..] = words else {
        return program.complain("head", "only `-c BYTES` is known").await;
    };
    let Ok(mut left) = bytes.parse::<usize>() else {
        return program.complain("head", "no number of bytes").await;
    };
    let Some(path) = rest.first() else {
        let mut taken = Vec::new();
        let read = (&mut *program.io.stdin.lock().await)
            .take(left as u64)
            .read_to_end(&mut taken)
            .await;
        return status(read.is_ok() && program.say(&taken).await);
    };
    if *path == "/dev/zero" {
        let zeros = vec![0; 16 * 1024];
        while left > 0 {
            let now = left.min(zeros.len());
            if !program.say(&zeros[..now]).await {
                return Flow::Next(1);
            }
            left -= now;
        }
        return Flow::Next(0);
    }
    match program.inside.files.read(&absolute(&program.cwd, path)) {
        Some(bytes) => status(program.say(&bytes[..left.min(bytes.len())]).await),
        None => program.complain("head", &format!("{path}: no such file")).await,
    }
}

/// `wc -c`.
async fn count(program: &Program) -> Flow {
    let mut taken = Vec::new();
    let read = program.io.stdin.lock().await.read_to_end(&mut taken).await;
    status(read.is_ok() && program.say(format!("{}\n", taken.len()).as_bytes()).await)
}

/// `grep -q TEXT FILE`, the text taken as it is.
fn grep(program: &Program, words: &[&str]) -> Flow {
    let ["-q", text, path] = words else {
        return Flow::Next(2);
    };
    match program.inside.files.read(&absolute(&program.cwd, path)) {
        Some(bytes) => status(String::from_utf8_lossy(&bytes).contains(text)),
        None => Flow::Next(2),
    }
}

async fn sleep(program: &Program, words: &[&str]) -> Flow {
    let seconds = words.first().and_then(|seconds| seconds.parse::<f64>().ok());
    match seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(span) => {
            tokio::time::sleep(span).await;
            Flow::Next(0)
        }
        None => program.complain("sleep", "no number of seconds").await,
    }
}

fn identity(program: &Program, name: &str, words: &[&str]) -> String {
    let wants_number = name == "id" && words.first() != Some(&"-un");
    match (program.user.as_str(), wants_number) {
        ("root", true) => "0".into(),
        ("nobody", true) => "65534".into(),
        ("0", false) => "root".into(),
        (user, _) => user.into(),
    }
}

fn test(program: &Program, words: &[&str]) -> bool {
    let files = &program.inside.files;
    match words {
        ["!", rest @ ..] => !test(program, rest),
        ["-e", path] => files.exists(&absolute(&program.cwd, path)),
        ["-d", path] => files.is_folder(&absolute(&program.cwd, path)),
        ["-f" | "-r" | "-x", path] => files.read(&absolute(&program.cwd, path)).is_some(),
        ["-t", _] => program.terminal.is_some(),
        ["-n", text] | [text] => !text.is_empty(),
        ["-z", text] => text.is_empty(),
        [left, "=", right] => left == right,
        [left, "!=", right] => left != right,
        _ => false,
    }
}

const SIGNALS: [(&str, &str); 9] = [
    ("1", "HUP"),
    ("2", "INT"),
    ("3", "QUIT"),
    ("9", "KILL"),
    ("10", "USR1"),
    ("12", "USR2"),
    ("15", "TERM"),
    ("18", "CONT"),
    ("19", "STOP"),
];

/// `kill [-SIGNAL] PID`; `-0` asks whether it is there.
async fn kill(program: &Program, words: &[&str]) -> Flow {
    let (signal, pid) = match words {
        [signal, pid] => (signal.trim_start_matches('-').trim_start_matches("SIG"), pid),
        [pid] => ("TERM", pid),
        _ => return program.complain("kill", "name a process").await,
    };
    let Some(job) = pid.parse().ok().and_then(|pid| program.inside.job(pid)) else {
        return program.complain("kill", "no such process").await;
    };
    if signal == "0" {
        return Flow::Next(0);
    }
    match SIGNALS
        .iter()
        .find(|(number, name)| signal == *number || signal == *name)
    {
        Some((_, name)) => {
            job.kill(name);
            // A signal to oneself arrives before the next command.
            tokio::task::yield_now().await;
            Flow::Next(0)
        }
        None => program.complain("kill", "no such signal").await,
    }
}

async fn size(program: &Program) -> Flow {
    let Some(terminal) = &program.terminal else {
        return program.complain("stty", "not a terminal").await;
    };
    let size = *terminal.borrow();
    status(program.say(format!("{} {}\n", size.rows, size.cols).as_bytes()).await)
}

async fn paths(program: &mut Program, name: &str, words: &[&str]) -> Flow {
    let files = &program.inside.files;
    let (options, rest): (Vec<&str>, Vec<&str>) = words.iter().copied().partition(|word| word.starts_with('-'));
    let path = rest.last().map(|path| absolute(&program.cwd, path)).unwrap_or_default();
    let done = match name {
        "cd" if files.is_folder(&path) => {
            program.cwd.clone_from(&path);
            true
        }
        "mkdir" => {
            files.make_folders(&path);
            true
        }
        "touch" => files.exists(&path) || files.write(&path, &[], false),
        "rm" => files.remove(&path) || options.iter().any(|option| option.contains('f')),
        "chmod" => rest
            .first()
            .and_then(|mode| u32::from_str_radix(mode, 8).ok())
            .is_some_and(|mode| files.set_mode(&path, mode)),
        _ => false,
    };
    if done {
        Flow::Next(0)
    } else {
        program.complain(name, &format!("cannot do that to {path}/")).await
    }
}
