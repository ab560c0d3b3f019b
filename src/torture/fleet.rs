//! The processes: real ones, each in the hands of a thread that starts it again whenever it has ended.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use super::Failure;
use super::storm::LEASE;

/// Longest that all may take to answer, on a machine that has other things to do.
const START: Duration = Duration::from_mins(2);
/// So many starts may fail while all are waited for; what is wrong then does not pass.
const TRIES: usize = 10;
/// A process that could not start tries again after this.
const AGAIN: Duration = Duration::from_millis(500);
/// How often somebody who waits looks.
const LOOK: Duration = Duration::from_millis(20);
/// Lines of a log that a failure shows.
const SHOWN: usize = 15;

/// How each process is started.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    /// The leadfold that is tortured.
    pub(super) program: PathBuf,
    /// Holds `mappings` and takes the logs.
    pub(super) folder: PathBuf,
    /// The database of all of them.
    pub(super) database: String,
}

/// All processes. Dropping it kills them.
pub(super) struct Fleet {
    shared: Arc<Shared>,
    keepers: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    launch: Launch,
    places: Vec<Mutex<Place>>,
    stop: AtomicBool,
    long_freezes: AtomicUsize,
    /// Ends that nobody asked for.
    mishaps: Mutex<Vec<Mishap>>,
}

/// A process that ended by itself.
#[derive(Clone, Debug)]
pub(super) struct Mishap {
    /// Its number, from 1.
    pub(super) process: usize,
    /// How it ended.
    pub(super) how: String,
    /// Whether it had been up. One that cannot start, because the database is away, is meant to end.
    pub(super) was_up: bool,
}

#[derive(Default)]
struct Place {
    child: Option<Child>,
    address: Option<SocketAddr>,
    /// Since when it stands still.
    frozen: Option<Instant>,
    /// Whether we killed it, and how long it stays down.
    killed: Option<Duration>,
}

impl Fleet {
    /// Starts so many at once, and does not wait for them.
    pub(super) fn start(launch: Launch, processes: usize) -> Self {
        let shared = Arc::new(Shared {
            launch,
            places: (0..processes).map(|_| Mutex::default()).collect(),
            stop: AtomicBool::new(false),
            long_freezes: AtomicUsize::new(0),
            mishaps: Mutex::default(),
        });
        let keep = |process| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.keep(process))
        };
        let keepers = Mutex::new((0..processes).map(keep).collect());
        Self { shared, keepers }
    }

    /// Waits until each process has said where it listens.
    pub(super) async fn until_all_are_up(&self) -> Result<(), Failure> {
        let (start, failed) = (Instant::now(), self.failed_starts());
        while self.live().len() < self.shared.places.len() {
            if start.elapsed() > START || self.failed_starts() - failed >= TRIES {
                let is_down = |process: &usize| self.shared.place(*process).address.is_none();
                let down = (0..self.shared.places.len()).find(is_down).unwrap_or_default();
                let how: Vec<String> = self.mishaps().into_iter().map(|mishap| mishap.how).collect();
                return Err(format!(
                    "process {} does not start ({}); the end of its log:\n{}",
                    down + 1,
                    how.last().map_or("it says nothing", String::as_str),
                    self.end_of_log(down)
                ));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    fn failed_starts(&self) -> usize {
        locked(&self.shared.mishaps).iter().filter(|mishap| !mishap.was_up).count()
    }

    /// Where those listen that can be reached, as far as a load balancer knows: a frozen one still counts.
    pub(super) fn live(&self) -> Vec<SocketAddr> {
        (0..self.shared.places.len()).filter_map(|process| self.shared.place(process).address).collect()
    }

    /// kill -9. It is started again after `down`. `false` when none runs.
    pub(super) fn kill(&self, process: usize, down: Duration) -> bool {
        self.first_from(process, |place| {
            let Some(child) = place.child.as_mut().filter(|_| place.killed.is_none()) else { return false };
            place.killed = Some(down);
            place.address = None;
            child.kill().is_ok()
        })
        .is_some()
    }

    /// SIGSTOP; gives the number of the process that it hit.
    pub(super) fn freeze(&self, process: usize) -> Option<Frozen> {
        let frozen = self.first_from(process, |place| {
            let hit = place.frozen.is_none() && place.address.is_some() && place.signal(Signal::STOP);
            place.frozen = hit.then(Instant::now).or(place.frozen);
            hit
        })?;
        let child = self.shared.place(frozen).child.as_ref().map(Child::id)?;
        Some(Frozen { place: frozen, child })
    }

    /// The place of the process with this number of the operating system.
    pub(super) fn place_of(&self, child: u32) -> Option<usize> {
        let is =
            |process: &usize| self.shared.place(*process).child.as_ref().is_some_and(|of| of.id() == child);
        (0..self.shared.places.len()).find(is)
    }

    /// SIGCONT, unless it has been killed meanwhile.
    pub(super) fn thaw(&self, frozen: &Frozen) {
        let mut place = self.shared.place(frozen.place);
        if place.child.as_ref().is_some_and(|child| child.id() == frozen.child) {
            self.count(place.thaw());
        }
    }

    /// SIGCONT to all.
    pub(super) fn thaw_all(&self) {
        (0..self.shared.places.len()).for_each(|process| self.count(self.shared.place(process).thaw()));
    }

    /// How many were continued after they must have lost their lease.
    pub(super) fn long_freezes(&self) -> usize {
        self.shared.long_freezes.load(Ordering::Relaxed)
    }

    fn count(&self, frozen: Option<Duration>) {
        if frozen.is_some_and(|frozen| frozen > LEASE) {
            self.shared.long_freezes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Everything that ended by itself so far.
    pub(super) fn mishaps(&self) -> Vec<Mishap> {
        locked(&self.shared.mishaps).clone()
    }

    /// What all processes have logged.
    pub(super) fn logs(&self) -> Vec<PathBuf> {
        (0..self.shared.places.len()).map(|process| log_of(&self.shared.launch.folder, process)).collect()
    }

    /// Kills all, and returns when they are gone.
    pub(super) fn end(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let mut keepers = locked(&self.keepers);
        while keepers.iter().any(|keeper| !keeper.is_finished()) {
            for process in 0..self.shared.places.len() {
                // A keeper may have been about to start one; the next round finds it.
                if let Some(child) = &mut self.shared.place(process).child {
                    child.kill().ok();
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        keepers.clear();
    }

    /// Does something to this process, or to the first one after it where it can be done.
    fn first_from(&self, process: usize, mut act: impl FnMut(&mut Place) -> bool) -> Option<usize> {
        let places = self.shared.places.len();
        (0..places).map(|step| (process + step) % places).find(|place| act(&mut self.shared.place(*place)))
    }

    fn end_of_log(&self, process: usize) -> String {
        let log = std::fs::read_to_string(log_of(&self.shared.launch.folder, process)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(SHOWN)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.end();
    }
}

/// A process that was frozen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frozen {
    place: usize,
    child: u32,
}

impl Place {
    fn signal(&self, signal: Signal) -> bool {
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?));
        // A child that was not waited for keeps its number, so this reaches nobody else.
        pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    /// SIGCONT; how long it has stood still, if it has.
    fn thaw(&mut self) -> Option<Duration> {
        let since = self.frozen?;
        if !self.signal(Signal::CONT) {
            return None;
        }
        self.frozen = None;
        Some(since.elapsed())
    }
}

impl Shared {
    fn place(&self, process: usize) -> MutexGuard<'_, Place> {
        locked(&self.places[process])
    }

    /// Lets a process run, again and again.
    fn keep(&self, process: usize) {
        while !self.stop.load(Ordering::SeqCst) {
            let pause = match self.life(process) {
                Ok(pause) => pause,
                Err(failure) => {
                    locked(&self.mishaps).push(Mishap {
                        process: process + 1,
                        how: format!("it could not be started: {failure}"),
                        was_up: false,
                    });
                    AGAIN
                }
            };
            let down = Instant::now();
            while down.elapsed() < pause && !self.stop.load(Ordering::SeqCst) {
                std::thread::sleep(LOOK);
            }
        }
    }

    /// One life of a process; how long it stays down afterwards.
    fn life(&self, process: usize) -> std::io::Result<Duration> {
        let mut child = self.launch.spawn(process)?;
        let output = child.stdout.take();
        *self.place(process) = Place { child: Some(child), ..Place::default() };
        // Its output ends with it, however it ends.
        for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()).map_while(Result::ok)
        {
            if let Some(address) = address_in(&line) {
                let mut place = self.place(process);
                place.address = place.killed.is_none().then_some(address);
            }
        }
        let Place { child, address, killed, .. } = std::mem::take(&mut *self.place(process));
        let status = child.map(|mut child| child.wait()).transpose()?;
        if killed.is_none() && !self.stop.load(Ordering::SeqCst) {
            let how = status.map(|status| status.to_string()).unwrap_or_default();
            locked(&self.mishaps).push(Mishap { process: process + 1, how, was_up: address.is_some() });
        }
        Ok(killed.unwrap_or(AGAIN))
    }
}

impl Launch {
    /// `leadfold serve` on a free port. Settings of whoever runs the torture are not those of its processes.
    fn spawn(&self, process: usize) -> std::io::Result<Child> {
        let log = File::options().create(true).append(true).open(log_of(&self.folder, process))?;
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LEADFOLD_") {
                command.env_remove(name);
            }
        }
        command.arg("serve").arg("--workspace").arg(self.folder.join("mappings"));
        // The address of a database may carry a password, and arguments are for everybody to see.
        command.args(["--listen", "127.0.0.1:0"]).env("LEADFOLD_DATABASE", &self.database);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()
    }
}

fn log_of(folder: &Path, process: usize) -> PathBuf {
    folder.join(format!("process-{}.log", process + 1))
}

/// The address in `leadfold receives on http://127.0.0.1:8080/in/…`.
fn address_in(line: &str) -> Option<SocketAddr> {
    line.split_once("http://")?.1.split('/').next()?.parse().ok()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
