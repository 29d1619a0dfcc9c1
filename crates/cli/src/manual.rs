//! `gradus completions` and `gradus man`: made from the same description of the command line that
//! reads it.

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use gradus::{Error, ErrorKind, Result};

use crate::print;

/// Print a script with which a shell completes commands, options and names
#[derive(Args)]
#[command(after_help = "Examples:
  gradus completions bash > ~/.local/share/bash-completion/completions/gradus
  gradus completions zsh > \"${fpath[1]}/_gradus\"
  gradus completions fish > ~/.config/fish/completions/gradus.fish")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn run(self, mut command: Command) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "gradus", &mut script);
        print(String::from_utf8_lossy(&script).trim_end())
    }
}

/// Print the manual page of gradus, or of one of its commands
#[derive(Args)]
#[command(after_help = "Examples:
  gradus man | man -l -
  gradus man train > gradus-train.1")]
pub struct Manual {
    /// The command [default: gradus as a whole]
    command: Option<String>,
}

impl Manual {
    pub fn run(self, mut command: Command) -> Result<()> {
        // Fills in what the subcommands inherit.
        command.build();
        if let Some(name) = &self.command {
            let Some(subcommand) = command.find_subcommand(name) else {
                let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
                let message =
                    format!("`{name}` is no command of gradus; there are {}", names.join(", "));
                return Err(Error::new(ErrorKind::Usage, message));
            };
            command = subcommand.clone();
        }
        let title = match &self.command {
            Some(name) => format!("gradus-{name}"),
            None => "gradus".to_owned(),
        };
        let mut page = Vec::new();
        let source = concat!("gradus ", env!("CARGO_PKG_VERSION"));
        Man::new(command).title(title).source(source).render(&mut page).map_err(|error| {
            Error::new(ErrorKind::Io, format!("cannot make the manual page: {error}"))
        })?;
        print(String::from_utf8_lossy(&page).trim_end())
    }
}
