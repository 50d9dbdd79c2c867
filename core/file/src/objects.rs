//! `machines`, `me` and the rest, as expressions see them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use encamp_core::{AddrScope, Name, PortSpec, Protocol, Publish, Secret};
use minijinja::value::{Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value};

use crate::codes::{self, Code};
use crate::members::Group;
use crate::nearest;
use crate::text::{MachineFacts, Numbers, RenderErrorKind};
use crate::world::{Decl, Target, View, World};

/// What an expression is evaluated in.
#[derive(Debug)]
pub(crate) struct Ctx {
    pub(crate) world: Arc<World>,
    pub(crate) view: View,
    pub(crate) stage: Option<String>,
    /// None before anything exists.
    pub(crate) facts: Option<Known>,
    pub(crate) record: Mutex<Record>,
}

/// What an expression may read once something exists.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) machines: BTreeMap<Name, MachineFacts>,
    pub(crate) numbers: Arc<Numbers>,
    pub(crate) secrets: Arc<BTreeMap<Name, Secret>>,
}

/// What an evaluation read and why it failed.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Whose facts it needs.
    pub(crate) late: BTreeSet<Target>,
    /// What has to be ready first.
    pub(crate) awaits: BTreeSet<Target>,
    /// It spoke of a number that a port is given later.
    pub(crate) allotted: bool,
    pub(crate) fault: Option<Fault>,
}

/// Why one of our own look-ups failed.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) kind: RenderErrorKind,
}

impl Fault {
    pub(crate) fn new(code: Code, message: impl Into<String>, help: impl Into<Option<String>>) -> Self {
        Self {
            code,
            message: message.into(),
            help: help.into(),
            kind: RenderErrorKind::Failed,
        }
    }

    /// What the engine says.
    pub(crate) fn of_engine(error: &Error) -> Self {
        let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        Self::new(codes::FAILED_EXPRESSION, message, None)
    }

    /// The same, but of what holds a secret nothing that may quote its value.
    pub(crate) fn without_secrets(self, secret: bool) -> Self {
        if !secret || self.kind != RenderErrorKind::Failed {
            return self;
        }
        let message = "it has no value; more is not said, because it holds a secret";
        Self::new(self.code, message, None)
    }

    /// Both a value that is not known yet and one that never will be.
    fn unknown(kind: RenderErrorKind, message: String) -> Self {
        Self {
            code: codes::LATE,
            message,
            help: None,
            kind,
        }
    }
}

/// Where machines that share this host's network listen.
const LOOPBACK: &str = "127.0.0.1";

/// What stands for a value that is not known yet, while it is found out what an expression reads.
const NOT_YET: &str = "192.0.2.1";

impl Ctx {
    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fail(&self, fault: Fault) -> Error {
        let error = Error::new(ErrorKind::InvalidOperation, fault.message.clone());
        self.record().fault.get_or_insert(fault);
        error
    }

    fn is_own(&self, target: Target) -> bool {
        matches!(self.view, View::Member(me) if me.decl == target.decl)
    }

    /// A name that dials `target` from inside the environment, or this host where they share its network.
    fn dialled(&self, target: Target) -> &str {
        if !self.is_own(target) {
            self.record().awaits.insert(target);
        }
        if self.world.decl(target).on_host {
            return LOOPBACK;
        }
        self.world.name(target).as_str()
    }

    /// The number that a port has: on machines that share their host's network the one that it was given there.
    fn number(&self, target: Target, port: &PortSpec) -> Result<u16, Fault> {
        if !self.world.decl(target).on_host || port.protocol == Protocol::Udp {
            return Ok(port.port);
        }
        let name = self.world.name(target);
        if self.world.is_group(target) {
            return Err(Fault::new(
                codes::UNKNOWN_PORT,
                format!("`{name}` is a group, and on this host each of its members has a number of its own"),
                format!(
                    "one of them: `machines.{name}[0]`, or all: `machines.{name}.endpoints('{}')`",
                    port.name
                ),
            ));
        }
        self.record().allotted = true;
        let given = self
            .facts
            .as_ref()
            .and_then(|known| known.numbers.get(name)?.get(&port.name));
        Ok(given.copied().unwrap_or(port.port))
    }

    /// Whether it is dialled as from this host: by the controller, and by a machine that shares this host's network and
    /// speaks of one that does not.
    fn dials_from_host(&self, target: Target) -> bool {
        match self.view {
            View::Controller => true,
            View::Member(me) => self.world.decl(me).on_host && !self.world.decl(target).on_host,
            View::Early => false,
        }
    }

    fn port(&self, target: Target, name: &str) -> Result<&PortSpec, Fault> {
        let decl = self.world.decl(target);
        decl.port(name).ok_or_else(|| unknown_port(decl, name))
    }

    /// Host and port as the controller dials them.
    fn published(&self, target: Target, port: &PortSpec) -> Result<(String, u16), Fault> {
        let name = self.world.name(target);
        if let Some(fault) = never_published(&self.world, target, port) {
            return Err(fault);
        }
        self.record().late.insert(target);
        let Some(facts) = &self.facts else {
            return Ok((NOT_YET.to_owned(), 1));
        };
        let Some(facts) = facts.machines.get(name) else {
            return Err(not_known(name));
        };
        let number = self.number(target, port)?;
        let found = facts.published.iter().find(|published| published.port == number);
        found
            .map(|published| (published.host.clone(), published.host_port))
            .ok_or_else(|| {
                Fault::unknown(
                    RenderErrorKind::NotPublished {
                        machine: name.clone(),
                        port: port.name.clone(),
                    },
                    format!("port `{}` of `{name}` is not published", port.name),
                )
            })
    }

    /// A port that is dialled: a udp one only from where the network is the same.
    fn dialled_port(&self, target: Target, name: &str) -> Result<&PortSpec, Fault> {
        let port = self.port(target, name)?;
        let View::Member(me) = self.view else { return Ok(port) };
        let (mine, theirs) = (self.world.decl(me), self.world.decl(target));
        if theirs.on_host && !mine.on_host {
            let (from, to) = (self.world.name(me), self.world.name(target));
            let message =
                format!("`{from}` has a network of its own and cannot reach `{to}`, which listens on this host alone");
            let help = "give both the same `provider`".to_owned();
            return Err(Fault::new(codes::NOT_PUBLISHED, message, help));
        }
        let apart = me.decl != target.decl && !mine.providers.iter().any(|it| theirs.providers.contains(it));
        if port.protocol == Protocol::Udp && apart {
            let (from, to) = (self.world.name(me), self.world.name(target));
            let message = format!("`{from}` cannot reach the udp port `{name}` of `{to}`: no provider may carry both");
            let help = "udp stays within one provider: give both the same `provider`".to_owned();
            return Err(Fault::new(codes::NOT_PUBLISHED, message, help));
        }
        Ok(port)
    }

    pub(crate) fn endpoint(&self, target: Target, port: &str) -> Result<String, Fault> {
        let port = self.dialled_port(target, port)?;
        if self.dials_from_host(target) {
            let (host, number) = self.published(target, port)?;
            return Ok(join_host(&host, number));
        }
        Ok(join_host(self.dialled(target), self.number(target, port)?))
    }

    fn host(&self, target: Target, port: Option<&str>) -> Result<String, Fault> {
        if !self.dials_from_host(target) {
            if let Some(port) = port {
                self.dialled_port(target, port)?;
            }
            return Ok(self.dialled(target).to_string());
        }
        let Some(port) = port else {
            return Err(Fault::new(
                codes::UNKNOWN_PORT,
                "from the controller a host belongs to a port: `host('…')` needs its name",
                None,
            ));
        };
        let port = self.port(target, port)?;
        Ok(self.published(target, port)?.0)
    }

    fn url(&self, target: Target, port: &str) -> Result<String, Fault> {
        let endpoint = self.endpoint(target, port)?;
        let secure = self
            .world
            .decl(target)
            .port(port)
            .is_some_and(|port| port.name.as_str() == "https" || port.port == 443);
        Ok(format!("{}://{endpoint}", if secure { "https" } else { "http" }))
    }

    fn output(&self, target: Target, output: &str) -> Result<String, Fault> {
        let decl = self.world.decl(target);
        if !decl.outputs.iter().any(|known| known.as_str() == output) {
            return Err(unknown_output(decl, output));
        }
        self.record().late.insert(target);
        let Some(facts) = &self.facts else {
            return Ok(NOT_YET.to_owned());
        };
        let name = self.world.name(target);
        let outputs = facts.machines.get(name).map(|facts| &facts.outputs);
        outputs
            .and_then(|outputs| outputs.get(output))
            .cloned()
            .ok_or_else(|| not_known(name))
    }

    fn secret(&self, name: &str) -> Result<String, Fault> {
        let name = Name::new(name).map_err(|error| Fault::new(codes::UNKNOWN_SECRET, error.to_string(), None))?;
        let Some(facts) = &self.facts else {
            return Ok(NOT_YET.to_owned());
        };
        facts
            .secrets
            .get(&name)
            .map(|secret| secret.reveal().clone())
            .ok_or_else(|| {
                let message = format!("the secret `{name}` is not known here");
                Fault::unknown(RenderErrorKind::NoSecret { name }, message)
            })
    }

    fn address(&self, target: Target) -> Result<String, Fault> {
        self.record().late.insert(target);
        let Some(facts) = &self.facts else {
            return Ok(NOT_YET.to_owned());
        };
        let name = self.world.name(target);
        let addrs = facts.machines.get(name).map_or(&[][..], |facts| &facts.addrs);
        addrs
            .iter()
            .find(|addr| addr.scope == AddrScope::Scope)
            .or_else(|| addrs.first())
            .map(|addr| addr.host.clone())
            .ok_or_else(|| not_known(name))
    }

    /// A field of a machine, as `each('{endpoint:peer}')` names it.
    pub(crate) fn field(&self, target: Target, field: &str, port: Option<&str>) -> Result<Value, Fault> {
        let wants_port = || {
            port.ok_or_else(|| {
                Fault::new(
                    codes::UNKNOWN_PORT,
                    format!("`{field}` needs the name of a port"),
                    format!("`{field}('…')`, in `each` `{{{field}:…}}`"),
                )
            })
        };
        Ok(match field {
            "name" => self.world.name(target).as_str().into(),
            "index" => match target.member {
                Some(index) => index.into(),
                None => return Err(no_index(self.world.name(target))),
            },
            "address" => self.address(target)?.into(),
            "host" => self.host(target, port)?.into(),
            "endpoint" => self.endpoint(target, wants_port()?)?.into(),
            "url" => self.url(target, wants_port()?)?.into(),
            "port" => self.number(target, self.port(target, wants_port()?)?)?.into(),
            other => {
                return Err(Fault::new(
                    codes::UNKNOWN_ATTRIBUTE,
                    format!("a machine has no `{other}`"),
                    nearest::did_you_mean(other, MACHINE_FIELDS),
                ));
            }
        })
    }
}

/// What can be asked of a machine.
pub(crate) const MACHINE_FIELDS: [&str; 8] = ["name", "index", "address", "host", "port", "endpoint", "url", OUTPUTS];
/// What its steps said, by name.
pub(crate) const OUTPUTS: &str = "outputs";
/// Those that take the name of a port.
pub(crate) const PORT_FIELDS: [&str; 3] = ["port", "endpoint", "url"];
/// What can be asked of a group, and the field of a member that each lists.
pub(crate) const GROUP_FIELDS: [(&str, &str); 6] = [
    ("names", "name"),
    ("hosts", "host"),
    ("addresses", "address"),
    ("ports", "port"),
    ("endpoints", "endpoint"),
    ("urls", "url"),
];
/// What can be asked of a group as if it were one machine.
pub(crate) const SHARED_FIELDS: [&str; 5] = ["name", "host", "port", "endpoint", "url"];

pub(crate) fn unknown_port(decl: &Decl, name: &str) -> Fault {
    let help = nearest::did_you_mean(name, decl.port_names())
        .unwrap_or_else(|| format!("ports of `{}`: {}", decl.name, nearest::listed(decl.port_names())));
    Fault::new(
        codes::UNKNOWN_PORT,
        format!("`{}` declares no port `{name}`", decl.name),
        help,
    )
}

pub(crate) fn unknown_output(decl: &Decl, name: &str) -> Fault {
    let known = || decl.outputs.iter().map(Name::as_str);
    let help = nearest::did_you_mean(name, known()).unwrap_or_else(|| {
        if decl.outputs.is_empty() {
            format!("a step of its set-up gives one: `output = \"{name}\"`")
        } else {
            format!("outputs of `{}`: {}", decl.name, nearest::listed(known()))
        }
    });
    let message = format!("no step of `{}` has the output `{name}`", decl.name);
    Fault::new(codes::UNKNOWN_OUTPUT, message, help)
}

pub(crate) fn no_index(name: &Name) -> Fault {
    Fault::new(
        codes::NO_ME,
        format!("`{name}` is in no group and has no index"),
        "only machines with a `count` have one".to_owned(),
    )
}

/// Why the controller can never dial a port, if so.
pub(crate) fn never_published(world: &World, target: Target, port: &PortSpec) -> Option<Fault> {
    let name = world.name(target);
    let (why, help) = if world.is_group(target) {
        (
            "it is a group".to_owned(),
            format!("name a member: `machines['{name}'][0]`"),
        )
    } else if port.publish == Publish::Inside {
        (
            "it has `publish = false`".to_owned(),
            "drop `publish`, or ask from a machine".to_owned(),
        )
    } else if port.protocol == Protocol::Udp {
        ("it is a udp port".to_owned(), "ask from a machine".to_owned())
    } else {
        return None;
    };
    Some(Fault::new(
        codes::NOT_PUBLISHED,
        format!(
            "port `{}` of `{name}` cannot be dialled from the controller: {why}",
            port.name
        ),
        help,
    ))
}

fn not_known(name: &Name) -> Fault {
    Fault::unknown(
        RenderErrorKind::NotKnown { machine: name.clone() },
        format!("this is known only once `{name}` runs"),
    )
}

fn join_host(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// The names that an expression begins with.
#[derive(Debug)]
pub(crate) struct Root(pub(crate) Arc<Ctx>);

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let ctx = &self.0;
        match key.as_str()? {
            "inputs" => Some(ctx.world.inputs_value.clone()),
            "stage" => ctx.stage.as_deref().map(Value::from),
            "machines" if ctx.view != View::Early => Some(Value::from_object(Machines(Arc::clone(ctx)))),
            "me" => match ctx.view {
                View::Member(target) => Some(machine(ctx, target)),
                View::Early | View::Controller => None,
            },
            "secret" if ctx.view != View::Early => Some(Value::from_object(SecretFunction(Arc::clone(ctx)))),
            _ => None,
        }
    }
}

pub(crate) fn machine(ctx: &Arc<Ctx>, target: Target) -> Value {
    let ctx = Arc::clone(ctx);
    if ctx.world.is_group(target) {
        Value::from_object(Group { ctx, decl: target.decl })
    } else {
        Value::from_object(Machine { ctx, target })
    }
}

/// `secret('x')`.
#[derive(Debug)]
struct SecretFunction(Arc<Ctx>);

impl Object for SecretFunction {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let [name] = args else {
            return Err(Error::new(ErrorKind::InvalidOperation, "`secret` takes one name"));
        };
        let Some(name) = name.as_str() else {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "the name of a secret is a string",
            ));
        };
        self.0.secret(name).map(Value::from).map_err(|fault| self.0.fail(fault))
    }
}

/// `machines.x.outputs`.
#[derive(Debug)]
struct Outputs {
    ctx: Arc<Ctx>,
    target: Target,
}

impl Object for Outputs {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let value = self.ctx.output(self.target, key.as_str()?);
        Some(value.map_or_else(|fault| Value::from(self.ctx.fail(fault)), Value::from))
    }
}

/// `machines`.
#[derive(Debug)]
struct Machines(Arc<Ctx>);

impl Object for Machines {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        if let Some(target) = self.0.world.find(name) {
            return Some(machine(&self.0, target));
        }
        let help = nearest::did_you_mean(name, self.0.world.names());
        let fault = Fault::new(codes::UNKNOWN_MACHINE, format!("no machine is called `{name}`"), help);
        Some(Value::from(self.0.fail(fault)))
    }
}

/// One machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) ctx: Arc<Ctx>,
    pub(crate) target: Target,
}

impl Object for Machine {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let field = key.as_str()?;
        if field == OUTPUTS {
            let (ctx, target) = (Arc::clone(&self.ctx), self.target);
            return Some(Value::from_object(Outputs { ctx, target }));
        }
        let value = self.ctx.field(self.target, field, None);
        Some(value.unwrap_or_else(|fault| Value::from(self.ctx.fail(fault))))
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        let port = one_text(args)?;
        self.ctx
            .field(self.target, method, port)
            .map_err(|fault| self.ctx.fail(fault))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "machine {}", self.ctx.world.name(self.target))
    }
}

pub(crate) fn one_text(args: &[Value]) -> Result<Option<&str>, Error> {
    match args {
        [] => Ok(None),
        [one] => one
            .as_str()
            .map(Some)
            .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "the name of a port is a string")),
        _ => Err(Error::from(ErrorKind::TooManyArguments)),
    }
}
