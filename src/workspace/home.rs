//! The folder of a workspace, as the server that was started on it knows it: what of it may be read, and how an edit that
//! does not come from an editor on that machine gets in.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Access, access};

use super::{edit, read_files};
use crate::map::Files;

/// What says which version of the workspace runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// The files: they are active from the start on, and so is every valid edit of them. For one process.
    Files,
    /// The database: `leadfold apply` changes the active version. For several processes.
    Database,
}

/// Where an edit from a browser goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into the files, from where it becomes active as any edit of them.
    Files,
    /// Into the database, as with `leadfold apply`.
    Database,
    /// Nowhere, for this reason: a patch is all that can be had.
    Nowhere(String),
}

/// The folder of a workspace.
#[derive(Debug)]
pub struct Home {
    folder: PathBuf,
    follow: Follow,
    read_only: bool,
    /// Sample requests that its files named when the process was started, by whoever wrote those.
    samples: BTreeSet<String>,
    turn: Mutex<()>,
}

impl Default for Home {
    /// That of a process which has none, such as a command.
    fn default() -> Self {
        Self::new(Path::new(""), Follow::Database, true, BTreeSet::new())
    }
}

/// Largest sample request that is read.
const LARGEST_SAMPLE: u64 = 1024 * 1024;
/// What the name of a sample request ends with.
const SAMPLE_ENDINGS: [&str; 3] = ["json", "txt", "form"];

impl Home {
    /// A folder; `samples` are the requests that its tests name now.
    pub fn new(folder: &Path, follow: Follow, read_only: bool, samples: BTreeSet<String>) -> Self {
        Self { folder: folder.to_owned(), follow, read_only, samples, turn: Mutex::default() }
    }

    /// Where an edit goes.
    pub fn place(&self) -> Place {
        if self.read_only {
            return Place::Nowhere(
                "this server was told to leave the workspace alone (--read-only-workspace)".to_owned(),
            );
        }
        match self.follow {
            Follow::Database => Place::Database,
            Follow::Files if access(&self.folder, Access::WRITE_OK | Access::EXEC_OK).is_ok() => Place::Files,
            Follow::Files => {
                Place::Nowhere(format!("this server may not write into its folder {}", self.folder.display()))
            }
        }
    }

    /// Whether a test that comes from a browser may name this request: one inside of the folder, or one that the files named
    /// when the server was started. Anything else could be any file of the machine, and what is in it would be shown as
    /// what a test got.
    pub fn may_read(&self, given: &str) -> bool {
        self.samples.contains(given) || is_inside(given)
    }

    /// A sample request; the error is a sentence.
    pub fn sample(&self, given: &str) -> Result<Vec<u8>, String> {
        if !self.may_read(given) {
            return Err(outside(given));
        }
        let path = self.folder.join(given);
        let unreadable = |error: io::Error| format!("`given: {given}` cannot be read: {error}");
        if !self.samples.contains(given) {
            // A link may lead out again.
            let folder = fs::canonicalize(&self.folder).map_err(unreadable)?;
            if !fs::canonicalize(&path).map_err(unreadable)?.starts_with(folder) {
                return Err(outside(given));
            }
        }
        let mut body = Vec::new();
        let file = File::open(&path).map_err(unreadable)?;
        file.take(LARGEST_SAMPLE).read_to_end(&mut body).map_err(unreadable)?;
        Ok(body)
    }

    /// Writes what differs between the two into the folder, if that still is as in `base`. The error is a sentence, and nothing
    /// is written then, unless it says otherwise.
    ///
    /// Nobody ever reads half of a file, and a crash leaves all of an edit or nothing: see [`edit`].
    pub fn write(&self, base: &Files, edited: &Files) -> Result<(), String> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let there = read_files(&self.folder)?;
        let mut others: Vec<&String> = base.0.keys().chain(there.0.keys()).collect();
        others.retain(|file| base.0.get(*file) != there.0.get(*file));
        others.sort();
        others.dedup();
        if let Some(file) = others.first() {
            return Err(format!(
                "nothing is changed: {file} in the folder of the server is not what this edit began with, so somebody works \
                 on it there. Wait until their version runs, or talk to them, and make this edit again"
            ));
        }
        edit::write(&self.folder, base, edited)
    }
}

/// Whether a path leads to what may be a sample request inside of the folder, as far as its words tell.
fn is_inside(given: &str) -> bool {
    let path = Path::new(given);
    let plain = |part: Component<'_>| match part {
        Component::Normal(name) => name.to_str().is_some_and(|name| !name.starts_with('.')),
        Component::CurDir => true,
        Component::Prefix(_) | Component::RootDir | Component::ParentDir => false,
    };
    let ending = path.extension().and_then(OsStr::to_str);
    path.components().all(plain) && ending.is_some_and(|ending| SAMPLE_ENDINGS.contains(&ending))
}

fn outside(given: &str) -> String {
    format!(
        "`given: {given}` is not read by this server: a test from a browser takes .json, .txt and .form files inside of the \
         folder of the workspace. `leadfold test` runs it where the files are"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    struct Folder(PathBuf);

    impl Folder {
        fn new(files: &Files) -> Self {
            let folder = std::env::temp_dir().join(format!("leadfold-home-{}", SystemClock.new_id()));
            fs::create_dir_all(folder.join("samples")).unwrap();
            for (file, text) in &files.0 {
                fs::write(folder.join(file), text).unwrap();
            }
            Self(folder)
        }

        fn home(&self, samples: &[&str]) -> Home {
            Home::new(
                &self.0,
                Follow::Files,
                false,
                samples.iter().map(|given| (*given).to_owned()).collect(),
            )
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn files(texts: &[(&str, &str)]) -> Files {
        Files(texts.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn an_edit_is_written_only_over_what_it_began_with() {
        let base = files(&[("workspace.yaml", "a: 1\n"), ("bot.yaml", "b: 1\n"), ("old.yaml", "c: 1\n")]);
        let folder = Folder::new(&base);
        let home = folder.home(&[]);
        assert_eq!(home.place(), Place::Files);
        let edited = files(&[("workspace.yaml", "a: 1\n"), ("bot.yaml", "b: 2\n"), ("new.yaml", "d: 1\n")]);
        home.write(&base, &edited).unwrap();
        assert_eq!(read_files(&folder.0).unwrap(), edited);
        let entries = fs::read_dir(&folder.0).unwrap().count();
        assert_eq!(entries, 4, "three files, the samples, and nothing beside them");

        let refused = home.write(&base, &edited).unwrap_err();
        assert!(refused.contains("bot.yaml") && refused.contains("nothing is changed"), "{refused}");
        fs::write(folder.0.join("new.yaml"), "d: typed meanwhile\n").unwrap();
        let refused = home.write(&edited, &base).unwrap_err();
        assert!(refused.contains("new.yaml"), "{refused}");
        assert_eq!(fs::read_to_string(folder.0.join("bot.yaml")).unwrap(), "b: 2\n");
    }

    #[test]
    fn what_is_somebody_elses_is_left_alone() {
        let base = files(&[("workspace.yaml", "a: 1\n"), ("bot.yaml", "b: 1\n")]);
        let folder = Folder::new(&base);
        fs::rename(folder.0.join("bot.yaml"), folder.0.join("samples/real")).unwrap();
        std::os::unix::fs::symlink("samples/real", folder.0.join("bot.yaml")).unwrap();
        let edited = files(&[("workspace.yaml", "a: 2\n"), ("bot.yaml", "b: 2\n")]);
        let refused = folder.home(&[]).write(&base, &edited).unwrap_err();
        assert!(refused.contains("it is a link"), "{refused}");
        assert_eq!(read_files(&folder.0).unwrap(), base, "not even the other file is changed");
        let alone = Home::new(&folder.0, Follow::Files, true, BTreeSet::new());
        assert!(matches!(alone.place(), Place::Nowhere(why) if why.contains("--read-only-workspace")));
        let gone = Home::new(Path::new("/nowhere/at/all"), Follow::Files, false, BTreeSet::new());
        assert!(matches!(gone.place(), Place::Nowhere(why) if why.contains("/nowhere/at/all")));
        assert_eq!(
            Home::new(Path::new("x"), Follow::Database, false, BTreeSet::new()).place(),
            Place::Database
        );
    }

    #[test]
    fn only_samples_are_read() {
        let folder = Folder::new(&files(&[("workspace.yaml", "secret\n")]));
        fs::write(folder.0.join("samples/a.json"), "{}").unwrap();
        fs::write(folder.0.join("samples/.hidden.json"), "{}").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.0.join("samples/link.json")).unwrap();
        let home = folder.home(&["../known/b.json"]);
        assert_eq!(home.sample("samples/a.json").unwrap(), b"{}");
        assert!(home.sample("samples/none.json").unwrap_err().contains("cannot be read"));
        assert!(
            home.sample("../known/b.json").unwrap_err().contains("cannot be read"),
            "it may, and is not there"
        );
        for given in [
            "workspace.yaml",
            "/proc/self/environ",
            "../x.json",
            "samples/../../x.json",
            "samples/.hidden.json",
            "samples/link.json",
            "samples",
            "",
            "/etc/x.json",
        ] {
            assert!(home.sample(given).unwrap_err().contains("is not read by this server"), "{given}");
        }
    }
}
