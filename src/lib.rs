//! Any Linux kernel, from 4.4 to the newest, as an image that boots.
//!
//! The data flows from left to right, each step a plain value:
//!
//! ```text
//! Settings -> BuildPlan -> SourceTree -> KernelConfig -> KernelArtifacts -> Rootfs -> Image
//! Settings + Image + Container -> Machine -> Outcome
//! ```
//!
//! A room (a module with a folder) never imports one to its right; only
//! [`pipeline`] joins them. The leaves [`proc`], [`digest`], [`fsutil`], [`http`],
//! [`kept`], [`listing`] and [`nearest`](mod@nearest) know no room, and every
//! room may speak through [`report::Event`].

pub mod digest;
pub mod fsutil;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod http;
pub mod kept;
pub mod listing;
pub mod nearest;
pub mod proc;
pub mod report;

pub mod settings;
pub mod source;

pub mod kconfig;

pub mod compile;

pub mod content;

pub mod pack;

pub mod store;

pub mod container;

pub mod vm;

pub mod pipeline;
