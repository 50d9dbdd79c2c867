//! The program `encamp` with one more kind: `cargo run -p encamp-example-driver -- up examples/custom-driver`.

#[path = "../../custom_provider/desk.rs"]
mod desk;

fn main() -> std::process::ExitCode {
    encamp_driver::Driver::new().kind(desk::kind()).run()
}
