//! Writing a squashfs 4.0 image, without root and without other programs.
//!
//! The format is the kernel's `Documentation/filesystems/squashfs.rst`; the
//! layouts of the tables are described in squashfs-tools-ng's
//! `doc/format.adoc`. From front to back:
//!
//! ```text
//! superblock | files' blocks | inodes | directories | owners | attributes
//! ```
//!
//! That is the order that the kernel checks: each table must end where the
//! next one begins, and the last one where the image does.
//!
//! Nothing is compressed: the image lies on a disk beside the kernel that it
//! is for, and is read through a page cache. So a guest needs no decompressor
//! but the one that the superblock names (zlib), and writing is copying.
//! Blocks that are all zero are not stored. There are no fragments: a file's
//! last block is as short as the file, so nothing would be won.
//!
//! Same calls, same bytes: names are sorted, numbers are given in the order
//! of the tree, and there is no time in it but the files' own.

mod directory;
mod inode;
mod metadata;
mod owners;
mod tables;
mod xattr;

pub(super) use xattr::can_keep;

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};

use super::tree::{Extent, Kind, Tree};
use tables::Tables;

/// Bytes in a block of a file: the format's default, small enough for a
/// guest of little memory and a power of two as it must be.
const BLOCK: usize = 128 << 10;
const BLOCK_LOG: u16 = 17;
const MAGIC: u32 = 0x7371_7368;
const SUPERBLOCK: u64 = 96;
/// The number of zlib, which every kernel with squashfs is built with.
const ZLIB: u16 = 1;
/// No such table.
const NONE: u64 = u64::MAX;
/// Inodes, data, fragments, attributes and owners are not compressed; there
/// are no fragments.
const FLAGS: u16 = 0x0001 | 0x0002 | 0x0008 | 0x0010 | 0x0100 | 0x0800;
const NO_ATTRIBUTES: u16 = 0x0200;
/// An image is a whole number of these, whatever the disk's sectors are.
const SECTOR: u64 = 4096;

/// The bytes of a file in an image, from where [`Writer::store`] put them.
///
/// # Errors
/// When the image can't be read.
pub(super) fn read(image: &File, extent: &Extent) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; usize::try_from(extent.size).map_err(io::Error::other)?];
    let hole = |block: u64| {
        extent.holes.iter().any(|&(first, count)| (first..first + count).contains(&block))
    };
    let mut at = extent.start;
    for (number, block) in bytes.chunks_mut(BLOCK).enumerate() {
        if !hole(number as u64) {
            image.read_exact_at(block, at)?;
            at += block.len() as u64;
        }
    }
    Ok(bytes)
}

/// An image that is being written: first the files' bytes, then the tree.
pub(super) struct Writer {
    file: BufWriter<File>,
    at: u64,
    block: Vec<u8>,
}

impl Writer {
    /// Begins an image in an empty file.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&[0; SUPERBLOCK as usize])?;
        Ok(Self { file, at: SUPERBLOCK, block: vec![0; BLOCK] })
    }

    /// Stores all that a reader gives.
    pub(super) fn store(&mut self, from: &mut dyn Read) -> io::Result<Extent> {
        let mut extent = Extent { start: self.at, ..Extent::default() };
        loop {
            let count = read_full(from, &mut self.block)?;
            let block = &self.block[..count];
            if count > 0 && block.iter().all(|&byte| byte == 0) {
                add_hole(&mut extent.holes, extent.size / BLOCK as u64);
            } else {
                self.file.write_all(block)?;
                self.at += count as u64;
            }
            extent.size += count as u64;
            if count < BLOCK {
                return Ok(extent);
            }
        }
    }

    /// Writes the tree and the superblock, and gives back the file, which is
    /// not synced.
    ///
    /// # Errors
    /// When it can't be written; [`io::ErrorKind::InvalidData`] when the tree
    /// has more than squashfs can say (65,535 owners).
    pub(super) fn finish(mut self, tree: &Tree) -> io::Result<File> {
        let tables = Tables::of(tree)?;
        let data_end = self.at;
        let inodes = data_end;
        let (_, directories) = tables.inodes.write(&mut self.file, inodes)?;
        let (_, after) = tables.directories.write(&mut self.file, directories)?;
        let (owners, after) = tables.owners.write(&mut self.file, after)?;
        let (attributes, end) = tables.attributes.write(&mut self.file, after)?;
        let padding = end.next_multiple_of(SECTOR) - end;
        self.file.write_all(&vec![0; padding as usize])?;
        let mut flags = FLAGS;
        if attributes.is_none() {
            flags |= NO_ATTRIBUTES;
        }
        let superblock = superblock(
            [tables.count, 0, BLOCK as u32, 0],
            [ZLIB, BLOCK_LOG, flags, tables.owners.len(), 4, 0],
            [
                tables.root.reference(),
                end,
                owners,
                attributes.unwrap_or(NONE),
                inodes,
                directories,
                NONE,
                NONE,
            ],
        );
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&superblock)?;
        free_what_is_gone(&file, tree, data_end);
        Ok(file)
    }
}

/// The superblock's fields, which are grouped by width. `words`: inodes,
/// time, block size, fragments. `halves`: compressor, block log, flags,
/// owners, major, minor. `longs`: root inode, bytes, and where the tables of
/// owners, attributes, inodes, directories, fragments and exports are.
fn superblock(words: [u32; 4], halves: [u16; 6], longs: [u64; 8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_le_bytes().to_vec();
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
    bytes.extend(longs.iter().flat_map(|long| long.to_le_bytes()));
    bytes
}

fn add_hole(holes: &mut Vec<(u64, u64)>, block: u64) {
    match holes.last_mut() {
        Some((first, count)) if *first + *count == block => *count += 1,
        _ => holes.push((block, 1)),
    }
}

/// Reads until the buffer is full or the reader's end.
fn read_full(from: &mut dyn Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match from.read(&mut into[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Bytes of a file that are stored.
fn stored(extent: &Extent) -> u64 {
    extent.size - in_holes(extent)
}

/// Bytes of a file that are in blocks that are not stored.
fn in_holes(extent: &Extent) -> u64 {
    let block = BLOCK as u64;
    let end = |first: u64, count: u64| ((first + count) * block).min(extent.size);
    extent.holes.iter().map(|&(first, count)| end(first, count) - first * block).sum()
}

/// Gives back the disk space of files that a later layer has removed or
/// replaced. What was removed from an image is not in ours either; on a file
/// system that can't free the middle of a file it only takes its place.
fn free_what_is_gone(file: &File, tree: &Tree, end: u64) {
    let mut live: Vec<(u64, u64)> = Vec::new();
    for (folder, _) in tree.folders() {
        for &id in tree.names(folder).into_iter().flatten().map(|(_, id)| id) {
            if let Kind::File(extent) = &tree.get(id).kind {
                live.push((extent.start, extent.start + stored(extent)));
            }
        }
    }
    live.sort_unstable();
    live.push((end, end));
    let mut free = SUPERBLOCK;
    for (start, stop) in live {
        if start > free {
            punch(file, free, start - free);
        }
        free = free.max(stop);
    }
}

fn punch(file: &File, start: u64, length: u64) {
    use rustix::fs::{FallocateFlags, fallocate};
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    // The image is right without it.
    _ = fallocate(file, flags, start, length);
}

#[cfg(test)]
mod tests;
