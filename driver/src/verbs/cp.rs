//! `encamp cp`: files into a machine or out of it, as `docker cp` and `scp -r` do it.

use encamp::{Copied, Error, ErrorKind};
use serde_json::json;

use crate::arguments::Cp;
use crate::codes;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Refusal, within};
use crate::interrupts::Interrupts;
use crate::remote::hand_on;
use crate::{clean, output, place, terminal, words};

/// A tar stream instead of a path.
const STREAM: &str = "-";

/// One side of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side<'a> {
    Here(&'a str),
    Machine(&'a str, &'a str),
}

impl<'a> Side<'a> {
    /// `web-0:/etc`; a path of this host that looks so is written as `./web-0:…`.
    fn read(text: &'a str) -> Self {
        let is_name = |name: &str| encamp::Name::new(name).is_ok();
        match text.split_once(':') {
            Some((machine, path)) if is_name(machine) => Self::Machine(machine, path),
            _ => Self::Here(text),
        }
    }
}

pub(super) async fn cp(cx: &Context, args: &Cp) -> Result<Exit, Failure> {
    let (from, to) = (Side::read(&args.from), Side::read(&args.to));
    let (machine, into) = match (from, to) {
        (Side::Here(_), Side::Machine(machine, _)) => (machine, true),
        (Side::Machine(machine, _), Side::Here(_)) => (machine, false),
        _ => return Err(one_side()),
    };
    let environment = place::environment(cx, &args.of).await?;
    let machine = place::machine(&environment, machine)?;
    let limit = args.limit.unwrap_or(cx.settings.policy.keep_bytes);
    let mut interrupts = Interrupts::new()
        .map_err(|error| Error::new(ErrorKind::Internal, "signals cannot be listened for").caused_by(error))?;
    let copying = async {
        match (from, to) {
            (Side::Here(STREAM), Side::Machine(_, path)) => {
                let folder = format!("/{}", path.trim_start_matches('/'));
                machine.unpack(&folder, Box::pin(tokio::io::stdin())).await?;
                Ok(None)
            }
            (Side::Machine(_, path), Side::Here(STREAM)) => {
                if terminal::stdout_is_one() {
                    let refusal = Refusal::new(codes::COPY, "a tar stream is nothing for a terminal");
                    return Err(refusal.help("encamp cp MACHINE:PATH - | tar -t").into());
                }
                let path = format!("/{}", path.trim_start_matches('/'));
                let stream = machine.pack(&path).await?;
                // Whoever reads no more has enough of it.
                let _ = hand_on(Some(stream), output::raw_stdout()).await;
                Ok(None)
            }
            (Side::Here(path), Side::Machine(_, to)) => Ok(Some(machine.copy_in(path, to).await?)),
            (Side::Machine(_, path), Side::Here(to)) => Ok(Some(machine.copy_out(path, to, limit).await?)),
            _ => Err(one_side()),
        }
    };
    let copied: Option<Copied> = tokio::select! {
        copied = copying => copied.map_err(|failure| refused(failure, environment.name()))?,
        _ = interrupts.next() => return Ok(Exit::Interrupted),
    };
    if let Some(copied) = copied {
        tell(cx, machine.name(), &copied, into);
    }
    Ok(Exit::Well)
}

/// What this host or the engine refuses is nobody's failure but the copy's.
fn refused(failure: Failure, environment: &str) -> Failure {
    let Failure::Engine(error) = failure else {
        return failure;
    };
    if error.verb().is_some() || error.provider().is_some() {
        return within(environment)(error);
    }
    let report = encamp::Report(&error).to_string();
    let why = report.strip_prefix(error.message()).unwrap_or_default();
    let why = why.trim_start_matches(": ").to_owned();
    let mut refusal = Refusal::new(codes::COPY, error.message().to_owned());
    if !why.is_empty() {
        refusal = refusal.why(why);
    }
    if let Some(help) = error.hint() {
        refusal = refusal.help(help);
    }
    refusal.into()
}

fn one_side() -> Failure {
    let refusal = Refusal::new(codes::COPY, "exactly one of the two sides must be MACHINE:PATH");
    let refusal = refusal.why("a path of this host that holds a colon is written as ./a:b");
    refusal.help("encamp cp web:/etc/hosts .").into()
}

/// `Copied 12 files, 3.4 MB   to web-0:/etc/conf`.
fn tell(cx: &Context, machine: &str, copied: &Copied, into: bool) {
    if cx.json {
        output::json(&json!({ "copied": copied }));
        return;
    }
    for skipped in &copied.skipped {
        output::tell(&format!("left out: {}", clean::line(skipped)));
    }
    let to = if into {
        format!("{machine}:{}", copied.to)
    } else {
        copied.to.clone()
    };
    output::result(&format!(
        "Copied {}, {}   to {}",
        words::count(copied.files, "file"),
        words::bytes(copied.bytes),
        clean::line(&to)
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_told_from_a_path() {
        assert_eq!(Side::read("web-0:/etc/hosts"), Side::Machine("web-0", "/etc/hosts"));
        assert_eq!(Side::read("web:"), Side::Machine("web", ""));
        for here in ["./web:x", "/a:b", "conf", "-", "C:x"] {
            assert_eq!(Side::read(here), Side::Here(here));
        }
    }
}
