//! `longshore man` and `longshore completions`: made from the command line itself, so that they cannot lag behind.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::args::Cli;
use super::output;
use crate::shell::exit::{Exit, Failure, Outcome};

const EXIT_STATUS: &str = r#".SH "EXIT STATUS"
.TP
\fB0\fR
Done.
.TP
\fB1\fR
Some work failed, or what was asked for is not there.
.TP
\fB2\fR
Wrong usage.
.TP
\fB64\fR
Bad configuration or input.
.TP
\fB69\fR
A service that it needs cannot be reached.
.TP
\fB75\fR
Stopped with work handed back or left; the same command goes on with it.
.SH ENVIRONMENT
.TP
\fBLONGSHORE_CONFIG\fR
The configuration file, where \fB\-\-config\fR names none.
.TP
\fBLONGSHORE__SECTION__KEY\fR
Any setting, its value written as TOML, where a bare word is text; stands above the file.
.TP
\fBSSL_CERT_FILE\fR
Roots to trust beside the system's.
.SH FILES
.TP
\fIlongshore.toml\fR
The configuration, read from the working folder where nothing else is named.
"#;

/// Prints the manual page.
pub(super) fn man() -> Outcome {
    let mut page = Vec::new();
    render(&mut page).map_err(|error| Failure::unreachable(format!("the manual page: {error}")))?;
    output::line(String::from_utf8_lossy(&page).trim_end())?;
    Ok(Exit::Done)
}

fn render(page: &mut Vec<u8>) -> io::Result<()> {
    let mut command = Cli::command();
    command.build();
    let man = Man::new(command.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    page.write_all(b".SH COMMANDS\n")?;
    for inner in command.get_subcommands() {
        render_command(page, inner, "")?;
    }
    page.write_all(EXIT_STATUS.as_bytes())?;
    man.render_version_section(page)
}

/// Writes one command, or the commands below it.
fn render_command(page: &mut Vec<u8>, command: &Command, above: &str) -> io::Result<()> {
    let name = format!("{above}{}", command.get_name());
    if command.get_name() == "help" {
        return Ok(());
    }
    if command.has_subcommands() {
        let above = format!("{name} ");
        return command.get_subcommands().try_for_each(|inner| render_command(page, inner, &above));
    }
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    writeln!(page, ".SS \"longshore {name}\"\n{about}.")?;
    let mut options = Vec::new();
    Man::new(command.clone()).render_options_section(&mut options)?;
    let options = String::from_utf8_lossy(&options).into_owned();
    let body = options.lines().filter(|line| !line.starts_with(".SH"));
    body.into_iter().try_for_each(|line| writeln!(page, "{line}"))
}

/// Prints a shell's completions.
pub(super) fn completions(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "longshore", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}
