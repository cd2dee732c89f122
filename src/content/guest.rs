//! The programs that run in the guest, built from `guest/` and embedded.

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

/// Every program, for every architecture that has them. arm64's come here
/// when `build.rs` builds them.
pub const GUEST_PROGRAMS: &[GuestProgram] = &[GuestProgram {
    name: BIND_HEADERS,
    arch: Arch::X86_64,
    bytes: include_bytes!(concat!(env!("OUT_DIR"), "/bind-headers-x86_64")),
}];

/// The program that binds the headers into an app.
pub const BIND_HEADERS: &str = "bind-headers";

/// The program of this name for this architecture.
#[must_use]
pub fn guest_program(name: &str, arch: Arch) -> Option<&'static GuestProgram> {
    GUEST_PROGRAMS.iter().find(|program| program.name == name && program.arch == arch)
}

/// One digest over all of an architecture's programs: it belongs in a build's
/// key, since they are in the image.
#[must_use]
pub fn guest_programs_digest(arch: Arch) -> Digest {
    let listed: String = GUEST_PROGRAMS
        .iter()
        .filter(|program| program.arch == arch)
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
        for program in GUEST_PROGRAMS {
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
        assert!(guest_program(BIND_HEADERS, Arch::X86_64).is_some());
        assert_ne!(guest_programs_digest(Arch::X86_64), guest_programs_digest(Arch::Arm64));
    }
}
