//! What the user wants, from all layers, with the origin of each value.

mod arch;
mod version;

pub use arch::Arch;
pub use version::{KernelRequest, KernelVersion, NotAVersion, RktVersion, Series};
