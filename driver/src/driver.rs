//! From what was typed to an exit code.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use encamp::file::Kinds;
use encamp::helper::Helper;
use encamp::{Encamp, Error, ErrorKind, InstanceName, Kind, KindName, Value, builtin_kinds};
use serde_json::json;

use crate::arguments::{Arguments, Global, Verb, suggest};
use crate::context::{Context, Desk, file_of, folder_of};
use crate::exit::Exit;
use crate::failure::{Failure, Scene};
use crate::plugins::{self, Plugin};
use crate::settings::{self, Places, Settings};
use crate::variables::Variables;
use crate::{completion, flagged, helper, moment, output, verbs};

/// The program `encamp`, with the kinds that are linked into it.
#[derive(Debug)]
pub struct Driver {
    kinds: Vec<Arc<dyn Kind>>,
    /// Where plugins lie, beside those that settings name.
    plugins: Vec<PathBuf>,
}

impl Default for Driver {
    fn default() -> Self {
        Self::new()
    }
}

impl Driver {
    /// With the kinds that the facade carries.
    pub fn new() -> Self {
        Self {
            kinds: builtin_kinds(),
            plugins: Vec::new(),
        }
    }

    /// With the plugins of a folder, or of one manifest.
    #[must_use]
    pub fn plugins(mut self, path: impl Into<PathBuf>) -> Self {
        self.plugins.push(path.into());
        self
    }

    /// Finds where plugins lie, wherever this process and its helpers stand.
    fn find_plugins(&mut self, variables: &Variables) -> Result<(), Failure> {
        self.plugins.extend(settings::plugins(variables)?);
        let mut found: Vec<PathBuf> = Vec::new();
        for path in &self.plugins {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            if !found.contains(&path) {
                found.push(path);
            }
        }
        self.plugins = found;
        Ok(())
    }

    /// Adds the kinds of all plugins to those that are linked in, and says where they came from.
    fn load_plugins(&mut self, failed: impl FnMut(Failure) -> Result<(), Failure>) -> Result<Vec<Plugin>, Failure> {
        let plugins = plugins::load(&self.plugins, &self.kinds, failed)?;
        self.kinds.extend(plugins.iter().map(|plugin| Arc::clone(&plugin.kind)));
        Ok(plugins)
    }

    /// Those that can be loaded are needed, whatever became of the others since a command had them all.
    fn load_for_helper(&mut self, variables: &Variables) {
        let told = |failure: Failure| {
            output::tell_text(&failure.render(&Scene::default(), false));
            Ok(())
        };
        let found = self.find_plugins(variables);
        let loaded = found.or_else(told).and_then(|()| self.load_plugins(told));
        // Nothing is left to be told.
        drop(loaded);
    }

    /// With one more kind. An instance of it is there under the kind's own name; settings may add others.
    #[must_use]
    pub fn kind(mut self, kind: Arc<dyn Kind>) -> Self {
        self.kinds.push(kind);
        self
    }

    /// Does what the process's arguments say.
    pub fn run(mut self) -> ExitCode {
        let variables = Variables::of_process();
        if let Some(asked) = variables.helper() {
            // A shim stands for machines of this host alone.
            if helper::is_keeper(asked) {
                self.load_for_helper(&variables);
            }
            return helper::play(asked, self.kinds, &variables);
        }
        if let Some(answered) = completion::answer() {
            return answered.into();
        }
        match Arguments::try_parse() {
            Ok(arguments) => self.obey(arguments, &variables).into(),
            Err(mut error) => {
                suggest(&mut error);
                let text = error.render().ansi().to_string();
                if error.use_stderr() {
                    output::tell_text(&text);
                } else {
                    output::said(text.trim_end());
                }
                u8::try_from(error.exit_code()).unwrap_or(2).into()
            }
        }
    }

    fn obey(mut self, arguments: Arguments, variables: &Variables) -> Exit {
        let began = moment::instant();
        let Arguments { global, verb } = arguments;
        let name = verb.as_str();
        let json = global.json;
        let state = flagged::flag(global.state.as_deref());
        output::keep_state(&state);
        let mut scene = Scene {
            state: &state,
            verb: name,
            now: before_anything(&verb),
            ..Scene::default()
        };
        let failed = |failure: &Failure, scene: &mut Scene<'_>| {
            scene.after = began.elapsed();
            report(failure, scene, &verb, json);
            failure.exit()
        };
        // These speak of encamp alone, so nothing that is configured can keep them from it.
        match &verb {
            Verb::Explain(args) => {
                return verbs::explain(args, json).unwrap_or_else(|failure| failed(&failure, &mut scene));
            }
            Verb::Completions(args) => {
                return verbs::completions(args).unwrap_or_else(|failure| failed(&failure, &mut scene));
            }
            _ => {}
        }
        let plugins = match self.find_plugins(variables).and_then(|()| self.load_plugins(Err)) {
            Ok(plugins) => plugins,
            Err(failure) => return failed(&failure, &mut scene),
        };
        let settings = match self.settings(&global, &verb, variables) {
            Ok(mut settings) => {
                settings.policy.wait = verb.wait();
                settings
            }
            Err(failure) => return failed(&failure, &mut scene),
        };
        if let Some(log) = &settings.log {
            listen(log);
        }
        let kinds = match self.known(&settings) {
            Ok(kinds) => kinds,
            Err(error) => return failed(&error.into(), &mut scene),
        };
        let desk = Desk {
            settings,
            kinds,
            plugins: plugins
                .into_iter()
                .map(|plugin| (plugin.kind.info().name.clone(), plugin.from))
                .collect(),
            ambient: variables.ambient(),
            verb: name,
            json,
            yes: global.yes,
            live: output::is_terminal() && !variables.terminal_is_dumb(),
            terminal: variables.terminal(),
            state_flag: state.clone(),
            began,
        };
        if let Some(done) = verbs::without_store(&desk, &verb) {
            return done.unwrap_or_else(|failure| {
                scene.instances = &desk.settings.instances;
                failed(&failure, &mut scene)
            });
        }
        let encamp = match self.open(&desk.settings, variables) {
            Ok(encamp) => encamp,
            Err(error) => return failed(&error.into(), &mut scene),
        };
        // Of no other command's concern, and with --json no part of what this one answers.
        if encamp.store_was_lost() && !matches!(verb, Verb::Recover) {
            output::tell(
                "the store of this installation was not there, and is empty now · encamp recover finds what it knew",
            );
        }
        let cx = Context { encamp, desk };
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let error = Error::new(ErrorKind::Internal, "the driver's runtime cannot be started").caused_by(error);
                return failed(&error.into(), &mut scene);
            }
        };
        let done = runtime.block_on(verbs::obey(&cx, &verb));
        // Somebody may still be waiting for a line of standard input, which nothing can end.
        runtime.shutdown_background();
        scene.instances = &cx.settings.instances;
        done.unwrap_or_else(|failure| failed(&failure, &mut scene))
    }

    /// The kinds and instances that an environment file may speak of.
    fn known(&self, settings: &Settings) -> Result<Kinds, Error> {
        let invalid = |error: encamp::NameError| Error::new(ErrorKind::Invalid, error.to_string());
        let mut kinds = Kinds::default();
        for kind in &self.kinds {
            kinds.kinds.insert(kind.info().name.clone(), Arc::clone(kind));
        }
        for instance in &settings.instances {
            let name = InstanceName::new(instance.name.as_str()).map_err(invalid)?;
            kinds
                .instances
                .insert(name, KindName::new(instance.kind.as_str()).map_err(invalid)?);
        }
        Ok(kinds)
    }

    fn settings(&self, global: &Global, verb: &Verb, variables: &Variables) -> Result<Settings, Failure> {
        let name = |kind: &Arc<dyn Kind>| kind.info().name.to_string();
        let kinds: Vec<String> = self.kinds.iter().map(name).collect();
        let bare = self.kinds.iter().filter(|kind| !kind.info().needs_settings());
        let bare: Vec<String> = bare.map(name).collect();
        let file: PathBuf = file_of(verb.file());
        settings::load(&Places {
            variables,
            state: global.state.as_deref(),
            project: folder_of(&file),
            kinds: &kinds,
            bare: &bare,
            lists: &self.lists(),
        })
    }

    /// The settings of all kinds that are lists.
    fn lists(&self) -> Vec<String> {
        let schemas = self.kinds.iter().map(|kind| &kind.info().settings_schema);
        let settings = schemas.filter_map(|schema| schema.get("properties")?.as_object());
        let is_list = |(_, schema): &(&String, &Value)| schema.get("type").is_some_and(|of| *of == "array");
        settings.flatten().filter(is_list).map(|(key, _)| key.clone()).collect()
    }

    /// A helper stands in another folder, and reads no arguments.
    fn told_of_plugins(&self, helper: Helper) -> Helper {
        let paths: Option<Vec<&str>> = self.plugins.iter().map(|path| path.to_str()).collect();
        // What cannot stand in a list is left to the helper's own settings.
        match paths.filter(|paths| !paths.is_empty() && !paths.iter().any(|path| path.contains(','))) {
            Some(paths) => helper.variable(settings::PLUGINS, paths.join(",")),
            None => helper,
        }
    }

    fn open(&self, settings: &Settings, variables: &Variables) -> Result<Encamp, Error> {
        let mut builder = Encamp::builder()
            .state_dir(&settings.state_dir)
            .ambient(variables.ambient())
            .runtime_dir(variables.runtime())
            .keepers(settings.keeper)
            .policy(settings.policy.clone())
            .user(variables.user());
        if let Some(helper) = encamp::helper::this() {
            builder = builder.helper(self.told_of_plugins(helper));
        }
        for kind in &self.kinds {
            builder = builder.kind(Arc::clone(kind));
        }
        for instance in &settings.instances {
            builder = builder.instance(&instance.name, &instance.kind, instance.settings.clone());
        }
        for (name, source) in &settings.secrets {
            builder = builder.secret(name.as_str(), source.clone());
        }
        #[cfg(feature = "failpoints")]
        if let Some(failpoints) = crate::failpoints::of(variables)? {
            builder = builder.failpoints(failpoints);
        }
        builder.open()
    }
}

/// What exists where a verb fails before it has done anything.
fn before_anything(verb: &Verb) -> &'static str {
    match verb {
        Verb::Run(_) | Verb::Up(_) | Verb::Validate(_) | Verb::Plan(_) => "nothing was started",
        Verb::Down(_) | Verb::Extend(_) | Verb::Start(_) | Verb::Stop(_) | Verb::Sync(_) => "nothing was changed",
        Verb::Cp(_) => "nothing was copied",
        Verb::Init(_) | Verb::Trust(_) => "nothing was written",
        Verb::Ls
        | Verb::Show(_)
        | Verb::Exec(_)
        | Verb::Shell(_)
        | Verb::Forward(_)
        | Verb::Logs(_)
        | Verb::Gc
        | Verb::Recover
        | Verb::Doctor
        | Verb::Provider(_)
        | Verb::Schema
        | Verb::Explain(_)
        | Verb::Completions(_) => "",
    }
}

fn report(failure: &Failure, scene: &Scene<'_>, verb: &Verb, json: bool) {
    if !json {
        output::tell_text(&failure.render(scene, output::has_colour()));
        return;
    }
    let mut object = json!({ "exit": failure.exit().code(), "errors": failure.to_json() });
    if matches!(
        verb,
        Verb::Run(_) | Verb::Up(_) | Verb::Exec(_) | Verb::Logs(_) | Verb::Forward(_)
    ) {
        object["event"] = json!("failed");
    }
    output::json(&object);
}

/// Logs on standard error, for whoever wants to know more.
fn listen(filter: &str) {
    let filter = tracing_subscriber::EnvFilter::builder().parse_lossy(filter);
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .try_init();
}
