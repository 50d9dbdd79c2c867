//! The program `encamp`, as its users see it.

mod bed;
mod docker_examples;
mod docker_exec;
#[cfg(feature = "failpoints")]
mod docker_failpoints;
mod docker_failures;
mod docker_hostile;
mod docker_inside;
mod docker_leases;
mod docker_losses;
mod docker_machines;
mod docker_plan;
mod docker_run;
mod docker_secrets;
mod docker_setup;
mod docker_signals;
mod docker_terminal;
mod docker_up;
mod file;
mod init;
#[cfg(feature = "failpoints")]
mod local_failpoints;
mod local_run;
mod local_sync;
mod no_daemon;
mod plugins;
mod settings;
mod store;
mod usage;
mod validate;
