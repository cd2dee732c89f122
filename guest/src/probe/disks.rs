//! The smallest file systems that kernels mount, written by hand: an empty
//! folder each. A guest has no mkfs.

/// The image of a file system of this kind.
pub(super) fn image(kind: &str) -> Option<Vec<u8>> {
    match kind {
        "erofs" => Some(erofs()),
        "ext4" => Some(ext4()),
        "iso9660" => Some(iso9660()),
        "vfat" => Some(vfat()),
        _ => None,
    }
}

/// Little-endian numbers of two and four bytes at their offsets.
struct Image(Vec<u8>);

impl Image {
    fn new(size: usize) -> Self {
        Self(vec![0; size])
    }

    fn bytes(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn halves(&mut self, values: &[(usize, u16)]) {
        for (at, value) in values {
            self.bytes(*at, &value.to_le_bytes());
        }
    }

    fn words(&mut self, values: &[(usize, u32)]) {
        for (at, value) in values {
            self.bytes(*at, &value.to_le_bytes());
        }
    }

    /// Both byte orders behind each other, as ISO 9660 has numbers.
    fn both(&mut self, at: usize, value: u32) {
        self.bytes(at, &value.to_le_bytes());
        self.bytes(at + 4, &value.to_be_bytes());
    }
}

/// Blocks of 1 KiB: superblock (1), group (2), bitmaps (3, 4), sixteen inodes
/// (5, 6), the root's entries (7). No journal, no extents: as ext2 had it,
/// which the driver mounts as its own (`Documentation/filesystems/ext4/`).
fn ext4() -> Vec<u8> {
    const BLOCK: usize = 1024;
    const BLOCKS: u32 = 64;
    let mut image = Image::new(BLOCKS as usize * BLOCK);
    let (sb, group, root) = (BLOCK, 2 * BLOCK, 5 * BLOCK + 128);
    let words = [
        (0, 16),     // inodes
        (4, BLOCKS), // blocks
        (12, 56),    // free blocks
        (16, 6),     // free inodes
        (20, 1),     // the first block
        (32, 8192),  // blocks in a group
        (36, 8192),  // clusters in a group
        (40, 16),    // inodes in a group
        (76, 1),     // revision
        (84, 11),    // the first inode that is not reserved
        (96, 2),     // entries have a type
    ];
    image.words(&words.map(|(at, value)| (sb + at, value)));
    // Never checked, magic, clean, go on after errors, bytes of an inode.
    let halves = [(54, 0xffff), (56, 0xef53), (58, 1), (60, 1), (88, 128)];
    image.halves(&halves.map(|(at, value)| (sb + at, value)));
    image.words(&[(group, 3), (group + 4, 4), (group + 8, 5)]);
    image.halves(&[(group + 12, 56), (group + 14, 6), (group + 16, 1)]);
    // Blocks 1 to 7 and inodes 1 to 10 are taken, and all that is not there.
    image.bytes(3 * BLOCK, &[0xff; BLOCK]);
    image.bytes(3 * BLOCK, &[0x7f, 0, 0, 0, 0, 0, 0, 0x80]);
    image.bytes(4 * BLOCK, &[0xff; BLOCK]);
    image.bytes(4 * BLOCK, &[0xff, 0x03]);
    image.halves(&[(root, 0o40755), (root + 26, 2)]);
    image.words(&[(root + 4, 1024), (root + 28, 2), (root + 40, 7)]);
    let entries = 7 * BLOCK;
    image.words(&[(entries, 2), (entries + 12, 2)]);
    image.bytes(entries + 4, &[12, 0, 1, 2, b'.']);
    image.bytes(entries + 16, &[0xf4, 0x03, 2, 2, b'.', b'.']);
    image.0
}

/// FAT12 of 64 KiB: boot sector, one table, sixteen entries of the root
/// (Microsoft's FAT specification 1.03).
fn vfat() -> Vec<u8> {
    let mut image = Image::new(128 * 512);
    image.bytes(0, b"\xeb\x3c\x90s1b     ");
    // Bytes of a sector, reserved sectors, entries, sectors, of the table.
    image.halves(&[(11, 512), (14, 1), (17, 16), (19, 128), (22, 1)]);
    image.bytes(13, &[1]);
    image.bytes(16, &[1]);
    image.bytes(21, &[0xf8]);
    image.bytes(510, &[0x55, 0xaa]);
    image.bytes(512, &[0xf8, 0xff, 0xff]);
    image.0
}

/// Sectors of 2 KiB: the descriptor (16), its end (17), the root (18)
/// (ECMA-119).
fn iso9660() -> Vec<u8> {
    const SECTOR: usize = 2048;
    let mut image = Image::new(20 * SECTOR);
    let primary = 16 * SECTOR;
    image.bytes(primary, b"\x01CD001\x01");
    image.both(primary + 80, 20);
    for at in [120, 124] {
        image.bytes(primary + at, &[1, 0, 0, 1]);
    }
    image.bytes(primary + 128, &[0x00, 0x08, 0x08, 0x00]);
    image.bytes(17 * SECTOR, b"\xffCD001\x01");
    // The root's record, here and twice in itself: `.` and `..`.
    for (at, name) in [(primary + 156, 0), (18 * SECTOR, 0), (18 * SECTOR + 34, 1)] {
        image.bytes(at, &[34]);
        image.both(at + 2, 18);
        image.both(at + 10, SECTOR as u32);
        image.bytes(at + 25, &[2]);
        image.bytes(at + 28, &[1, 0, 0, 1, 1, name]);
    }
    image.0
}

/// Blocks of 4 KiB: the superblock in the first, the root's inode in the
/// second with its entries behind it (`Documentation/filesystems/erofs.rst`).
fn erofs() -> Vec<u8> {
    const BLOCK: usize = 4096;
    let mut image = Image::new(2 * BLOCK);
    let sb = 1024;
    // Magic, blocks, where inodes begin.
    image.words(&[(sb, 0xe0f5_e1e2), (sb + 36, 2), (sb + 40, 1)]);
    image.bytes(sb + 12, &[12]);
    // The root's number: it counts places of 32 bytes.
    image.halves(&[(sb + 14, 1)]);
    image.words(&[(sb + 16, 1)]);
    let root = BLOCK + 32;
    // Compact, data behind it; mode, links, size.
    image.halves(&[(root, 2 << 1), (root + 4, 0o40755), (root + 6, 2)]);
    image.words(&[(root + 8, 27), (root + 20, 1)]);
    for (index, name) in [24, 25].into_iter().enumerate() {
        let entry = root + 32 + 12 * index;
        image.words(&[(entry, 1)]);
        image.halves(&[(entry + 8, name)]);
        image.bytes(entry + 10, &[2]);
    }
    image.bytes(root + 32 + 24, b"...");
    image.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What tells each of them, where the kernel looks for it.
    #[test]
    fn every_image_has_its_magic() {
        let at = |kind: &str, place: usize, magic: &[u8]| {
            let image = image(kind).unwrap();
            assert_eq!(&image[place..place + magic.len()], magic, "{kind}");
            assert_eq!(image.len() % 512, 0, "{kind}");
        };
        at("ext4", 1024 + 56, &[0x53, 0xef]);
        at("vfat", 510, &[0x55, 0xaa]);
        at("iso9660", 16 * 2048 + 1, b"CD001");
        at("erofs", 1024, &[0xe2, 0xe1, 0xf5, 0xe0]);
        assert_eq!(image("xfs"), None);
    }
}
