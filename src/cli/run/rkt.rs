//! rkt's options that a VM of ours has no use for. They are known, so that
//! each is refused with its reason instead of as a typing error.

use clap::{ArgMatches, Args, FromArgMatches};
use stage1_builder::pipeline::Error;

/// Names of `rkt run` (1.30.0) with what to do instead.
const REFUSED: [(&str, &str); 19] = [
    ("caps-remove", "the command has a kernel of its own; run it as another --user"),
    ("caps-retain", "the command has a kernel of its own; run it as another --user"),
    ("cpu-shares", "give the machine as many processors as it shall have with --cpu"),
    ("dns-domain", "write a resolv.conf into the image"),
    ("dns-opt", "write a resolv.conf into the image"),
    ("dns-search", "write a resolv.conf into the image"),
    ("hosts-entry", "write a hosts file into the image"),
    ("mds-register", "there is no metadata service"),
    ("name", "there is one app in a machine, and it needs no name"),
    ("no-overlay", "the root is always under a throw-away layer"),
    ("oom-score-adj", "the command has a kernel of its own"),
    ("pod-manifest", "give the image and its options on the command line"),
    ("private-users", "the command has a kernel of its own; run it as another --user"),
    ("seccomp", "the command has a kernel of its own"),
    ("set-env-file", "give each variable with --environment"),
    ("signature", "images are verified when they come into the store"),
    ("stage1-from-dir", "name the image's file with --stage1-path"),
    ("stdin", "the command has this program's own stdin; redirect it"),
    ("stdout", "the command has this program's own stdout; redirect it"),
];

/// Takes none of them.
#[derive(Debug, Default)]
pub(crate) struct Refused(Option<(&'static str, &'static str)>);

impl Refused {
    /// An error if one was given.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.0 {
            None => Ok(()),
            Some((name, instead)) => Err(Error::Usage {
                problem: format!("rkt's option --{name} is not supported"),
                hint: instead.to_owned(),
            }),
        }
    }
}

impl Args for Refused {
    fn augment_args(command: clap::Command) -> clap::Command {
        REFUSED.iter().fold(command, |command, (name, _)| {
            command.arg(
                clap::Arg::new(*name)
                    .long(*name)
                    .hide(true)
                    .num_args(0..=1)
                    .require_equals(true)
                    .action(clap::ArgAction::Append)
                    .default_missing_value(""),
            )
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Refused {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = REFUSED.iter().find(|(name, _)| matches.contains_id(name));
        Ok(Self(given.copied()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
