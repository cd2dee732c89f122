//! The guest's first process: from the initramfs to the command and its end.
//!
//! ```text
//! orders -> modules -> ports -> Hello -> root (overlay) -> chroot -> mounts -> clock -> command -> Ended
//! ```
//!
//! It follows [`crate::orders`], which the host wrote, and believes nothing of
//! what it finds in the container: everything that it makes there is in a
//! throw-away layer, and the host's files are out of reach but for volumes.

mod clock;
mod command;
mod ending;
mod enter;
mod etc;
mod exec;
mod modules;
mod mounts;
mod network;
mod path;
mod ports;
mod problem;
mod reaper;
mod root;
mod streams;
mod terminal;
mod users;

use std::sync::Arc;
use std::time::Instant;

use crate::orders::{self, Orders};
use crate::wire::{self, Kind};

use ports::Control;
use problem::{Explain, Problem};

/// Runs, and powers the machine off. Comes back only if even that fails.
pub fn main() {
    // The ports are files below `/dev`, named below `/sys`.
    if let Err(problem) = mounts::early() {
        eprintln!("init: {problem}");
        ending::power_off();
    }
    // A foreign kernel may have the ports' driver among its modules.
    let orders = ready();
    match ports::open(wire::CONTROL) {
        Ok(port) => {
            let control = Arc::new(Control::new(port));
            if let Err(problem) = run(orders, &control) {
                control.send(Kind::Failed, &problem.to_bytes());
            }
            ending::hand_over();
        }
        Err(problem) => {
            if let Err(first) = &orders {
                eprintln!("init: {first}");
            }
            eprintln!("init: {problem}");
        }
    }
    ending::power_off();
}

/// The orders, and the modules that they name in the kernel.
fn ready() -> Result<Orders, Problem> {
    let orders = read_orders()?;
    modules::load(&orders.modules)?;
    Ok(orders)
}

fn run(orders: Result<Orders, Problem>, control: &Arc<Control>) -> Result<(), Problem> {
    let asked = Instant::now();
    control.send(Kind::Hello, rustix::system::uname().release().to_bytes());
    let orders = orders?;
    root::enter(&orders)?;
    clock::set(control, asked)?;
    let streams = streams::Ports::open(orders.command.terminal.is_some())?;
    command::run(&orders.command, streams, control)
}

fn read_orders() -> Result<Orders, Problem> {
    let bytes = std::fs::read(orders::PATH).or_init("can't read the orders")?;
    Orders::from_bytes(&bytes).map_err(|error| Problem::new(wire::Failure::Init, error))
}

/// Whom a command runs as by a container's own files: uid, gid, further
/// groups, home. For who tries that with foreign bytes.
///
/// # Errors
/// When a user or group is not in the files, and no number.
#[doc(hidden)]
pub fn find_user(
    user: &str,
    groups: &[String],
    passwd: &str,
    group: &str,
) -> Result<(u32, u32, Vec<u32>, String), String> {
    let found = users::find(user, groups, passwd, group)?;
    Ok((found.uid, found.gid, found.groups, found.home))
}
