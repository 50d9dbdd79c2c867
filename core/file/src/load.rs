//! From a file to a checked specification.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use encamp_core::{Name, Value};

use crate::codes;
use crate::cx::{Cx, Scope};
use crate::depends;
use crate::diagnose::{Diagnostic, Failure, Findings};
use crate::inputs;
use crate::kinds::Kinds;
use crate::machines;
use crate::node::Table;
use crate::outputs;
use crate::overrides::Overrides;
use crate::render;
use crate::secrets;
use crate::source::{Disk, MAX_BYTES, SourceMap, Sources, Span};
use crate::spec::Environment;
use crate::stages;
use crate::toml;
use crate::toml_version;
use crate::warn;
use crate::world::World;

/// The keys of a file.
pub(crate) const KEYS: [&str; 7] = ["name", "ttl", "inputs", "secrets", "machines", "stages", "outputs"];
/// Those that later versions know.
const LATER: [&str; 3] = ["include", "extends", "matrix"];

/// What to load, and what it may speak of.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    /// The file.
    pub path: &'a Path,
    /// Where files are read from.
    pub sources: &'a dyn Sources,
    /// The kinds and providers there are.
    pub kinds: &'a Kinds,
    /// `inputs.version` or `version`, `machines.web.provider` or `machines.*.provider`, and the value's text.
    pub set: &'a [(String, String)],
    /// A TOML file of values for inputs, which `set` overrides.
    pub inputs: Option<&'a Path>,
    /// The secrets that may be spoken of beside those that the file declares.
    pub secrets: &'a BTreeSet<Name>,
    /// Lets a secret stand where the infrastructure shows it to others.
    pub allow_visible: bool,
}

static NO_SECRETS: BTreeSet<Name> = BTreeSet::new();

impl std::fmt::Debug for Load<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Load")
            .field("path", &self.path)
            .field("set", &self.set)
            .finish_non_exhaustive()
    }
}

impl<'a> Load<'a> {
    /// Where the file lies. One that was named without a folder lies in this one, which has a name: nothing can be read
    /// or run in "".
    pub(crate) fn folder(&self) -> &'a Path {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new("."))
    }

    /// A file of the disk, with nothing set.
    pub fn new(path: &'a Path, kinds: &'a Kinds) -> Self {
        Self {
            path,
            sources: &Disk,
            kinds,
            set: &[],
            inputs: None,
            secrets: &NO_SECRETS,
            allow_visible: false,
        }
    }
}

/// A file that is fine.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub environment: Environment,
    /// What it may not have meant, in the order of the file.
    pub warnings: Vec<Diagnostic>,
    sources: Arc<SourceMap>,
}

impl Loaded {
    /// The warnings with their excerpts; empty where there are none.
    pub fn render(&self, color: bool) -> String {
        render::text(&self.warnings, &self.sources, color)
    }

    /// The warnings as a JSON list.
    pub fn to_json(&self) -> Value {
        render::json(&self.warnings, &self.sources)
    }
}

/// Reads and checks a file. Reports everything that is wrong with it at once.
pub fn load(load: &Load<'_>) -> Result<Loaded, Failure> {
    let mut sources = SourceMap::default();
    let mut findings = Findings::default();
    let file = match load.sources.read(load.path) {
        Ok(text) if text.len() > MAX_BYTES => {
            let message = format!("{} has more than {} MiB", load.path.display(), MAX_BYTES >> 20);
            findings.add(Diagnostic::error(codes::TOO_LARGE, None, message));
            None
        }
        Ok(text) => Some(sources.add(load.path.to_owned(), text)),
        Err(error) => {
            let message = format!("{} cannot be read: {error}", load.path.display());
            findings.add(Diagnostic::error(codes::UNREADABLE, None, message));
            None
        }
    };
    let root = file.and_then(|file| {
        let text = sources.file(file).map_or("", |source| source.text.as_str());
        toml::parse(text, file, &mut findings)
    });
    let mut environment = None;
    if let (Some(root), Some(file)) = (&root, file) {
        let text = sources.file(file).map_or("", |source| source.text.as_str());
        toml_version::note(text, file, &mut findings);
        let given = load
            .inputs
            .map(|path| inputs::given(path, load.sources, &mut sources, &mut findings));
        let mut cx = Cx::new(sources, load, findings);
        environment = read(root, file, given.flatten().as_ref(), load, &mut cx);
        (sources, findings) = (cx.sources, cx.findings);
    }
    let errors = findings.errors();
    let diagnostics = findings.settle(&sources);
    let sources = Arc::new(sources);
    match environment {
        Some(environment) if errors == 0 => Ok(Loaded {
            environment,
            warnings: diagnostics,
            sources,
        }),
        _ => Err(Failure { diagnostics, sources }),
    }
}

fn read(root: &Table, file: u32, given: Option<&Table>, load: &Load<'_>, cx: &mut Cx<'_>) -> Option<Environment> {
    warn::reserved_kinds(cx);
    keys(root, cx);
    let overrides = Overrides::read(load.set, cx);
    let inputs = inputs::read(root, &overrides, given, cx);
    cx.world = Arc::new(World::new(inputs.clone(), Vec::new(), BTreeSet::new()));
    let name = name(root, file, cx);
    let ttl = root.node("ttl").map(|node| cx.duration(node, Scope::EARLY));
    let secrets = secrets::declared(root, cx);
    let drafts = machines::drafts(root, &overrides, cx);
    let known = secrets.keys().chain(load.secrets).cloned().collect();
    let decls = drafts.iter().map(|draft| draft.decl(load.kinds)).collect();
    let world = Arc::new(World::new(inputs, decls, known));
    overrides.check_machines(&world, cx);
    cx.world = world;
    let mut described = Vec::with_capacity(drafts.len());
    for (decl, draft) in drafts.iter().enumerate() {
        let part = machines::describe(draft, decl, cx);
        if let Some(machine) = part.machines.first() {
            warn::of_tcp_alone(draft, machine, cx);
        }
        described.push(part);
    }
    let stages = stages::read(root, cx);
    let outputs = outputs::read(root, cx);
    let machines = depends::order(described, cx);
    let folder = load.folder();
    let mut environment = Environment::new(name?, ttl.unwrap_or(Some(Environment::TTL))?, machines, folder);
    environment.stages = stages;
    environment.outputs = outputs;
    let whole = |(name, source)| Some((name, source?));
    environment.secrets = secrets.into_iter().filter_map(whole).collect();
    environment.file = Some(load.path.to_owned());
    environment.digest = cx.sources.digest(load.set);
    Some(environment)
}

fn keys(root: &Table, cx: &mut Cx<'_>) {
    for entry in &root.entries {
        let key = entry.key.as_str();
        if LATER.contains(&key) {
            let message = format!("`{key}` comes with a later version");
            cx.add(Diagnostic::error(codes::LATER, entry.key_span, message));
        } else if !KEYS.contains(&key) {
            cx.unknown_key(entry, KEYS.into_iter(), "the file");
        }
    }
}

fn name(root: &Table, file: u32, cx: &mut Cx<'_>) -> Option<Name> {
    if let Some(node) = root.node("name") {
        return cx.name(node, Scope::EARLY, "\"shop\"");
    }
    cx.missing_key(Span::new(file, 0..0), "the file", "name", "name = \"shop\"");
    None
}
