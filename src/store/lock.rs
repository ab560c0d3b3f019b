//! One process at a time works on a SQLite database: the holder of a lock beside it. The locked file says where that
//! process listens, so that a command can hand its write over to it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::StoreError;

/// The right to work on a database, until it is dropped or the process ends.
pub(super) struct Lock(File);

/// What came of asking for it.
pub(super) enum Asked {
    /// It is ours.
    Ours(Lock),
    /// Another process has it, and this is the root of its API; `None` while it serves nobody.
    Anothers(Option<String>),
}

impl Lock {
    /// Asks for the database at this path. Never waits.
    pub(super) fn ask(database: &Path) -> Result<Asked, StoreError> {
        // One database has one lock, also where a link leads to it. Where there is none yet, nobody has it.
        let database = &std::fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
        // A lock beside the database file, not on it: closing any handle on the file itself would drop SQLite's own locks.
        let mut path = database.as_os_str().to_owned();
        path.push("-leadfold-lock");
        let cannot = |what: &str, error: &dyn std::fmt::Display| {
            StoreError::new(format!("cannot {what} the lock file beside {}: {error}", database.display()))
        };
        // Not emptied before it is ours: it holds the address of whoever has it.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| cannot("write", &error))?;
        match file.try_lock() {
            Ok(()) => {
                // The last holder may have been killed before it could take its address away.
                file.set_len(0).map_err(|error| cannot("write", &error))?;
                Ok(Asked::Ours(Self(file)))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(|error| cannot("read", &error))?;
                // A line that is not whole is still being written.
                Ok(Asked::Anothers(text.strip_suffix('\n').map(str::to_owned)))
            }
            Err(TryLockError::Error(error)) => Err(cannot("lock", &error)),
        }
    }

    /// Says where this process listens.
    pub(super) fn announce(&self, address: SocketAddr) -> Result<(), StoreError> {
        let mut file = &self.0;
        file.rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(format!("http://{}\n", reachable(address)).as_bytes()))
            .map_err(|error| StoreError::new(format!("the lock file cannot be written: {error}")))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file lets go of the lock only with its last copy, and a child process that is just being started has
        // one. What cannot be unlocked is let go of with the process.
        self.0.unlock().ok();
    }
}

/// Who listens everywhere is reached on this machine's own address.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    #[test]
    fn who_is_second_learns_where_the_first_listens() {
        let folder = std::env::temp_dir().join(format!("leadfold-test-{}", SystemClock.new_id()));
        std::fs::create_dir_all(&folder).unwrap();
        let database = folder.join("leadfold.db");
        let anothers = || match Lock::ask(&database).unwrap() {
            Asked::Anothers(address) => address,
            Asked::Ours(_) => panic!("the lock is taken"),
        };
        let ours = || match Lock::ask(&database).unwrap() {
            Asked::Ours(lock) => lock,
            Asked::Anothers(_) => panic!("the lock is free"),
        };
        let first = ours();
        assert_eq!(anothers(), None);
        for (listens, told) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:9", "http://[::1]:9"),
            ("192.0.2.1:8080", "http://192.0.2.1:8080"),
        ] {
            first.announce(listens.parse().unwrap()).unwrap();
            assert_eq!(anothers().as_deref(), Some(told));
        }
        drop(first);
        let second = ours();
        assert_eq!(anothers(), None, "an address of an earlier holder is not told");
        // As a child process has it between fork and exec.
        let copy = second.0.try_clone().unwrap();
        drop(second);
        drop(ours());
        drop(copy);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_the_database_is_the_same_database() {
        let folder = std::env::temp_dir().join(format!("leadfold-test-{}", SystemClock.new_id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (database, link) = (folder.join("leadfold.db"), folder.join("link.db"));
        std::fs::write(&database, "").unwrap();
        std::os::unix::fs::symlink(&database, &link).unwrap();
        let first = Lock::ask(&link).unwrap();
        assert!(matches!(first, Asked::Ours(_)));
        assert!(matches!(Lock::ask(&database).unwrap(), Asked::Anothers(_)), "two would write to one CRM");
        drop(first);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
