//! `leadfold completions`: scripts by which shells complete commands, flags and their values.

use clap::Args;
use clap_complete::Shell;

use super::{End, Failure, help, say};

const EXAMPLES: &str = "\
Examples, each for the file that the shell reads when it starts:
  source <(leadfold completions bash)           ~/.bashrc
  source <(leadfold completions zsh)            ~/.zshrc, below compinit
  leadfold completions fish | source            ~/.config/fish/config.fish
  eval (leadfold completions elvish | slurp)    ~/.config/elvish/rc.elv
  leadfold completions powershell | Out-String | Invoke-Expression
                                                $PROFILE

Asked for in this way they are always those of the installed version. They
complete commands, flags, and the values of flags that take one of a few.";

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Your shell
    shell: Shell,
}

pub(super) fn run(options: &Options) -> Result<End, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut help::command(), "leadfold", &mut script);
    say(String::from_utf8_lossy(&script).trim_end())?;
    Ok(End::Done)
}
