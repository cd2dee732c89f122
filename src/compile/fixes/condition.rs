use std::str::FromStr;

use serde::Deserialize;

use crate::compile::{Family, ToolVersion, Toolchain};

/// A tool that is at least so new: `binutils>=2.36`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Condition {
    tool: Tool,
    at_least: ToolVersion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    Gcc,
    HostGcc,
    Binutils,
    Make,
    Pahole,
    Openssl,
}

impl Condition {
    /// Whether the tool is there and new enough. A compiler of another
    /// family fulfils no condition on gcc.
    pub(super) fn holds(&self, toolchain: &Toolchain) -> bool {
        let gcc = |compiler: &crate::compile::Compiler| {
            (compiler.family == Family::Gcc).then_some(compiler.version)
        };
        let version = match self.tool {
            Tool::Gcc => gcc(&toolchain.cc),
            Tool::HostGcc => gcc(&toolchain.host_cc),
            Tool::Binutils => Some(toolchain.linker.version),
            Tool::Make => Some(toolchain.make.version),
            Tool::Pahole => toolchain.pahole.as_ref().map(|pahole| pahole.version),
            Tool::Openssl => toolchain.openssl,
        };
        version.is_some_and(|version| version >= self.at_least)
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a condition such as binutils>=2.36");
        let (tool, version) = text.split_once(">=").ok_or_else(wrong)?;
        let tool = match tool {
            "gcc" => Tool::Gcc,
            "host-gcc" => Tool::HostGcc,
            "binutils" => Tool::Binutils,
            "make" => Tool::Make,
            "pahole" => Tool::Pahole,
            "openssl" => Tool::Openssl,
            _ => return Err(wrong()),
        };
        Ok(Self { tool, at_least: version.parse().map_err(|_| wrong())? })
    }
}

impl TryFrom<String> for Condition {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::toolchain::tests::a_toolchain;

    #[test]
    fn conditions_compare_versions() {
        let mut toolchain = a_toolchain();
        let holds =
            |text: &str, toolchain: &Toolchain| text.parse::<Condition>().unwrap().holds(toolchain);
        for text in ["gcc>=12", "gcc>=9.5", "binutils>=2.36", "openssl>=3", "pahole>=1.24"] {
            assert!(holds(text, &toolchain), "{text}");
        }
        for text in ["gcc>=12.3", "host-gcc>=13", "binutils>=2.41", "make>=4.4", "openssl>=4"] {
            assert!(!holds(text, &toolchain), "{text}");
        }
        toolchain.cc.family = Family::Clang;
        (toolchain.pahole, toolchain.openssl) = (None, None);
        for text in ["gcc>=4", "pahole>=1", "openssl>=1"] {
            assert!(!holds(text, &toolchain), "{text}");
        }
        assert!(holds("host-gcc>=4", &toolchain));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "gcc", "gcc>12", "tcc>=1", "gcc>=new", "gcc>="] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }
}
