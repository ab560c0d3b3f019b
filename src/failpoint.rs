//! Failpoints: the places where something durable and something outside do not happen at once, marked so that a test can
//! end, freeze or fail the process exactly there.
//!
//! Without the feature `failpoints` a mark is nothing at all, and a release build with it does not compile. With it, the
//! environment variable `FAILPOINTS` says what happens where, in the words of the crate `fail`:
//!
//! ```text
//! FAILPOINTS='crm.sent=return(crash)'              the process ends as by kill -9 the first time it gets there
//! FAILPOINTS='store.written=4*off->1*return(fail)' the fifth write fails although it is durable
//! FAILPOINTS='crm.sent=1*return(freeze)'           the process stops (SIGSTOP) until somebody sends SIGCONT
//! FAILPOINTS='crm.answered=sleep(2000)'            the thread sleeps for 2 s
//! ```

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!(
    "the feature `failpoints` is for tests: a release build must not be one that can be told to fail"
);

/// Every place: its name, and what is so when the process gets there.
///
/// A test ends the process at each of them, and another one finds a mark that is not listed here.
pub const POINTS: &[(&str, &str)] = &[
    ("receive.read", "a request is read and nothing of it is stored"),
    ("receive.kept", "a delivery is durable and its sender has no answer"),
    ("prepare.mapped", "deliveries are mapped and nothing of that is stored"),
    ("prepare.stored", "leads and syncs are stored and no worker is woken"),
    ("sync.leased", "the lease of a destination is taken and nothing is claimed"),
    ("sync.claimed", "syncs are claimed and the CRM is not asked"),
    ("sync.searched", "the CRM said what it has of a person and nothing is decided"),
    ("sync.unlinked", "a link whose record is gone is forgotten and nothing is decided"),
    ("sync.joined", "two people became one by a CRM record and the sync is back in the queue"),
    ("sync.planned", "a plan is stored and its first step has no permit"),
    ("sync.held", "a plan is stored that is not to be pushed"),
    ("sync.judged", "an end without a plan is stored"),
    ("crm.permitted", "a write has its permit and is not stored as sent"),
    ("crm.sent", "a write is stored as sent and its request is not made"),
    ("crm.committed", "the CRM began to answer a write and its answer is not read"),
    ("crm.answered", "the answer to a write is read and its outcome is not stored"),
    ("sync.outcome", "an outcome is stored and the next step is not begun"),
    ("sync.synced", "the last outcome is stored"),
    ("sync.looked_up", "the CRM said whether a lost step was written and that is not stored"),
    ("sync.adopted", "what a lost step had written is adopted and the next step is not begun"),
    ("sync.not_there", "a lost step is stored as not written and is not sent again"),
    ("audit.looked_up", "the CRM said how often a step is there that was sent again, and that is not stored"),
    ("audit.ended", "it is stored how often a step is there that was sent again"),
    ("replay.piece", "some leads of a page are replayed and nobody is told"),
    ("erase.requests", "requests of nobody are erased and whoever asked is not told"),
    ("erase.piece", "some leads of a human are erased and the human is still known"),
    ("erase.forgotten", "a human is erased and whoever asked is not told"),
    ("held.piece", "some held leads are answered for and nobody is told"),
    ("apply.activated", "another version is active and whoever applied it is not told"),
    ("workers.stopped", "the workers of changed destinations are stopped and no new ones are started"),
    ("alerts.posted", "a person was told of a cause and that is not stored"),
    ("store.write", "a write of any kind is asked for and has not begun"),
    ("store.written", "a write of any kind is durable and whoever asked is not told"),
];

/// Marks a place. With an error to return, a test can also make it fail there.
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::reach($name);
    };
    ($name:literal, $error:expr) => {
        #[cfg(feature = "failpoints")]
        if $crate::failpoint::reach($name) {
            return Err($error);
        }
    };
}
pub(crate) use failpoint;

/// Takes up what the environment says; holds for as long as the value lives.
#[cfg(feature = "failpoints")]
pub fn from_environment() -> impl Drop {
    fail::FailScenario::setup()
}

/// Does what a test wants here; whether it wants a failure.
#[cfg(feature = "failpoints")]
pub(crate) fn reach(name: &str) -> bool {
    fail::fail_point!(name, |wanted| match wanted.as_deref() {
        Some("fail") => true,
        Some("freeze") => {
            freeze(name);
            false
        }
        Some("crash") | None => crash(name),
        Some(unknown) =>
            panic!("failpoint {name}: there is no return({unknown}); write crash, freeze or fail"),
    });
    false
}

/// No destructor runs and nobody is waited for.
#[cfg(feature = "failpoints")]
fn crash(name: &str) -> ! {
    say(&format!("failpoint {name}: the process ends here"));
    std::process::abort()
}

/// Stops every thread, as a virtual machine that is moved to another host does.
#[cfg(feature = "failpoints")]
fn freeze(name: &str) {
    say(&format!("failpoint {name}: the process freezes here"));
    let stopped =
        std::process::Command::new("kill").args(["-STOP", &std::process::id().to_string()]).status();
    if !stopped.is_ok_and(|status| status.success()) {
        crash(name);
    }
    say(&format!("failpoint {name}: the process goes on"));
}

/// On standard error, whatever the log filter says: the test looks for it.
#[cfg(feature = "failpoints")]
fn say(text: &str) {
    use std::io::Write as _;
    // Nobody is left to tell when standard error is gone.
    writeln!(std::io::stderr(), "{text}").ok();
}
