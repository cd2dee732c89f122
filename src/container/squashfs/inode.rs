//! Inodes. Each kind has a basic and an extended form; the extended one is
//! taken when the basic one can't say what there is to say.

use super::directory::Listing;
use super::metadata::Stream;
use super::{BLOCK, in_holes};
use crate::container::tree::{Extent, Kind};

/// No attributes, no fragment.
const NONE: u32 = u32::MAX;
/// From a basic kind to its extended one.
const EXTENDED: u16 = 7;
/// In a block's length: it is not compressed.
const UNCOMPRESSED: u32 = 1 << 24;
/// A folder's size counts these bytes for `.` and `..`, which are not listed.
const DOTS: u32 = 3;

/// What all inodes have.
pub(super) struct Head {
    pub(super) mode: u16,
    /// User and group, as numbers of the owners' table.
    pub(super) owners: (u16, u16),
    pub(super) mtime: u32,
    pub(super) number: u32,
    pub(super) attributes: Option<u32>,
}

/// What is known of a file from its place in the tree.
pub(super) enum Shape {
    Folder(Folder),
    Other {
        /// How many names it has.
        links: u32,
    },
}

/// What is known of a folder.
pub(super) struct Folder {
    pub(super) listing: Listing,
    pub(super) links: u32,
    /// The number of the folder that holds it.
    pub(super) parent: u32,
}

/// The number of a kind's basic form, which is also what a folder lists.
pub(super) fn basic_kind(kind: &Kind) -> u16 {
    match kind {
        Kind::Directory(_) => 1,
        Kind::File(_) => 2,
        Kind::Symlink(_) => 3,
        Kind::Block { .. } => 4,
        Kind::Character { .. } => 5,
        Kind::Fifo => 6,
    }
}

/// Writes an inode.
pub(super) fn write(to: &mut Stream, head: &Head, kind: &Kind, shape: &Shape) {
    let links = match shape {
        Shape::Folder(folder) => return directory(to, head, folder),
        Shape::Other { links } => *links,
    };
    match kind {
        Kind::Directory(_) => {}
        Kind::File(extent) => file(to, head, extent, links),
        Kind::Symlink(target) => {
            start(to, head, kind, head.attributes.is_some());
            to.u32(links);
            to.u32(target.len() as u32);
            to.put(target);
            attributes(to, head);
        }
        Kind::Block { major, minor } | Kind::Character { major, minor } => {
            start(to, head, kind, head.attributes.is_some());
            to.u32(links);
            to.u32(device(*major, *minor));
            attributes(to, head);
        }
        Kind::Fifo => {
            start(to, head, kind, head.attributes.is_some());
            to.u32(links);
            attributes(to, head);
        }
    }
}

fn start(to: &mut Stream, head: &Head, kind: &Kind, extended: bool) {
    put_head(to, head, basic_kind(kind) + if extended { EXTENDED } else { 0 });
}

fn put_head(to: &mut Stream, head: &Head, kind: u16) {
    to.u16(kind);
    to.u16(head.mode);
    to.u16(head.owners.0);
    to.u16(head.owners.1);
    to.u32(head.mtime);
    to.u32(head.number);
}

/// The last field of the small extended forms.
fn attributes(to: &mut Stream, head: &Head) {
    if let Some(number) = head.attributes {
        to.u32(number);
    }
}

/// As the kernel's `new_decode_dev` reads it: 12 bits and 20 bits, mixed.
fn device(major: u32, minor: u32) -> u32 {
    minor & 0xff | (major & 0xfff) << 8 | (minor & 0xfff00) << 12
}

fn file(to: &mut Stream, head: &Head, extent: &Extent, links: u32) {
    let basic = (u32::try_from(extent.start).ok()).zip(u32::try_from(extent.size).ok());
    let plain = links == 1 && head.attributes.is_none() && extent.holes.is_empty();
    match basic.filter(|_| plain) {
        Some((start, size)) => {
            put_head(to, head, 2);
            to.u32(start);
            to.u32(NONE);
            to.u32(0);
            to.u32(size);
        }
        None => {
            put_head(to, head, 2 + EXTENDED);
            to.u64(extent.start);
            to.u64(extent.size);
            to.u64(in_holes(extent));
            to.u32(links);
            to.u32(NONE);
            to.u32(0);
            to.u32(head.attributes.unwrap_or(NONE));
        }
    }
    blocks(extent).for_each(|length| to.u32(length));
}

/// Each block's length, 0 for one that is not stored.
fn blocks(extent: &Extent) -> impl Iterator<Item = u32> {
    let block = BLOCK as u64;
    let mut holes = extent.holes.iter().copied().peekable();
    (0..extent.size.div_ceil(block)).map(move |number| {
        while holes.next_if(|&(first, count)| first + count <= number).is_some() {}
        if holes.peek().is_some_and(|&(first, _)| first <= number) {
            return 0;
        }
        // At most a block's length: 17 bits.
        (extent.size - number * block).min(block) as u32 | UNCOMPRESSED
    })
}

fn directory(to: &mut Stream, head: &Head, folder: &Folder) {
    let Listing { place, size, indexes } = &folder.listing;
    let size = size.saturating_add(DOTS);
    let basic = u16::try_from(size).ok().filter(|_| indexes.is_empty());
    match basic.filter(|_| head.attributes.is_none()) {
        Some(size) => {
            put_head(to, head, 1);
            to.u32(place.block);
            to.u32(folder.links);
            to.u16(size);
            to.u16(place.offset);
            to.u32(folder.parent);
        }
        None => {
            // The count has 16 bits; a folder with more is only slower.
            let indexes = &indexes[..indexes.len().min(usize::from(u16::MAX))];
            put_head(to, head, 1 + EXTENDED);
            to.u32(folder.links);
            to.u32(size);
            to.u32(place.block);
            to.u32(folder.parent);
            to.u16(indexes.len() as u16);
            to.u16(place.offset);
            to.u32(head.attributes.unwrap_or(NONE));
            for index in indexes {
                to.u32(index.position);
                to.u32(index.block);
                to.u32(index.name.len() as u32 - 1);
                to.put(&index.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_twelve_bits_and_twenty() {
        assert_eq!(device(1, 3), 0x103);
        assert_eq!(device(0xabc, 0xd_ef12), 0xdef0_0000 | 0xa_bc12);
    }

    #[test]
    fn blocks_have_lengths_and_holes_none() {
        let full = BLOCK as u32 | UNCOMPRESSED;
        let of = |size, holes: &[(u64, u64)]| {
            blocks(&Extent { start: 0, size, holes: holes.to_vec() }).collect::<Vec<_>>()
        };
        let block = BLOCK as u64;
        assert!(of(0, &[]).is_empty());
        assert_eq!(of(1, &[]), [1 | UNCOMPRESSED]);
        assert_eq!(of(2 * block, &[]), [full, full]);
        assert_eq!(of(4 * block + 5, &[(0, 1), (2, 2)]), [0, full, 0, 0, 5 | UNCOMPRESSED]);
        assert_eq!(of(block + 5, &[(1, 1)]), [full, 0]);
    }

    #[test]
    fn what_lies_behind_four_gigabytes_or_is_as_long_takes_the_extended_form() {
        let head = || Head { mode: 0, owners: (0, 0), mtime: 0, number: 1, attributes: None };
        let form = |start, size, links| {
            let holes = vec![(0, size / BLOCK as u64 + 1)];
            let holes = if size > 1 << 20 { holes } else { Vec::new() };
            let mut to = Stream::default();
            file(&mut to, &head(), &Extent { start, size, holes }, links);
            let mut bytes = Vec::new();
            to.write(&mut bytes, 0).unwrap();
            (bytes[2], to.len())
        };
        assert_eq!(form(u64::from(u32::MAX), 10, 1), (2, 16 + 16 + 4));
        assert_eq!(form(1 << 32, 10, 1), (9, 16 + 40 + 4));
        assert_eq!(form(96, 10, 2), (9, 16 + 40 + 4), "a second name");
        assert_eq!(form(96, 5 << 30, 1), (9, 16 + 40 + 4 * (5 << 30) / BLOCK));
    }
}
