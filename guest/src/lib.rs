//! What the programs in the guest share, and what the host must know to speak
//! with them ([`wire`], [`orders`]).
//!
//! They run as root beside file trees that strangers made (the apps' root
//! filesystems), on any kernel from 4.4 on: no path of such a tree is ever
//! handed to the kernel whole, see [`in_root`].

pub mod bind;
pub mod in_root;
pub mod init;
mod mounting;
mod netlink;
pub mod orders;
pub mod probe;
pub mod wire;
