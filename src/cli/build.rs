//! `build`: from settings to an image.

use std::io::{Stdout, stdout};

use serde_json::json;
use stage1_builder::pipeline::verify::{self, Booting, HostPaths, Status};
use stage1_builder::pipeline::{self, Built, Error, ForeignKernel, RunRequest};
use stage1_builder::report::{Fault, Json, Reporter};
use stage1_builder::settings::Settings;
use stage1_builder::store::Store;

use super::args::{Build, Global};
use super::output;

/// In which words a build tells what goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum MessageFormat {
    /// For people: a screen or lines on stderr, the result on stdout.
    #[default]
    Human,
    /// For programs: a JSON object a line on stdout, the result or the error last.
    Json,
}

pub(super) fn run(global: &Global, build: &Build) -> Result<(), Error> {
    if build.message_format == MessageFormat::Json {
        return run_for_programs(global, build);
    }
    let settings = build.settings.load(global, build.version.as_deref())?;
    let reporter = output::reporter(global, settings.debug);
    let said = match act(build, &settings, reporter.as_ref())? {
        Done::Tools => return Ok(()),
        Done::Plan(plan) => format!("{plan:#}"),
        Done::Built(all) => {
            let line = |one: &Built| {
                format!("Successfully built {} with id {}", one.path.display(), id(one))
            };
            all.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    };
    output::result(&said).map_err(Error::Output)
}

/// What a build did.
enum Done {
    /// Saw to the host's tools.
    Tools,
    /// Found out what would be built.
    Plan(serde_json::Value),
    /// Built.
    Built(Vec<Built>),
}

fn act(build: &Build, settings: &Settings, reporter: &dyn Reporter) -> Result<Done, Error> {
    if let Some(kernel) = build.foreign.kernel() {
        return act_on(&kernel, build, settings, reporter);
    }
    if build.install_deps || build.check_tools {
        pipeline::provide_tools(settings, build.install_deps, reporter)?;
    }
    if build.check_tools {
        return Ok(Done::Tools);
    }
    if build.dry_run {
        let store = Store::new(&settings.cache_dir);
        let plan = pipeline::plan(settings, &store, build.refresh, reporter)?;
        return Ok(Done::Plan(plan.explain(&settings.formats)));
    }
    let built = pipeline::build(settings, build.refresh, reporter)?;
    verified(built, build, settings, reporter)
}

/// With `--verify-boot`: what was built passes every check, or is an error.
/// Images of several formats have one kernel, and the first is booted.
fn verified(
    built: Vec<Built>,
    build: &Build,
    settings: &Settings,
    reporter: &dyn Reporter,
) -> Result<Done, Error> {
    let Some(one) = built.first().filter(|_| build.verify_boot) else {
        return Ok(Done::Built(built));
    };
    let booting = Booting { machine: RunRequest::default(), settings, reporter };
    let verdict = verify::verify(&one.path, &HostPaths::of(settings), Some(&booting))?;
    let failed = verdict.checks.iter().filter(|check| check.status == Status::Failed);
    let names: Vec<&str> = failed.map(|check| check.name).collect();
    if names.is_empty() {
        return Ok(Done::Built(built));
    }
    let file = one.path.display();
    Err(Error::Run {
        problem: format!("{file} was built, and does not pass: {}", names.join(", ")),
        hint: Some(format!("stage1-builder verify --boot {file} says what is wrong")),
        fault: Fault::Archive,
    })
}

/// The same for a kernel that is built already.
fn act_on(
    kernel: &ForeignKernel,
    build: &Build,
    settings: &Settings,
    reporter: &dyn Reporter,
) -> Result<Done, Error> {
    if build.dry_run {
        let plan = pipeline::plan_foreign(kernel, settings, build.refresh, reporter)?;
        return Ok(Done::Plan(plan.explain()));
    }
    let built = pipeline::build_foreign(kernel, settings, build.refresh, reporter)?;
    verified(built, build, settings, reporter)
}

/// Every event, then the result or the error, on stdout; the error is also
/// told on stderr, as always.
fn run_for_programs(global: &Global, build: &Build) -> Result<(), Error> {
    let loaded = build.settings.load(global, build.version.as_deref());
    let debug = loaded.as_ref().is_ok_and(|settings| settings.debug);
    let json = Json::new(stdout(), output::verbosity(global, debug));
    let done = loaded.and_then(|settings| act(build, &settings, &json));
    tell(&json, &done);
    done.map(drop)
}

fn tell(json: &Json<Stdout>, done: &Result<Done, Error>) {
    match done {
        Ok(Done::Tools) => json.write("result", json!({})),
        Ok(Done::Plan(plan)) => json.write("plan", plan.clone()),
        Ok(Done::Built(all)) => {
            let images: Vec<_> = all.iter().map(image).collect();
            json.write("result", json!({ "images": images }));
        }
        Err(error) => json.write("error", output::described(error)),
    }
}

fn image(built: &Built) -> serde_json::Value {
    let record = &built.record;
    json!({
        "format": record.format,
        "file": built.path,
        "id": id(built),
        "sha256": record.file.hex(),
        "size": record.size,
        "name": record.name,
        "kernel": record.kernel,
        "release": record.release,
        "labels": record.labels,
    })
}

fn id(built: &Built) -> String {
    built.record.id.appc()
}
