//! The program `encamp`, as its users see it.

mod bed;
mod breaches;
mod docker_cloud_init;
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
#[path = "../../../providers/ssh/tests/it/lab.rs"]
mod lab;
mod lab_example;
mod lab_places;
mod lab_trust;
#[cfg(feature = "failpoints")]
mod local_failpoints;
mod local_run;
mod local_sync;
mod logins;
mod no_daemon;
mod plugins;
mod servers;
mod settings;
mod store;
mod usage;
mod validate;
