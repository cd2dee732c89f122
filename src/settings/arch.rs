use std::fmt;
use std::str::FromStr;

/// A processor architecture, with the name that each side has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Arch {
    /// 64-bit x86.
    #[default]
    X86_64,
    /// 64-bit Arm, little endian.
    Arm64,
}

impl Arch {
    /// Every architecture.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Arm64];

    /// As the kernel's make wants it in `ARCH=`.
    #[must_use]
    pub fn kernel(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// The folder under the kernel's `arch/`.
    #[must_use]
    pub fn source_folder(self) -> &'static str {
        match self {
            Self::X86_64 => "x86",
            Self::Arm64 => "arm64",
        }
    }

    /// As Rust names it, in `std::env::consts::ARCH` and its targets.
    fn rust(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// Whether programs of this architecture run on this host as they are.
    #[must_use]
    pub fn is_host(self) -> bool {
        self.rust() == std::env::consts::ARCH
    }

    /// What an image's file name has behind the kernel's version: the first
    /// architecture has nothing, the others their name.
    #[must_use]
    pub fn of_file(self) -> &'static str {
        match self {
            Self::X86_64 => "",
            Self::Arm64 => "-arm64",
        }
    }

    /// QEMU's program for it.
    #[must_use]
    pub fn qemu(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Arm64 => "qemu-system-aarch64",
        }
    }

    /// As OCI images name it, with Go's word.
    #[must_use]
    pub fn oci(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// As the appc specification names it in an image's `arch` label.
    #[must_use]
    pub fn appc(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Arm64 => "aarch64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kernel())
    }
}

impl FromStr for Arch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "x86_64" | "amd64" | "x86" => Ok(Self::X86_64),
            "arm64" | "aarch64" => Ok(Self::Arm64),
            _ => Err(format!("'{text}' is not an architecture (x86_64 or arm64)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_its_own_name_and_every_one_is_understood() {
        let arm = Arch::Arm64;
        assert_eq!((arm.kernel(), arm.appc(), arm.oci()), ("arm64", "aarch64", "arm64"));
        for arch in Arch::ALL {
            for name in [arch.kernel(), arch.appc(), arch.oci(), arch.rust()] {
                assert_eq!(name.parse(), Ok(arch), "{name}");
            }
        }
    }
}
