//! The binary: everything is in the library.

use std::process::ExitCode;

/// A lead is a few hundred small allocations on several threads; the system's allocator took a sixth of its cost.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _points = leadfold::failpoint::from_environment();
    leadfold::cli::run()
}
