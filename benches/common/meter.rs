//! What this process spent on something, by the clock and by the system's counters, which neighbours disturb much less.

use std::fs;
use std::io;
use std::iter::Sum;
use std::ops::{Add, Sub};
use std::time::Instant;

use crate::process::processor_time;

/// What was spent: microseconds and bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) wall: f64,
    /// User and system time of all threads.
    pub(crate) processor: f64,
    /// Asked of the system, whether or not the disk was needed for it.
    pub(crate) read: f64,
    pub(crate) written: f64,
}

impl Cost {
    /// A share of it.
    pub(crate) fn each(self, number: f64) -> Self {
        Self {
            wall: self.wall / number,
            processor: self.processor / number,
            read: self.read / number,
            written: self.written / number,
        }
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            wall: self.wall + other.wall,
            processor: self.processor + other.processor,
            read: self.read + other.read,
            written: self.written + other.written,
        }
    }
}

impl Sub for Cost {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            wall: self.wall - other.wall,
            processor: self.processor - other.processor,
            read: self.read - other.read,
            written: self.written - other.written,
        }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}

/// Runs until it is read.
pub(crate) struct Meter {
    before: Cost,
    began: Instant,
}

impl Meter {
    pub(crate) fn start() -> io::Result<Self> {
        let before = counters()?;
        Ok(Self { before, began: Instant::now() })
    }

    pub(crate) fn read(&self) -> io::Result<Cost> {
        let wall = self.began.elapsed().as_secs_f64() * 1e6;
        Ok(Cost { wall, ..counters()? - self.before })
    }
}

fn counters() -> io::Result<Cost> {
    let io = fs::read_to_string("/proc/self/io")?;
    let bytes = |name: &str| -> f64 {
        let number = io.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok());
        number.unwrap_or_default()
    };
    let processor = processor_time(std::process::id())?.as_secs_f64() * 1e6;
    Ok(Cost { wall: 0.0, processor, read: bytes("rchar"), written: bytes("wchar") })
}
