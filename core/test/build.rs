//! Finds its own path, and is the shim of sandboxes when it is started from there again.
//!
//! A shim takes its processes into name spaces of their own, which the kernel allows to a program of one thread alone, and
//! speaks by its standard output. A test program can be neither: its harness starts a thread and prints a line before any
//! code of ours runs. This program has no harness, is there wherever the crate was compiled, and is of the same version.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = asked() {
        return code;
    }
    println!("cargo::rerun-if-changed=build.rs");
    if cfg!(all(feature = "local", target_os = "linux"))
        && let Ok(program) = std::env::current_exe()
    {
        println!("cargo::rustc-env=ENCAMP_TEST_SHIM={}", program.display());
    }
    ExitCode::SUCCESS
}

#[cfg(all(feature = "local", target_os = "linux"))]
fn asked() -> Option<ExitCode> {
    use encamp_core::Ambient;
    use encamp_core::helper::{Asked, Role, VARIABLE};

    let ambient = Ambient::of_process();
    let asked = ambient.variable(VARIABLE)?.parse::<Asked>();
    Some(match asked {
        Ok(asked) if asked.role == Role::Shim => encamp_provider_local::shim(&asked.request),
        Ok(asked) if asked.role == Role::Probe => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    })
}

#[cfg(not(all(feature = "local", target_os = "linux")))]
fn asked() -> Option<ExitCode> {
    None
}
