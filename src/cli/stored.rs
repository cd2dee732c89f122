//! What verbs take that look at finished images and build none.

use std::collections::BTreeMap;

use clap::Args;
use stage1_builder::pipeline::Error;
use stage1_builder::settings::{Key, Settings, Sources};

use super::args::Global;

/// Where images are looked for by their ids.
#[derive(Debug, Args)]
pub(super) struct Stored {
    /// The store [default: the setting S1B_CACHE_DIR]
    #[arg(long, value_name = "FOLDER", global = true)]
    cache_dir: Option<String>,
}

impl Stored {
    /// All settings, with this one on top.
    pub(super) fn settings(&self, global: &Global) -> Result<Settings, Error> {
        let folder = self.cache_dir.clone().map(|folder| (Key::CacheDir, folder));
        let flags: BTreeMap<Key, String> = folder.into_iter().collect();
        Ok(Settings::load(&Sources::from_host(&global.project_dir, flags)?)?)
    }
}
