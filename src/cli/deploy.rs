//! `leadfold deploy`: the files that run it in production, with what to change and why written in them.
//!
//! They are part of the binary, so that whoever has it has them, in the version that fits; `tests/it/deploy.rs` tries them.

use std::fmt::Write as _;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::{End, Failure, say};

const EXAMPLES: &str = "\
Examples:
  leadfold deploy                            what there is
  leadfold deploy environment > /etc/leadfold/environment
  leadfold deploy systemd > /etc/systemd/system/leadfold@.service
  leadfold deploy nginx > /etc/nginx/conf.d/leadfold.conf
  leadfold deploy container > Containerfile

Each file begins with how to use it, and says what to change and why.";

/// Arguments of `deploy`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Which file; without it they are listed
    #[arg(value_name = "FILE", value_parser = PossibleValuesParser::new(FILES.iter().map(|file| file.name)))]
    file: Option<String>,
    /// Print the list, or the file, as one JSON object
    #[arg(long)]
    json: bool,
}

struct File {
    name: &'static str,
    /// Where it usually is.
    place: &'static str,
    about: &'static str,
    text: &'static str,
}

const FILES: &[File] = &[
    File {
        name: "environment",
        place: "/etc/leadfold/environment",
        about: "settings and secrets, for the service and for commands",
        text: include_str!("deploy/environment"),
    },
    File {
        name: "systemd",
        place: "/etc/systemd/system/leadfold@.service",
        about: "a hardened service, one instance per port; upgrades without a gap",
        text: include_str!("deploy/systemd.service"),
    },
    File {
        name: "nginx",
        place: "/etc/nginx/conf.d/leadfold.conf",
        about: "TLS, several processes, no tokens in the log",
        text: include_str!("deploy/nginx.conf"),
    },
    File {
        name: "caddy",
        place: "/etc/caddy/Caddyfile",
        about: "the same with Caddy, which gets its certificate by itself",
        text: include_str!("deploy/Caddyfile"),
    },
    File {
        name: "container",
        place: "Containerfile",
        about: "a static binary on nothing, without rights",
        text: include_str!("deploy/Containerfile"),
    },
    File {
        name: "compose",
        place: "compose.yaml",
        about: "three leadfolds, PostgreSQL and a proxy on one machine",
        text: include_str!("deploy/compose.yaml"),
    },
    File {
        name: "kubernetes",
        place: "leadfold.yaml",
        about: "three leadfolds on a PostgreSQL that is there already",
        text: include_str!("deploy/kubernetes.yaml"),
    },
    File {
        name: "backup",
        place: "/etc/cron.hourly/leadfold-backup",
        about: "a script for cron, for either database",
        text: include_str!("deploy/backup.sh"),
    },
];

impl File {
    fn text(&self) -> String {
        self.text.trim_end().replace("{VERSION}", env!("CARGO_PKG_VERSION"))
    }
}

pub(super) fn run(options: &Options) -> Result<End, Failure> {
    let chosen = FILES.iter().find(|file| options.file.as_deref() == Some(file.name));
    say(&match (chosen, options.json) {
        (Some(file), false) => file.text(),
        (Some(file), true) => {
            json!({ "name": file.name, "place": file.place, "about": file.about, "text": file.text() })
                .to_string()
        }
        (None, true) => {
            let files = FILES
                .iter()
                .map(|file| json!({ "name": file.name, "place": file.place, "about": file.about }));
            json!({ "files": files.collect::<Vec<_>>() }).to_string()
        }
        (None, false) => list(),
    })?;
    Ok(End::Done)
}

fn list() -> String {
    let width = FILES.iter().map(|file| file.name.len()).max().unwrap_or(0);
    let mut text = String::from("`leadfold deploy <FILE>` prints one, ready to use:\n\n");
    for File { name, place, about, .. } in FILES {
        // Writing to a String cannot fail.
        writeln!(text, "  {name:width$}  {about}\n  {:width$}    {place}", "").ok();
    }
    text.push_str("\nEach begins with how to use it, and says what to change and why.");
    text
}
