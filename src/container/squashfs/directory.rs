//! What a folder lists: runs of entries, and for big folders an index.

use super::metadata::{BLOCK, Place, Stream};

/// The most entries in a run: the kernel refuses more.
const RUN: usize = 256;
/// A run's head: how many, which block of inodes, the first one's number.
const HEAD: usize = 12;

/// One name in a folder.
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    /// Where its inode is.
    pub(super) place: Place,
    pub(super) number: u32,
    /// What it is, as the basic kind of inode.
    pub(super) kind: u16,
}

/// A run that a look-up may begin at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Index {
    /// Bytes from the listing's start.
    pub(super) position: u32,
    /// The metadata block of that byte.
    pub(super) block: u32,
    /// The run's first name.
    pub(super) name: Vec<u8>,
}

/// A listing that was written.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) place: Place,
    /// Bytes of it.
    pub(super) size: u32,
    /// One run for each metadata block but the first.
    pub(super) indexes: Vec<Index>,
}

/// Writes sorted entries.
pub(super) fn write(to: &mut Stream, mut entries: &[Entry]) -> Listing {
    let (place, start) = (to.place(), to.len());
    let mut indexes = Vec::new();
    let mut indexed = start / BLOCK;
    while let [first, ..] = entries {
        if to.len() / BLOCK > indexed {
            indexed = to.len() / BLOCK;
            let position = size_of(to, start);
            indexes.push(Index { position, block: to.place().block, name: first.name.to_vec() });
        }
        let length = run_length(entries, BLOCK - to.len() % BLOCK);
        let (run, rest) = entries.split_at(length);
        to.u32(run.len() as u32 - 1);
        to.u32(first.place.block);
        to.u32(first.number);
        run.iter().for_each(|entry| put(to, entry, first.number));
        entries = rest;
    }
    Listing { place, size: size_of(to, start), indexes }
}

fn put(to: &mut Stream, entry: &Entry, base: u32) {
    to.u16(entry.place.offset);
    to.put(&distance(entry.number, base).unwrap_or(0).to_le_bytes());
    to.u16(entry.kind);
    to.u16((entry.name.len() - 1) as u16);
    to.put(entry.name);
}

fn size_of(to: &Stream, start: usize) -> u32 {
    u32::try_from(to.len() - start).unwrap_or(u32::MAX)
}

fn distance(number: u32, base: u32) -> Option<i16> {
    i16::try_from(i64::from(number) - i64::from(base)).ok()
}

/// How many entries fit the first one's run: inodes in the same block, with
/// numbers near to it. A run also ends with the metadata block that it began
/// in (`room` bytes), so that there is one for the index in every block.
fn run_length(entries: &[Entry], room: usize) -> usize {
    let Some(first) = entries.first() else { return 0 };
    let mut used = HEAD;
    let fits = |entry: &&Entry| {
        let within = used < room;
        used += 8 + entry.name.len();
        within
            && entry.place.block == first.place.block
            && distance(entry.number, first.number).is_some()
    };
    entries.iter().take(RUN).take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &[u8], block: u32, number: u32) -> Entry<'_> {
        Entry { name, place: Place { block, offset: 7 }, number, kind: 2 }
    }

    #[test]
    fn a_run_ends_with_its_block_of_inodes_and_its_range_of_numbers() {
        let run = |second| run_length(&[entry(b"a", 0, 40_000), second], BLOCK);
        assert_eq!(run(entry(b"b", 0, 40_001)), 2);
        assert_eq!(run(entry(b"b", 8194, 40_001)), 1, "another block");
        assert_eq!(run(entry(b"b", 0, 40_000 + 32_767)), 2);
        assert_eq!(run(entry(b"b", 0, 40_000 + 32_768)), 1, "too far ahead");
        assert_eq!(run(entry(b"b", 0, 40_000 - 32_768)), 2);
        assert_eq!(run(entry(b"b", 0, 40_000 - 32_769)), 1, "too far behind");
        let many: Vec<Entry> = (0..300).map(|n| entry(b"a", 0, n)).collect();
        assert_eq!(run_length(&many, BLOCK), 256);
    }

    #[test]
    fn a_long_listing_has_an_index_for_each_block() {
        let names: Vec<String> = (0..5000).map(|n| format!("file-{n:05}")).collect();
        let entries: Vec<Entry> =
            names.iter().zip(1..).map(|(name, n)| entry(name.as_bytes(), 0, n)).collect();
        let mut to = Stream::default();
        to.put(&[0; 100]);
        let listing = write(&mut to, &entries);
        assert_eq!(listing.size as usize, to.len() - 100);
        assert_eq!(listing.indexes.len(), to.len() / BLOCK);
        for (index, block) in listing.indexes.iter().zip(1..) {
            assert_eq!(index.block, block * 8194);
            assert_eq!((index.position as usize + 100) / BLOCK, block as usize);
        }
    }
}
