//! The release binary as a child process, and what the system says of it.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A folder that is gone at the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("leadfold-bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where a database of this folder is.
    pub(crate) fn database(&self) -> String {
        format!("sqlite://{}", self.0.join("leadfold.db").display())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed from the temporary folder is removed by the system.
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A running leadfold, killed at the end.
pub(crate) struct Program {
    process: Child,
    pub(crate) address: SocketAddr,
    /// From the start of the process until it answered.
    pub(crate) started_in: Duration,
}

impl Program {
    /// `leadfold serve` on the given workspace files, with database and log in the folder.
    pub(crate) fn serve(scratch: &Scratch, workspace: &[(&str, &str)]) -> io::Result<Self> {
        Self::serve_on(scratch, &scratch.database(), workspace)
    }

    /// `leadfold serve` on a database that is not in the folder.
    pub(crate) fn serve_on(
        scratch: &Scratch,
        database: &str,
        workspace: &[(&str, &str)],
    ) -> io::Result<Self> {
        let folder = scratch.path().join("mappings");
        fs::create_dir_all(&folder)?;
        for (name, text) in workspace {
            fs::write(folder.join(name), text)?;
        }
        let folder = folder.display().to_string();
        Self::start(scratch, "/healthz", &["serve", "--workspace", &folder, "--database", database])
    }

    /// `leadfold sandbox` with these faults.
    pub(crate) fn sandbox(scratch: &Scratch, faults: &[&str]) -> io::Result<Self> {
        Self::start(scratch, "/stats", &[&["sandbox"], faults].concat())
    }

    fn start(scratch: &Scratch, sign_of_life: &str, arguments: &[&str]) -> io::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = File::create(scratch.path().join("log"))?;
        let began = Instant::now();
        let process = Command::new(env!("CARGO_BIN_EXE_leadfold"))
            .args(arguments)
            .args(["--listen", &address.to_string()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut program = Self { process, address, started_in: Duration::ZERO };
        while program.get(sign_of_life).is_err() {
            if began.elapsed() > Duration::from_secs(30) || program.process.try_wait()?.is_some() {
                let log = fs::read_to_string(scratch.path().join("log"))?;
                return Err(io::Error::other(format!("{arguments:?} did not start: {log}")));
            }
            sleep(Duration::from_millis(2));
        }
        program.started_in = began.elapsed();
        Ok(program)
    }

    /// The body that a path answers with.
    pub(crate) fn get(&self, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        if head.starts_with("HTTP/1.1 200") {
            Ok(body.to_owned())
        } else {
            Err(io::Error::other(head.to_owned()))
        }
    }

    /// Processor time used until now, user and system.
    pub(crate) fn processor_time(&self) -> io::Result<Duration> {
        processor_time(self.process.id())
    }

    /// Resident memory in megabytes: now (`VmRSS`) or the most there ever was (`VmHWM`).
    pub(crate) fn memory(&self, line: &str) -> io::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let kilobytes = status.lines().find_map(|text| {
            text.strip_prefix(line)?.strip_prefix(':')?.split_whitespace().next()?.parse::<f64>().ok()
        });
        kilobytes
            .map(|kilobytes| kilobytes / 1024.0)
            .ok_or_else(|| io::Error::other(format!("no {line} in /proc")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Processor time that a process used until now, user and system, of all its threads.
pub(crate) fn processor_time(process: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in brackets may hold anything; utime and stime are the 12th and 13th field after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<u64>().ok()).sum();
    // Linux reports hundredths of a second on every architecture that matters.
    Ok(Duration::from_millis(ticks * 10))
}
