//! Several files of a folder that come into place together, also when the process is killed in between.
//!
//! | killed | then |
//! |---|---|
//! | while texts are written beside their files | nothing has changed; what stands beside is hidden, and the next edit writes over it |
//! | while they are put in place | a list of them is there, by which the next start does the rest: see [`finish`] |
//! | before their version is active | the files are the edit, and the next start makes it active as any edit of them |

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::read_files;
use crate::map::Files;
use crate::token::{hash, to_hex};

/// The list of what is being put in place: each file with the hash of the text that it replaces, `None` where there was none.
const LIST: &str = ".edit";

type Changes = BTreeMap<String, Option<String>>;

/// Writes what differs between the two into a folder that is as `base` says. The error is a sentence, and nothing is changed
/// then, unless it says otherwise.
pub(super) fn write(folder: &Path, base: &Files, edited: &Files) -> Result<(), String> {
    begin(folder, base, edited)?;
    finish(folder).map_err(|error| match read_files(folder) {
        // A file that is a mount of its own can be written and not be replaced.
        Ok(there) if there == *base => {
            give_up(folder, base, edited);
            format!("nothing is changed: {error}")
        }
        Ok(_) | Err(_) => error,
    })
}

/// Takes away what there is of an edit of which nothing is in place yet.
fn give_up(folder: &Path, base: &Files, edited: &Files) {
    if let Err(error) = fs::remove_file(folder.join(LIST)) {
        tracing::warn!(%error, "the list of an edit that could not be made is still there, and the next start tries again");
        return;
    }
    forget(folder, base.0.keys().chain(edited.0.keys()));
}

/// Writes everything beside, and then the list: from there on the edit is done, sooner or later.
fn begin(folder: &Path, base: &Files, edited: &Files) -> Result<(), String> {
    let mut changes = Changes::new();
    for file in base.0.keys().chain(edited.0.keys()) {
        let (before, after) = (base.0.get(file), edited.0.get(file));
        if before != after {
            changes.insert(file.clone(), before.map(digest));
        }
    }
    let write = |file: &str, text: &str| {
        write_beside(folder, file, text).map_err(|error| {
            forget(folder, changes.keys());
            format!("nothing is changed: {file} cannot be written into {}: {error}", folder.display())
        })
    };
    for (file, text) in edited.0.iter().filter(|(file, _)| changes.contains_key(*file)) {
        write(file, text)?;
    }
    let list = serde_json::to_string(&changes).map_err(|error| error.to_string())?;
    write(LIST, &list)?;
    fs::rename(beside(folder, LIST), folder.join(LIST)).and_then(|()| synced(folder)).map_err(|error| {
        format!("whether anything will be changed is not known: {error}. Look into the folder of the server")
    })
}

/// Puts the rest of an edit in place that was cut off; nothing when there is none. What somebody has changed since by hand
/// is left alone, and then so is all of it. The error is a sentence.
pub fn finish(folder: &Path) -> Result<(), String> {
    let list = match fs::read_to_string(folder.join(LIST)) {
        Ok(list) => list,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cut_off(folder, &error)),
    };
    let changes: Changes = serde_json::from_str(&list).map_err(|error| cut_off(folder, &error))?;
    put_in_place(folder, &changes).map_err(|error| cut_off(folder, &error))
}

fn put_in_place(folder: &Path, changes: &Changes) -> io::Result<()> {
    let mut others = Vec::new();
    let (mut new, mut gone) = (Vec::new(), Vec::new());
    for (file, before) in changes {
        let there = text_of(&folder.join(file))?.as_ref().map(digest);
        match (beside(folder, file).try_exists()?, there == *before) {
            (true, true) => new.push(file),
            (true, false) => others.push(file.as_str()),
            // Nothing stands beside it: it goes, when it has not been put in place already.
            (false, true) if before.is_some() => gone.push(file),
            (false, _) => {}
        }
    }
    if others.is_empty() {
        for file in new {
            fs::rename(beside(folder, file), folder.join(file))?;
        }
        for file in gone {
            fs::remove_file(folder.join(file))?;
        }
        synced(folder)?;
    } else {
        tracing::warn!(
            files = others.join(", "),
            folder = %folder.display(),
            "an edit from the console was cut off, and these files were changed by hand since: they stay as they are, and so \
             does the rest. Look at them, and make the edit again"
        );
        forget(folder, changes.keys());
    }
    fs::remove_file(folder.join(LIST))
}

fn cut_off(folder: &Path, why: &dyn std::fmt::Display) -> String {
    format!(
        "an edit of several files could not be put in place in {}: {why}. Mend that and start again; or remove {LIST} there, \
         and make the edit again",
        folder.display()
    )
}

fn digest(text: impl AsRef<[u8]>) -> String {
    to_hex(&hash(text))
}

/// What a file holds; `None` where there is none.
fn text_of(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn synced(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn beside(folder: &Path, file: &str) -> PathBuf {
    folder.join(format!(".{file}.new"))
}

/// Writes the file beside the one that it will replace, with the same permissions.
fn write_beside(folder: &Path, file: &str, text: &str) -> io::Result<()> {
    let before = match fs::symlink_metadata(folder.join(file)) {
        Ok(before) if !before.is_file() => {
            return Err(io::Error::other("it is a link, and what it leads to is written by somebody else"));
        }
        Ok(before) => Some(before.permissions()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut new = File::create(beside(folder, file))?;
    if let Some(permissions) = before {
        new.set_permissions(permissions)?;
    }
    new.write_all(text.as_bytes())?;
    new.sync_all()
}

/// Takes away what was written beside. What cannot be removed is hidden by its dot, and in nobody's way.
fn forget<'f>(folder: &Path, files: impl Iterator<Item = &'f String>) {
    for file in files.map(String::as_str).chain([LIST]) {
        if let Err(error) = fs::remove_file(beside(folder, file))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file, %error, "what was written beside it could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    fn files(texts: &[(&str, &str)]) -> Files {
        Files(texts.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect())
    }

    fn base() -> Files {
        files(&[("workspace.yaml", "a: 1\n"), ("bot.yaml", "b: 1\n"), ("old.yaml", "c: 1\n")])
    }

    fn edited() -> Files {
        files(&[("workspace.yaml", "a: 2\n"), ("bot.yaml", "b: 2\n"), ("new.yaml", "d: 1\n")])
    }

    /// Runs a test in a folder with the files of before, and takes it away.
    fn in_folder(test: impl FnOnce(&Path)) {
        let folder = std::env::temp_dir().join(format!("leadfold-edit-{}", SystemClock.new_id()));
        fs::create_dir_all(&folder).unwrap();
        for (file, text) in &base().0 {
            fs::write(folder.join(file), text).unwrap();
        }
        test(&folder);
        fs::remove_dir_all(&folder).unwrap();
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn an_edit_that_was_cut_off_anywhere_is_done_by_the_next_start() {
        // So many of the four changes were made when the process was killed.
        for done in 0..=4 {
            in_folder(|folder| {
                begin(folder, &base(), &edited()).unwrap();
                assert_eq!(read_files(folder).unwrap(), base(), "nothing has changed yet");
                for file in ["bot.yaml", "new.yaml", "workspace.yaml"].iter().take(done) {
                    fs::rename(beside(folder, file), folder.join(file)).unwrap();
                }
                if done == 4 {
                    fs::remove_file(folder.join("old.yaml")).unwrap();
                }
                finish(folder).unwrap();
                assert_eq!(read_files(folder).unwrap(), edited(), "after {done}");
                assert_eq!(entries(folder), 3, "nothing is left beside them");
                finish(folder).unwrap();
                assert_eq!(read_files(folder).unwrap(), edited(), "once is enough");
            });
        }
    }

    #[test]
    fn an_edit_that_was_cut_off_before_it_was_written_is_none() {
        in_folder(|folder| {
            write_beside(folder, "bot.yaml", "b: 2\n").unwrap();
            finish(folder).unwrap();
            assert_eq!(read_files(folder).unwrap(), base());
            write(folder, &base(), &edited()).unwrap();
            assert_eq!(read_files(folder).unwrap(), edited());
            assert_eq!(entries(folder), 3);
        });
    }

    #[test]
    fn what_was_changed_by_hand_since_stays() {
        in_folder(|folder| {
            begin(folder, &base(), &edited()).unwrap();
            fs::write(folder.join("workspace.yaml"), "a: by hand\n").unwrap();
            finish(folder).unwrap();
            let mut expect = base();
            expect.0.insert("workspace.yaml".to_owned(), "a: by hand\n".to_owned());
            assert_eq!(read_files(folder).unwrap(), expect, "nor is anything else of it put in place");
            assert_eq!(entries(folder), 3);
        });
    }

    #[test]
    fn a_list_that_nobody_can_read_says_what_to_do() {
        in_folder(|folder| {
            fs::write(folder.join(LIST), "{ half a").unwrap();
            let told = finish(folder).unwrap_err();
            assert!(
                told.contains("remove .edit there") && told.contains(&folder.display().to_string()),
                "{told}"
            );
        });
    }
}
