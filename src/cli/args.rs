//! The command line as typed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{ArgAction, ArgMatches, Args, Parser, Subcommand};
use stage1_builder::pipeline;
use stage1_builder::report::Fault;
use stage1_builder::settings::{BuiltIn, Key, SETTINGS, Setting, Settings, Sources};

/// Any Linux kernel, from 4.4 to the newest, as an image that boots.
#[derive(Debug, Parser)]
#[command(name = "stage1-builder", version, after_help = exit_codes(), max_term_width = 100)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// The folder of builder-config, .config and config/
    #[arg(short = 'C', long, global = true, value_name = "FOLDER", default_value = ".")]
    pub(super) project_dir: PathBuf,
    /// Say more: workspace, fixes, make's command lines; -vv: everything that make says, too
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Say nothing but warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Build a kernel and package it as a stage1-kvm image
    Build(Build),
    /// Run a command, in a container or on the host's own root, on a kernel
    Run(Box<super::run::Run>),
    /// Run a further command, or a shell, in a VM that runs
    Enter(super::enter::Enter),
    /// List the images of the store; show, export, verify and remove them, and tidy the store up
    Images(super::images::Images),
    /// Show every setting, its value and where that comes from
    Config(Config),
    /// Check an image: structure, manifest, kernel, headers, paths of the host, determinism
    Verify(super::verify::Verify),
    /// Compare two images: versions, configuration, files, sizes
    Diff(super::diff::Diff),
    /// Print the .config that a kernel's build has, or why a symbol is what it is
    ConfigKernel(super::config_kernel::ConfigKernel),
    /// List the kernels that each provider has, and what the store has of them
    Kernels(super::kernels::Kernels),
    /// Say what this host has and lacks for builds and runs, and what mends it
    Doctor(super::doctor::Doctor),
    /// Print a script that completes this command line in a shell
    Completions(super::shell::Completions),
    /// Print a manual page
    Man(super::shell::Man),
}

/// `build`.
#[derive(Debug, Args)]
pub(super) struct Build {
    /// The kernel to build: X.Y, X.Y.Z, X.Y-rcN, stable, longterm, mainline
    #[arg(value_name = "VERSION")]
    pub(super) version: Option<String>,
    #[command(flatten)]
    pub(super) foreign: super::foreign::Foreign,
    /// Install what the host lacks first (Debian, Ubuntu, as root); elsewhere print the command
    #[arg(long)]
    pub(super) install_deps: bool,
    /// Only see to it that the host has what a build needs
    #[arg(long)]
    pub(super) check_tools: bool,
    /// Look again which release is the newest, instead of once a day
    #[arg(long)]
    pub(super) refresh: bool,
    /// Print what would be built and every input of its key, and build nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Boot what was built and try what its configuration promises, as `verify --boot` does
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) verify_boot: bool,
    /// Tell what goes on to people, or to programs: JSON objects, a line each, on stdout
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub(super) message_format: super::build::MessageFormat,
    #[command(flatten)]
    pub(super) settings: SettingFlags,
}

/// `config`.
#[derive(Debug, Args)]
pub(super) struct Config {
    /// As a table for people, as JSON for programs, or as Markdown for the README
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(super) output: ConfigOutput,
    #[command(flatten)]
    pub(super) settings: SettingFlags,
}

/// How `config` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ConfigOutput {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// The reference of all settings.
    Markdown,
}

/// A flag for each setting, made from the table of settings. Where `--format`
/// says how a verb prints, there is none for the format of images.
#[derive(Debug, Default)]
pub(super) struct SettingFlags<const IMAGE_FORMAT: bool = true>(BTreeMap<Key, String>);

impl<const IMAGE_FORMAT: bool> SettingFlags<IMAGE_FORMAT> {
    fn flags() -> impl Iterator<Item = &'static Setting> {
        SETTINGS.iter().filter(|setting| IMAGE_FORMAT || setting.key != Key::Format)
    }

    /// All layers together, the flags on top.
    pub(super) fn load(
        &self,
        global: &Global,
        version: Option<&str>,
    ) -> Result<Settings, pipeline::Error> {
        let mut flags = self.0.clone();
        if let Some(version) = version {
            let flag = flags.insert(Key::KernelVersion, version.to_owned());
            if let Some(other) = flag.filter(|other| other != version) {
                return Err(pipeline::Error::Usage {
                    problem: format!("two kernel versions: {version} and --kernel-version {other}"),
                    hint: "give one of them".to_owned(),
                });
            }
        }
        Ok(Settings::load(&Sources::from_host(&global.project_dir, flags)?)?)
    }
}

impl<const IMAGE_FORMAT: bool> Args for SettingFlags<IMAGE_FORMAT> {
    fn augment_args(command: clap::Command) -> clap::Command {
        Self::flags().fold(command, |command, setting| command.arg(flag(setting)))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl<const IMAGE_FORMAT: bool> clap::FromArgMatches for SettingFlags<IMAGE_FORMAT> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in Self::flags() {
            let value = match setting.placeholder {
                Some(_) if setting.is_repeatable() => joined(matches, setting.flag),
                Some(_) => matches.get_one::<String>(setting.flag).cloned(),
                None => matches.get_flag(setting.flag).then(|| "1".to_owned()),
            };
            if let Some(value) = value {
                self.0.insert(setting.key, value);
            }
        }
        Ok(())
    }
}

/// What a flag that may be repeated was given, one after the other.
fn joined(matches: &ArgMatches, flag: &str) -> Option<String> {
    let values: Vec<_> = matches.get_many::<String>(flag)?.map(String::as_str).collect();
    Some(values.join(" "))
}

fn flag(setting: &'static Setting) -> clap::Arg {
    let (BuiltIn::Text(default) | BuiltIn::Computed(default) | BuiltIn::Unset(default)) =
        setting.default;
    let flag = clap::Arg::new(setting.flag)
        .long(setting.flag)
        .help(format!("{} [default: {default}]", setting.help))
        .help_heading(setting.group);
    match setting.placeholder {
        Some(placeholder) => flag
            .value_name(placeholder)
            .action(if setting.is_repeatable() { ArgAction::Append } else { ArgAction::Set })
            .allow_hyphen_values(setting.allows_leading_hyphen()),
        None => flag.action(ArgAction::SetTrue),
    }
}

fn exit_codes() -> String {
    let mut text = String::from("Exit codes:\n    0  done\n");
    for fault in Fault::ALL {
        text.push_str(&format!("  {:>3}  {}\n", fault.exit_code(), fault.describe()));
    }
    text
}
