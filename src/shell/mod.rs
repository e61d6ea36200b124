//! The outermost layer: what a person or a machine sees of the program, and the only place that names concrete adapters.
//!
//! [`cli`] reads the command line, [`config`] the settings; [`wiring`] puts adapters and engine together by them.

pub mod admin;
pub mod cli;
pub mod config;
#[cfg(feature = "testing")]
pub mod crash;
pub mod exit;
pub mod import;
mod signals;
pub mod telemetry;
pub mod wiring;

use std::process::ExitCode;

/// Runs the program.
#[must_use]
pub fn run() -> ExitCode {
    // Every TLS client asks for it, and none may choose another. It fails only where one was installed before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    #[cfg(feature = "testing")]
    crash::arm_from_environment();
    cli::run()
}
