//! The programs that run in the guest, built from `guest/` and embedded.
//!
//! Those for arm64 are there if the toolchain that built this binary had the
//! target's standard library; see `build.rs`.

use crate::digest::Digest;
use crate::settings::Arch;

/// A static program for the guest.
#[derive(Debug, Clone, Copy)]
pub struct GuestProgram {
    /// Its name.
    pub name: &'static str,
    /// The architecture that it runs on.
    pub arch: Arch,
    /// The ELF file.
    pub bytes: &'static [u8],
}

macro_rules! embedded {
    ($name:expr, $arch:expr, $file:literal) => {
        GuestProgram {
            name: $name,
            arch: $arch,
            bytes: include_bytes!(concat!(env!("OUT_DIR"), "/", $file)),
        }
    };
}

/// Every program for every architecture; those that were not built are empty.
const EMBEDDED: [GuestProgram; 6] = [
    embedded!(BIND_HEADERS, Arch::X86_64, "bind-headers-x86_64"),
    embedded!(INIT, Arch::X86_64, "init-x86_64"),
    embedded!(PROBE, Arch::X86_64, "probe-x86_64"),
    embedded!(BIND_HEADERS, Arch::Arm64, "bind-headers-arm64"),
    embedded!(INIT, Arch::Arm64, "init-arm64"),
    embedded!(PROBE, Arch::Arm64, "probe-arm64"),
];

/// The program of an image that binds the headers into an app.
pub const BIND_HEADERS: &str = "bind-headers";
/// The first process of a guest.
pub const INIT: &str = "init";
/// The program that tries in a guest what its kernel promises.
pub const PROBE: &str = "probe";

/// How to get a binary that has the programs of an architecture.
pub const HOW_TO_HAVE_PROGRAMS: &str =
    "rustup target add aarch64-unknown-linux-musl, then build stage1-builder again";

/// The program of this name for this architecture, if this binary has it.
#[must_use]
pub fn guest_program(name: &str, arch: Arch) -> Option<&'static GuestProgram> {
    guest_programs(arch).find(|program| program.name == name)
}

/// All that this binary has for an architecture.
pub fn guest_programs(arch: Arch) -> impl Iterator<Item = &'static GuestProgram> {
    EMBEDDED.iter().filter(move |program| program.arch == arch && !program.bytes.is_empty())
}

/// One digest over those of an architecture's programs that are in an image:
/// it belongs in a build's key.
#[must_use]
pub fn guest_programs_digest(arch: Arch) -> Digest {
    let listed: String = guest_program(BIND_HEADERS, arch)
        .into_iter()
        .map(|program| format!("{} {}\n", program.name, Digest::sha256(program.bytes)))
        .collect();
    Digest::sha256(listed.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 2 of the ELF specification: `e_phoff` at 32, `e_phentsize` at
    /// 54, `e_phnum` at 56; `PT_INTERP` is 3.
    fn has_interpreter(elf: &[u8]) -> bool {
        let u16_at = |at: usize| usize::from(u16::from_le_bytes([elf[at], elf[at + 1]]));
        let table = u64::from_le_bytes(elf[32..40].try_into().unwrap()) as usize;
        (0..u16_at(56)).any(|index| elf[table + index * u16_at(54)..][..4] == [3, 0, 0, 0])
    }

    #[test]
    fn the_programs_are_static_and_tiny_and_hold_no_path_of_this_machine() {
        for program in Arch::ALL.into_iter().flat_map(guest_programs) {
            assert!(program.bytes.starts_with(b"\x7fELF\x02\x01"), "{}", program.name);
            assert!(!has_interpreter(program.bytes), "{} is dynamic", program.name);
            assert!(program.bytes.len() < 2 << 20, "{} bytes", program.bytes.len());
            for path in
                [env!("CARGO_MANIFEST_DIR"), env!("OUT_DIR"), "/.cargo/", "registry/src/index"]
            {
                let found = program.bytes.windows(path.len()).any(|part| part == path.as_bytes());
                assert!(!found, "{path} in {}", program.name);
            }
        }
    }

    #[test]
    fn an_architecture_without_programs_has_another_digest() {
        assert_eq!(guest_programs(Arch::X86_64).count(), 3);
        assert!([0, 3].contains(&guest_programs(Arch::Arm64).count()));
        assert_ne!(guest_programs_digest(Arch::X86_64), guest_programs_digest(Arch::Arm64));
    }
}
