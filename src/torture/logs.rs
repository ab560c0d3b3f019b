//! What the processes log: the one thing that only they can tell.

use std::fs;
use std::path::PathBuf;

/// What a process logs when a look-up finds the record of a step without an answer.
pub const FOUND_AGAIN: &str = "found what a lost answer had written";
/// What it logs when it has taken a lease from another one, and the field that says how long that took.
const TOOK_OVER: &str = "took over the lease";
const AFTER_MS: &str = "after_ms=";

/// How long each take-over took, in milliseconds.
pub(super) fn take_overs(logs: &str) -> Vec<u64> {
    let lines = logs.lines().filter(|line| line.contains(TOOK_OVER));
    let after = lines.filter_map(|line| line.split_once(AFTER_MS)?.1.split([' ', ',']).next());
    after.filter_map(|millis| millis.parse().ok()).collect()
}

/// All of it. A process that was never started has logged nothing.
pub(super) fn read(logs: Vec<PathBuf>) -> String {
    let read = |log: PathBuf| fs::read(log).map(|log| String::from_utf8_lossy(&log).into_owned());
    logs.into_iter().filter_map(|log| read(log).ok()).collect()
}

/// How many records were found that an answer which got lost had told of.
pub(super) fn found_again(logs: &str) -> usize {
    logs.matches(FOUND_AGAIN).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn take_overs_are_read_from_the_log() {
        let check = |logs: &str, expect: &[u64]| assert_eq!(take_overs(logs), expect, "{logs}");
        check("", &[]);
        check("INFO took over the lease destination=\"crm\" epoch=4 after_ms=10250", &[10_250]);
        check(
            "INFO took over the lease after_ms=7 epoch=4\nINFO else after_ms=9\nINFO took over the lease\n",
            &[7],
        );
    }
}
