//! `encamp provider check`: the suite of the contract over one configured provider.

use std::sync::Arc;

use async_trait::async_trait;
use encamp::testkit::{self, Bounds, Factory, Verdict};
use encamp::{Ambient, Cx, InstanceName, Kind, Provider, Value};
use serde_json::json;

use crate::arguments::CheckProvider;
use crate::codes;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Refusal};
use crate::output;

/// One configured provider, as the suite asks for it.
struct Configured {
    name: InstanceName,
    kind: Arc<dyn Kind>,
    settings: Value,
    ambient: Ambient,
    plain: Value,
    bounds: Bounds,
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
        let cx = Cx::within(self.bounds().running);
        let (name, settings) = (self.name.clone(), self.settings.clone());
        self.kind.connect(&cx, name, settings, self.ambient.clone()).await
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
    let only = args.only.clone().unwrap_or_default();
    let report = testkit::examine_only(&factory, |name| name.contains(&only)).await;
    if cx.json {
        let tried: Vec<_> = report.tried.iter().map(as_json).collect();
        output::json(&json!({ "provider": args.name, "promises": tried, "good": report.is_good() }));
    } else {
        for line in report.to_string().lines() {
            output::said(line);
        }
    }
    Ok(if report.is_good() { Exit::Well } else { Exit::Provider })
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
    Ok(Configured {
        name,
        kind: Arc::clone(kind),
        settings: instance.settings.clone(),
        ambient: cx.ambient.clone().with_state(cx.encamp.state_dir()),
        plain,
        bounds: args
            .within
            .map_or_else(Bounds::default, |within| Bounds::new(within, within)),
    })
}
