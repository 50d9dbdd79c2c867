//! The program `encamp`.

fn main() -> std::process::ExitCode {
    encamp_driver::Driver::new().run()
}
