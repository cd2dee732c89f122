//! The last lines of a stream.

use std::collections::VecDeque;

/// Lines of stderr kept for an error's text.
const TAIL: usize = 20;

/// The last lines of a stream, whatever pieces it comes in.
#[derive(Debug, Default, Clone)]
pub(super) struct Tail {
    lines: VecDeque<String>,
    open: Vec<u8>,
}

impl Tail {
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        self.open.extend_from_slice(bytes);
        while let Some(end) = self.open.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.open.drain(..=end).collect();
            self.push_line(&line[..end]);
        }
    }

    fn push_line(&mut self, line: &[u8]) {
        if self.lines.len() == TAIL {
            self.lines.pop_front();
        }
        self.lines.push_back(String::from_utf8_lossy(line).into_owned());
    }

    pub(super) fn text(mut self) -> String {
        if !self.open.is_empty() {
            let rest = std::mem::take(&mut self.open);
            self.push_line(&rest);
        }
        Vec::from(self.lines).join("\n")
    }
}
