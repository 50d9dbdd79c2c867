//! Strings and tables whose expressions are rendered when what they speak of is known.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use encamp_core::{Addr, Name, Published, Secret, Value};

use crate::expr::{self, Evaluated, Expr, Trouble};
use crate::objects::{Ctx, Fault, Known, Record};
use crate::spec::Place;
pub use crate::template_file::Template;
pub use crate::tree::Tree;
use crate::world::{View, World};

/// Who asks decides the value of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Viewer {
    /// A machine of the environment: `name:port`.
    Member(Name),
    /// The controller: an address that dials from here.
    Controller,
}

/// What is known of a machine once it is up.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct MachineFacts {
    /// Its addresses.
    pub addrs: Vec<Addr>,
    /// Its published ports.
    pub published: Vec<Published>,
    /// What its set-up steps with `output` said last.
    pub outputs: BTreeMap<String, String>,
}

impl MachineFacts {
    /// Facts as a provider observed them.
    pub fn new(addrs: Vec<Addr>, published: Vec<Published>) -> Self {
        Self {
            addrs,
            published,
            outputs: BTreeMap::new(),
        }
    }
}

/// Numbers of ports, by machine and by the port's name.
pub type Numbers = BTreeMap<Name, BTreeMap<Name, u16>>;

/// What is known of all machines, for late texts.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// By machine.
    pub machines: BTreeMap<Name, MachineFacts>,
    /// The numbers that ports have on machines which share their host's network: by machine, by the port's name. What is
    /// not here has the number that it declares.
    pub numbers: Arc<Numbers>,
    /// The secrets that are spoken of.
    pub secrets: Arc<BTreeMap<Name, Secret>>,
}

impl Facts {
    /// What a text may read: only what it declared, since anything else may not be settled yet and would differ from
    /// run to run.
    pub(crate) fn declared(&self, needs: &BTreeSet<Name>, viewer: &Viewer) -> Known {
        let own = match viewer {
            Viewer::Member(name) => Some(name),
            Viewer::Controller => None,
        };
        let declared = needs.iter().chain(own);
        let machines = declared.filter_map(|name| Some((name.clone(), self.machines.get(name)?.clone())));
        Known {
            machines: machines.collect(),
            numbers: Arc::clone(&self.numbers),
            secrets: Arc::clone(&self.secrets),
        }
    }
}

/// Who asks, as expressions know it.
pub(crate) fn view(viewer: &Viewer, world: &World) -> Result<View, Fault> {
    match viewer {
        Viewer::Controller => Ok(View::Controller),
        Viewer::Member(name) => world.find(name.as_str()).map(View::Member).ok_or_else(|| {
            let message = format!("`{name}` is no machine of this file");
            Fault::new(crate::codes::UNKNOWN_MACHINE, message, None)
        }),
    }
}

/// A string whose expressions are rendered when what they speak of is known.
#[derive(Clone)]
pub struct Text(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) source: String,
    /// The text, where it is the same for all who ask and known from the start.
    pub(crate) fixed: Option<String>,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) late: bool,
    pub(crate) needs: BTreeSet<Name>,
    pub(crate) secrets: BTreeSet<Name>,
    pub(crate) world: Arc<World>,
    pub(crate) stage: Option<String>,
    pub(crate) place: Option<Place>,
}

/// A piece of a text.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Known(String),
    Open(Arc<Expr>),
}

impl Text {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// A text without expressions.
    pub fn literal(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new(Inner {
            source: text.clone(),
            fixed: Some(text),
            pieces: Vec::new(),
            late: false,
            needs: BTreeSet::new(),
            secrets: BTreeSet::new(),
            world: Arc::default(),
            stage: None,
            place: None,
        })
    }

    /// The text as `viewer` sees it.
    pub fn render(&self, facts: &Facts, viewer: &Viewer) -> Result<String, RenderError> {
        if let Some(fixed) = &self.0.fixed {
            return Ok(fixed.clone());
        }
        let mut text = String::new();
        for piece in &self.0.pieces {
            match piece {
                Piece::Known(known) => text.push_str(known),
                Piece::Open(expr) => {
                    let value = self.evaluate(expr, facts, viewer)?;
                    let Some(piece) = expr::to_text(&value) else {
                        let message = format!(
                            "`{}` gives a list, a table or none, where a text is wanted",
                            expr.text.trim()
                        );
                        return Err(self.error(RenderErrorKind::Failed, message));
                    };
                    text.push_str(&piece);
                }
            }
        }
        Ok(text)
    }

    /// The value as `viewer` sees it: that of its expression where the text is exactly one, else the text.
    pub fn render_value(&self, facts: &Facts, viewer: &Viewer) -> Result<Value, RenderError> {
        match self.0.pieces.as_slice() {
            [Piece::Open(expr)] => self.evaluate(expr, facts, viewer),
            _ => self.render(facts, viewer).map(Value::String),
        }
    }

    /// Whether it needs facts of running machines.
    pub fn is_late(&self) -> bool {
        self.0.late
    }

    /// The text, where it is known from the start and the same for all who ask.
    pub fn as_static(&self) -> Option<&str> {
        self.0.fixed.as_deref()
    }

    /// The text as the file has it.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The machines that it depends on: whose facts it reads, or that must be ready before it holds.
    pub fn needs(&self) -> &BTreeSet<Name> {
        &self.0.needs
    }

    /// Whether it holds a secret: any of its expressions speaks of one.
    pub fn is_secret(&self) -> bool {
        !self.0.secrets.is_empty()
    }

    /// The secrets that it speaks of.
    pub fn secrets(&self) -> &BTreeSet<Name> {
        &self.0.secrets
    }

    /// Where it stands.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    fn evaluate(&self, expr: &Expr, facts: &Facts, viewer: &Viewer) -> Result<Value, RenderError> {
        let view = view(viewer, &self.0.world).map_err(|fault| self.error(fault.kind, fault.message))?;
        let Evaluated { value, record } = expr.evaluate(Ctx {
            world: Arc::clone(&self.0.world),
            view,
            stage: self.0.stage.clone(),
            facts: Some(facts.declared(&self.0.needs, viewer)),
            record: Mutex::default(),
        });
        value.map_err(|trouble| self.failed(expr, trouble, record))
    }

    fn failed(&self, expr: &Expr, trouble: Trouble, record: Record) -> RenderError {
        let fault = match (record.fault, trouble) {
            (Some(fault), _) | (None, Trouble::Value(fault)) => fault,
            (None, Trouble::Engine(error)) => Fault::of_engine(&error),
        };
        let fault = fault.without_secrets(self.is_secret());
        self.error(fault.kind, format!("`{}`: {}", expr.text.trim(), fault.message))
    }

    fn error(&self, kind: RenderErrorKind, message: String) -> RenderError {
        RenderError::new(kind, self.0.place.clone(), message)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.fixed {
            Some(fixed) => f.debug_tuple("Text").field(fixed).finish(),
            None => f
                .debug_tuple("Text")
                .field(&self.0.source)
                .field(&self.0.needs)
                .finish(),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::literal(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::literal(text)
    }
}

/// A text could not be rendered.
#[derive(Debug, Clone)]
pub struct RenderError(Box<ErrorInner>);

#[derive(Debug, Clone)]
struct ErrorInner {
    kind: RenderErrorKind,
    place: Option<Place>,
    message: String,
}

/// Why a text could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RenderErrorKind {
    /// It needs a fact of a machine that is not there yet.
    NotKnown {
        /// Which machine.
        machine: Name,
    },
    /// It needs the published side of a port that is not published.
    NotPublished {
        /// Which machine.
        machine: Name,
        /// Which of its ports.
        port: Name,
    },
    /// It speaks of a secret that is not there.
    NoSecret {
        /// Which.
        name: Name,
    },
    /// Its expression failed.
    Failed,
}

impl RenderError {
    pub(crate) fn new(kind: RenderErrorKind, place: Option<Place>, message: String) -> Self {
        Self(Box::new(ErrorInner { kind, place, message }))
    }

    /// Why.
    pub fn kind(&self) -> &RenderErrorKind {
        &self.0.kind
    }

    /// Where the text stands.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// What went wrong, without the place.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.0.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for RenderError {}
