//! Builds a kernel's image, as `stage1-builder build` does, and runs a command
//! on it:
//!
//! ```text
//! cargo run --example build_and_run -- 6.12 uname -r
//! ```
//!
//! The settings are those of the environment and of the current folder
//! (`S1B_CACHE_DIR`, `S1B_FORMAT`, `.config`), but for the version.
#![expect(clippy::print_stderr, reason = "an example talks to people")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use stage1_builder::pipeline::{self, RunRequest};
use stage1_builder::report::{Event, Reporter};
use stage1_builder::settings::{Key, Settings, Sources};
use stage1_builder::vm::Streams;

/// Takes what happens, and says the steps of it.
struct Steps;

impl Reporter for Steps {
    fn event(&self, event: Event) {
        if let Event::Started { stage, detail } = event {
            eprintln!("{}: {detail}", stage.label());
        }
    }
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let version = args.next().ok_or("which version?")?;
    let flags = BTreeMap::from([(Key::KernelVersion, version)]);
    let settings = Settings::load(&Sources::from_host(Path::new("."), flags)?)?;

    for image in pipeline::build(&settings, false, &Steps)? {
        eprintln!("{} {}", image.path.display(), image.record.id);
    }

    let request =
        RunRequest { args: args.map(String::into_bytes).collect(), ..RunRequest::default() };
    let mut streams = Streams { stdout: Some(Box::new(std::io::stdout())), ..Streams::default() };
    let ran = pipeline::run(&request, &settings, &mut streams, &Steps)?;
    Ok(ExitCode::from(ran.outcome.end.exit_code()))
}
