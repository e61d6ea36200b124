//! How the program ends: its exit codes, and the one way in which a command fails.

use std::process::ExitCode;

/// The exit codes that are promised. Wrong usage found by the command line's own parser is 2 too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Done,
    /// Some work failed, or what was asked for is not there.
    SomeFailed,
    /// Wrong usage.
    Usage,
    /// Bad configuration or input.
    BadInput,
    /// A service that it needs cannot be reached.
    Unreachable,
    /// Stopped with work left.
    HandedBack,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::SomeFailed => 1,
            Exit::Usage => 2,
            Exit::BadInput => 64,
            Exit::Unreachable => 69,
            Exit::HandedBack => 75,
        })
    }
}

/// Why a command ends early: the exit code, and what is told on standard error, a line for each mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// What went wrong, where, and what to do; nothing where nothing is left to say.
    pub lines: Vec<String>,
}

impl Failure {
    /// A failure told in one line.
    #[must_use]
    pub fn new(exit: Exit, line: impl Into<String>) -> Self {
        Self { exit, lines: vec![line.into()] }
    }

    /// Bad configuration or input.
    #[must_use]
    pub fn bad_input(line: impl Into<String>) -> Self {
        Self::new(Exit::BadInput, line)
    }

    /// A service that cannot be reached.
    #[must_use]
    pub fn unreachable(line: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, line)
    }

    /// Nobody reads what we print any more, as in `longshore events | head`: there is nothing to say.
    #[must_use]
    pub fn nobody_reads() -> Self {
        Self { exit: Exit::Done, lines: Vec::new() }
    }

    /// Writes the lines to standard error, each as one line whatever it holds.
    pub fn tell(&self) {
        use std::io::Write;
        let mut stderr = std::io::stderr().lock();
        for line in &self.lines {
            let line: Vec<&str> = line.lines().map(str::trim).filter(|part| !part.is_empty()).collect();
            // Where standard error is closed there is nobody left to tell.
            let _ = writeln!(stderr, "longshore: {}", line.join("; "));
        }
    }
}

/// What a command returns.
pub type Outcome = Result<Exit, Failure>;
