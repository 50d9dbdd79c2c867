//! `encamp provider check`: the suite of the contract over one configured provider.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use encamp::testkit::{self, Bounds, Factory, Report, Verdict};
use encamp::{Ambient, Cx, Error, ErrorKind, InstanceName, Kind, Provider, Value};
use serde_json::json;

use crate::arguments::CheckProvider;
use crate::codes;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Refusal};
use crate::interrupts::Interrupts;
use crate::output;

/// One configured provider, as the suite asks for it.
struct Configured {
    name: InstanceName,
    kind: Arc<dyn Kind>,
    settings: Value,
    ambient: Ambient,
    plain: Value,
    bounds: Bounds,
    /// What this program is told, so that it makes one call.
    one_call: Vec<OsString>,
    is_script: bool,
    helpless: Helpless,
}

#[async_trait]
impl Factory for Configured {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn kind(&self) -> Arc<dyn Kind> {
        Arc::clone(&self.kind)
    }

    async fn connect(&self) -> encamp::Result<Arc<dyn Provider>> {
        self.connect_in(self.ambient.clone()).await
    }

    fn caller(&self) -> Option<Command> {
        let helper = encamp::helper::this()?;
        let mut command = Command::new(helper.program());
        command.args(&self.one_call);
        Some(command)
    }

    fn has_commands(&self) -> bool {
        self.is_script
    }

    async fn helpless(&self) -> Option<encamp::Result<Arc<dyn Provider>>> {
        if !self.is_script {
            return None;
        }
        Some(match self.helpless.path(&self.ambient) {
            Ok(path) => self.connect_in(self.ambient.clone().with_variable("PATH", path)).await,
            Err(error) => {
                Err(Error::new(ErrorKind::Internal, "no folder of interpreters can be made").caused_by(error))
            }
        })
    }

    fn plain(&self) -> Value {
        self.plain.clone()
    }

    fn bounds(&self) -> Bounds {
        self.bounds
    }

    fn invalid(&self) -> Value {
        let mut table = self.plain.clone();
        table["no-such-key-of-any-kind"] = json!(1);
        table
    }

    // A script that says what it runs under `command` can say more of itself.
    fn exits(&self, code: i32) -> Option<Value> {
        self.running(&format!("exit {code}"))
    }

    fn says(&self, line: &str) -> Option<Value> {
        self.running(&format!("while :; do echo '{line}'; sleep 0.2; done"))
    }
}

impl Configured {
    async fn connect_in(&self, ambient: Ambient) -> encamp::Result<Arc<dyn Provider>> {
        let cx = Cx::within(self.bounds.running);
        let (name, settings) = (self.name.clone(), self.settings.clone());
        self.kind.connect(&cx, name, settings, ambient).await
    }

    /// A machine that runs a line of a shell, where its table has a command.
    fn running(&self, line: &str) -> Option<Value> {
        self.plain.get("command")?;
        let mut table = self.plain.clone();
        table["command"] = json!(line);
        Some(table)
    }
}

pub(in crate::verbs) async fn check(cx: &Context, args: &CheckProvider) -> Result<Exit, Failure> {
    let factory: Arc<dyn Factory> = Arc::new(configured(cx, args)?);
    if args.one_call {
        testkit::make_call(&factory, tokio::io::stdin(), tokio::io::stdout()).await?;
        return Ok(Exit::Well);
    }
    let only = args.only.clone().unwrap_or_default();
    let is_named = |name: &str| name.contains(&only) || testkit::Tried::words(name).contains(&only);
    let wanted = |name: &str| is_named(name) && (args.kill || !name.starts_with(testkit::KILLED));
    let report = examine(&factory, wanted).await?;
    if report.tried.is_empty() && report.is_whole {
        let refusal = Refusal::new(codes::NO_SUCH, format!("no promise has `{only}` in its name"));
        let kill = if args.kill { "" } else { " --kill" };
        return Err(refusal
            .help(format!("encamp provider check {}{kill}", args.name))
            .into());
    }
    if cx.json {
        let tried: Vec<_> = report.tried.iter().map(as_json).collect();
        let whole = report.is_whole;
        output::json(&json!({ "provider": args.name, "promises": tried, "good": report.is_good(), "whole": whole }));
    } else {
        for line in report.to_string().lines() {
            output::said(line);
        }
    }
    Ok(match (report.is_whole, report.is_good()) {
        (false, _) => Exit::Interrupted,
        (true, false) => Exit::Provider,
        (true, true) => Exit::Well,
    })
}

/// Machines of a promise are in no store: whoever ended in the middle of one would leave what nobody finds again.
async fn examine(factory: &Arc<dyn Factory>, wanted: impl Fn(&str) -> bool + Send) -> Result<Report, Failure> {
    let mut interrupts = Interrupts::new()
        .map_err(|error| Error::new(ErrorKind::Internal, "signals cannot be listened for").caused_by(error))?;
    let stopped = AtomicBool::new(false);
    let mut examining = pin!(testkit::examine_until(factory, wanted, || stopped.load(Ordering::Relaxed)));
    loop {
        tokio::select! {
            report = &mut examining => return Ok(report),
            _ = interrupts.next() => {
                stopped.store(true, Ordering::Relaxed);
                output::tell("stopping: the promise at hand is tried to its end, and its machines are removed");
            }
        }
    }
}

fn as_json(tried: &testkit::Tried) -> Value {
    let (verdict, why) = match &tried.verdict {
        Verdict::Held => ("held", None),
        Verdict::Broken(why) => ("broken", Some(why)),
        Verdict::NotOffered(why) => ("not offered", Some(why)),
    };
    json!({ "promise": tried.promise, "verdict": verdict, "why": why })
}

fn configured(cx: &Context, args: &CheckProvider) -> Result<Configured, Failure> {
    let Some(instance) = cx.settings.instances.iter().find(|instance| instance.name == args.name) else {
        let known: Vec<&str> = cx
            .settings
            .instances
            .iter()
            .map(|instance| instance.name.as_str())
            .collect();
        let refusal = Refusal::new(codes::NO_SUCH, format!("no provider is called `{}`", args.name));
        return Err(refusal
            .why(format!("there are {}", known.join(", ")))
            .help("encamp provider ls")
            .into());
    };
    let kind = cx
        .kinds
        .kinds
        .values()
        .find(|kind| kind.info().name.as_str() == instance.kind);
    let (Some(kind), Ok(name)) = (kind, InstanceName::new(args.name.as_str())) else {
        return Err(Refusal::new(codes::NO_SUCH, format!("no kind is called `{}`", instance.kind)).into());
    };
    let plain = match &args.table {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| Refusal::new(codes::NO_SUCH, "--table is no JSON").why(error.to_string()))?,
        None => kind.info().table_schema["examples"][0].clone(),
    };
    if !plain.is_object() {
        let refusal = Refusal::new(
            codes::NO_SUCH,
            format!("what a machine of `{}` is made of is not known", args.name),
        );
        return Err(refusal
            .help("--table '{\"image\":\"busybox:1.35\",\"command\":[\"sleep\",\"1000\"]}'")
            .into());
    }
    let state = cx.encamp.state_dir();
    let mut ambient = cx.ambient.clone().with_state(state);
    if let Some(helper) = encamp::helper::this() {
        ambient = ambient.with_helper(helper);
    }
    Ok(Configured {
        name,
        kind: Arc::clone(kind),
        settings: instance.settings.clone(),
        ambient,
        one_call: one_call(state, args, &plain),
        is_script: cx.plugins.contains_key(&kind.info().name),
        helpless: Helpless(state.join(format!("check-{}", std::process::id()))),
        plain,
        bounds: args
            .within
            .map_or_else(Bounds::default, |within| Bounds::new(within, within)),
    })
}

/// The arguments of this check again, for one call of it.
fn one_call(state: &Path, args: &CheckProvider, plain: &Value) -> Vec<OsString> {
    let mut told: Vec<OsString> = vec!["--state".into(), state.into()];
    told.extend(["provider", "check", &args.name, "--one-call", "--table"].map(OsString::from));
    told.push(plain.to_string().into());
    if let Some(within) = args.within {
        told.extend(["--within".into(), format!("{}ms", within.as_millis()).into()]);
    }
    told
}

/// A folder with interpreters and nothing else, where commands of a script are looked for. It goes with this.
struct Helpless(PathBuf);

/// What a script may be written in.
const INTERPRETERS: [&str; 10] = [
    "sh", "bash", "dash", "ksh", "zsh", "env", "python3", "perl", "ruby", "node",
];

impl Helpless {
    fn path(&self, ambient: &Ambient) -> std::io::Result<String> {
        std::fs::create_dir_all(&self.0)?;
        let folders: Vec<PathBuf> = std::env::split_paths(ambient.variable("PATH").unwrap_or_default()).collect();
        for name in INTERPRETERS {
            let found = folders
                .iter()
                .map(|folder| folder.join(name))
                .find(|path| path.is_file());
            let link = self.0.join(name);
            if let Some(found) = found.filter(|_| !link.exists()) {
                std::os::unix::fs::symlink(found, link)?;
            }
        }
        Ok(self.0.display().to_string())
    }
}

impl Drop for Helpless {
    fn drop(&mut self) {
        // What stays is a few links.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
