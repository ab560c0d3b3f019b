//! What `leadfold demo` brings along: the shipped mappings and sample requests, as they stood when it was built.

macro_rules! shipped {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../", $folder, "/", $name)))),+]
    };
}

/// The shipped workspace: file name and text.
pub static MAPPINGS: &[(&str, &str)] = shipped!("mappings": "workspace.yaml", "sendpulse.yaml");

/// Sample requests of SendPulse, in the order in which the demo sends them.
pub static FIXTURES: &[(&str, &str)] = shipped!("fixtures/sendpulse":
    "01_new_lead_telegram.json",
);

/// Which phone or email belongs to which invented human; the sandbox counts duplicates with it, leadfold never reads it.
pub static TRUTH: &str = include_str!("../fixtures/truth.json");
