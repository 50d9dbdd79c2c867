//! From what was typed to an exit code.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use encamp::{Encamp, Error, ErrorKind, Kind, builtin_kinds};
use serde_json::json;

use crate::arguments::{Arguments, Global, Verb};
use crate::context::{Context, file_of, folder_of};
use crate::exit::Exit;
use crate::failure::{Failure, Scene};
use crate::settings::{self, Places, Settings};
use crate::variables::Variables;
use crate::{moment, output, verbs};

/// The program `encamp`, with the kinds that are linked into it.
#[derive(Debug)]
pub struct Driver {
    kinds: Vec<Arc<dyn Kind>>,
}

impl Default for Driver {
    fn default() -> Self {
        Self::new()
    }
}

impl Driver {
    /// With the kinds that the facade carries.
    pub fn new() -> Self {
        Self { kinds: builtin_kinds() }
    }

    /// With one more kind. An instance of it is there under the kind's own name; settings may add others.
    #[must_use]
    pub fn kind(mut self, kind: Arc<dyn Kind>) -> Self {
        self.kinds.push(kind);
        self
    }

    /// Does what the process's arguments say.
    pub fn run(self) -> ExitCode {
        match Arguments::try_parse() {
            Ok(arguments) => self.obey(arguments).into(),
            Err(error) => {
                let text = error.render().ansi().to_string();
                if error.use_stderr() {
                    output::tell_text(&text);
                } else {
                    output::result(text.trim_end());
                }
                u8::try_from(error.exit_code()).unwrap_or(2).into()
            }
        }
    }

    fn obey(self, arguments: Arguments) -> Exit {
        let began = moment::instant();
        let Arguments { global, verb } = arguments;
        let name = verb.as_str();
        let json = global.json;
        let mut scene = Scene {
            verb: name,
            now: before_anything(&verb),
            ..Scene::default()
        };
        let failed = |failure: &Failure, scene: &mut Scene<'_>| {
            scene.after = began.elapsed();
            report(failure, scene, &verb, json);
            failure.exit()
        };
        let variables = Variables::of_process();
        let settings = match self.settings(&global, &verb, &variables) {
            Ok(settings) => settings,
            Err(failure) => return failed(&failure, &mut scene),
        };
        if let Some(log) = &settings.log {
            listen(log);
        }
        let encamp = match self.open(&settings, &variables) {
            Ok(encamp) => encamp,
            Err(error) => return failed(&error.into(), &mut scene),
        };
        let live = output::is_terminal() && !variables.terminal_is_dumb();
        let cx = Context {
            encamp,
            settings,
            verb: name,
            json,
            yes: global.yes,
            live,
            state: global.state,
            began,
        };
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

    fn settings(&self, global: &Global, verb: &Verb, variables: &Variables) -> Result<Settings, Failure> {
        let kinds: Vec<String> = self.kinds.iter().map(|kind| kind.info().name.to_string()).collect();
        let file: PathBuf = file_of(verb.file());
        settings::load(&Places {
            variables,
            state: global.state.as_deref(),
            project: folder_of(&file),
            kinds: &kinds,
        })
    }

    fn open(&self, settings: &Settings, variables: &Variables) -> Result<Encamp, Error> {
        let mut builder = Encamp::builder()
            .state_dir(&settings.state_dir)
            .ambient(variables.ambient())
            .policy(settings.policy.clone())
            .user(variables.user());
        for kind in &self.kinds {
            builder = builder.kind(Arc::clone(kind));
        }
        for instance in &settings.instances {
            builder = builder.instance(&instance.name, &instance.kind, instance.settings.clone());
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
        Verb::Run(_) | Verb::Up(_) => "nothing was started",
        Verb::Down(_) => "nothing was changed",
        Verb::Ls | Verb::Show(_) | Verb::Exec(_) | Verb::Logs(_) | Verb::Gc => "",
    }
}

fn report(failure: &Failure, scene: &Scene<'_>, verb: &Verb, json: bool) {
    if !json {
        output::tell_text(&failure.render(scene, output::has_colour()));
        return;
    }
    let mut object = json!({ "exit": failure.exit().code(), "errors": failure.to_json() });
    if matches!(verb, Verb::Run(_) | Verb::Up(_) | Verb::Exec(_) | Verb::Logs(_)) {
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
