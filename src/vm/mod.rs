//! A small virtual machine, one command in it, and what became of that.
//!
//! ```text
//! Machine (plan) -> QEMU's arguments + initramfs -> a running guest -> Outcome
//! ```
//!
//! The guest's first process is our own (`guest/`): it comes in by initramfs
//! together with its orders, and speaks with us over virtio-serial ports
//! ([`stage1_builder_guest::wire`]). Everything that must end, ends from out
//! here: time limits, panics seen on the console, a VM that is lost.
//!
//! What a run has on disk is in one private folder, which it holds a lock on:
//!
//! ```text
//! $XDG_RUNTIME_DIR/stage1-builder/<uuid>/   (else <temp>/stage1-builder-<uid>/<uuid>/)
//!   lock            held as long as the run lives
//!   initramfs.cpio  init and its orders
//!   run.json        what runs there
//!   enter.sock      where `enter` knocks
//!   <tag>.sock      where QEMU finds the daemon of a virtiofs share
//!   console.log     what the kernel said, if the folder is kept
//! ```
//!
//! `examples/on_kernel.rs` is a program that needs nothing else than this.
//!
//! A folder whose lock is free is a killed run's, and is swept by the next.
//! QEMU itself dies with the process that started it.

mod accel;
mod arguments;
mod console;
mod enter;
mod error;
mod folder;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod initramfs;
mod kernel;
mod machine;
mod modules;
mod outcome;
mod parameters;
mod run;
mod shares;
mod streams;

pub use accel::{Accel, Finding, Kvm};
pub use arguments::{Sockets, Wiring, arguments, command_line};
pub use enter::{RunningVm, Visit, enter, running};
pub use error::Error;
pub use folder::RunFolder;
pub use kernel::{kernel_proper, uncompressed};
pub use machine::{Disk, Forward, Kernel, Limits, Machine, MachineKind, Share, Via};
pub use modules::Modules;
pub use outcome::{End, Outcome};
pub use run::{Request, SharedWriter, Streams, run};
pub use shares::{files_of_virtiofsd, virtiofsd_serves};
pub use stage1_builder_guest::orders::{Command, Mount, Orders, Volume};
pub use stage1_builder_guest::wire::{Ending, Failure};
