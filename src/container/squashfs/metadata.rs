//! Squashfs' metadata: a stream of bytes, cut into blocks of 8 KiB.

use std::io::{self, Write};

/// Bytes in a block.
pub(super) const BLOCK: usize = 8192;
/// A block's header: its length, and that it is not compressed.
const HEADER: usize = 2;
const UNCOMPRESSED: u16 = 1 << 15;

/// A place in a stream, as inodes and folders refer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Where the block begins, from the table's first byte, headers counted.
    pub(super) block: u32,
    /// Which byte of the block.
    pub(super) offset: u16,
}

impl Place {
    /// Both in one number.
    pub(super) fn reference(self) -> u64 {
        u64::from(self.block) << 16 | u64::from(self.offset)
    }
}

/// A table's bytes before they are cut.
#[derive(Debug, Default)]
pub(super) struct Stream {
    bytes: Vec<u8>,
}

impl Stream {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Where the next byte goes. As blocks are stored as they are, all
    /// before it are full.
    pub(super) fn place(&self) -> Place {
        let block = self.bytes.len() / BLOCK * (HEADER + BLOCK);
        Place {
            block: u32::try_from(block).unwrap_or(u32::MAX),
            offset: (self.bytes.len() % BLOCK) as u16,
        }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn u16(&mut self, number: u16) {
        self.put(&number.to_le_bytes());
    }

    pub(super) fn u32(&mut self, number: u32) {
        self.put(&number.to_le_bytes());
    }

    pub(super) fn u64(&mut self, number: u64) {
        self.put(&number.to_le_bytes());
    }

    /// Whether every place in it can be said in 32 bits.
    pub(super) fn fits(&self) -> bool {
        self.bytes.len() / BLOCK < u32::MAX as usize / (HEADER + BLOCK)
    }

    /// Writes the blocks behind byte `start` of the image; gives where each
    /// begins and where the next table may.
    pub(super) fn write(&self, to: &mut impl Write, start: u64) -> io::Result<(Vec<u64>, u64)> {
        let mut at = start;
        let mut blocks = Vec::new();
        for block in self.bytes.chunks(BLOCK) {
            blocks.push(at);
            to.write_all(&(block.len() as u16 | UNCOMPRESSED).to_le_bytes())?;
            to.write_all(block)?;
            at += (HEADER + block.len()) as u64;
        }
        Ok((blocks, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_the_headers_of_the_blocks_before() {
        let mut stream = Stream::default();
        assert_eq!(stream.place(), Place { block: 0, offset: 0 });
        stream.put(&[1; 8191]);
        assert_eq!(stream.place(), Place { block: 0, offset: 8191 });
        stream.put(&[2; 2]);
        assert_eq!(stream.place(), Place { block: 8194, offset: 1 });
        assert_eq!(stream.place().reference(), 8194 << 16 | 1);
        let mut bytes = Vec::new();
        let (blocks, end) = stream.write(&mut bytes, 100).unwrap();
        assert_eq!(blocks, [100, 100 + 8194]);
        assert_eq!(end, 100 + bytes.len() as u64);
        assert_eq!(bytes[..3], [0x00, 0xa0, 1]);
        assert_eq!(bytes[8194..], [0x01, 0x80, 2]);
    }
}
