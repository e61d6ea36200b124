//! The `longshore` command: see [`longshore::shell`].

use std::process::ExitCode;

fn main() -> ExitCode {
    longshore::shell::run()
}
