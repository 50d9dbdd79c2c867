//! Environment files, right and wrong, through the public door.

mod disk;
mod fake;
mod full;
mod good;
mod mutate;
mod scale;
mod schema;
mod texts;
mod wrong;
mod wrong_files;
mod wrong_references;
mod wrong_secrets;
mod wrong_steps;
mod wrong_tasks;
