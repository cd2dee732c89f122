//! `build`: from settings to an image.

use stage1_builder::pipeline::{self, Error};
use stage1_builder::report::Reporter;
use stage1_builder::store::Store;

use super::args::{Build, Global};
use super::output;

pub(super) fn run(global: &Global, build: &Build) -> Result<(), Error> {
    let settings = build.settings.load(global, build.version.as_deref())?;
    let reporter = output::reporter(global, settings.debug);
    let reporter: &dyn Reporter = reporter.as_ref();
    if build.install_deps || build.check_tools {
        pipeline::provide_tools(&settings, build.install_deps, reporter)?;
    }
    if build.check_tools {
        return Ok(());
    }
    if build.dry_run {
        let plan =
            pipeline::plan(&settings, &Store::new(&settings.cache_dir), build.refresh, reporter)?;
        return output::result(&plan.explain(&settings.formats)).map_err(Error::Output);
    }
    for built in pipeline::build(&settings, build.refresh, reporter)? {
        let id = built.record.id.to_string().replace(':', "-");
        let line = format!("Successfully built {} with id {id}", built.path.display());
        output::result(&line).map_err(Error::Output)?;
    }
    Ok(())
}
