//! The kernel proper, out of its bzImage.
//!
//! A bzImage unpacks itself before it starts, in the guest, by emulation if
//! need be. From 5.0 on a kernel has an entry (PVH) by which QEMU can start
//! what is packed in it at once; so it is unpacked once and for all, out here.

use std::io::Read;

use crate::content::is_arm64;
use crate::source::decompress;

/// The longest kernel that is believed, in bytes, unpacked.
const MOST: u64 = 1 << 30;
/// The magic number of the LZ4 that kernels use, the "legacy" frame.
const LZ4: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
/// Most bytes that one block of it holds, unpacked.
const LZ4_BLOCK: usize = 8 << 20;
/// The note of a PVH entry (`XEN_ELFNOTE_PHYS32_ENTRY` in
/// `include/xen/interface/elfnote.h`).
const PVH_NOTE: u32 = 18;
const PT_NOTE: u32 = 4;

/// The kernel in a bzImage, if QEMU can start it as it is. `None` for what
/// is no bzImage, has no PVH entry, or is packed in a way that is not known.
#[must_use]
pub fn uncompressed(image: &[u8]) -> Option<Vec<u8>> {
    kernel_proper(image).filter(|kernel| has_pvh_entry(kernel))
}

/// The kernel proper of a bzImage, whether or not it boots by itself; `None`
/// if it is packed in a way that is not known. An Image of arm64 is one.
#[must_use]
pub fn kernel_proper(image: &[u8]) -> Option<Vec<u8>> {
    if is_arm64(image) { Some(image.to_vec()) } else { unpack(payload(image)?) }
}

/// `Documentation/arch/x86/boot.rst`: `setup_sects` at 0x1f1, `HdrS` at
/// 0x202, the protocol's version at 0x206, and from 2.08 on the payload's
/// place at 0x248, counted from behind the setup's sectors.
fn payload(image: &[u8]) -> Option<&[u8]> {
    if image.get(0x202..0x206)? != b"HdrS" || half(image, 0x206)? < 0x0208 {
        return None;
    }
    let sectors = match image[0x1f1] {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = ((sectors + 1) * 512).checked_add(word(image, 0x248)? as usize)?;
    image.get(start..start.checked_add(word(image, 0x24c)? as usize)?)
}

/// Every packed kernel ends with the length that it has unpacked (gzip's own
/// trailer, or what `scripts/Makefile.lib` appends). No more is unpacked than
/// that, or than a kernel can have.
fn unpack(payload: &[u8]) -> Option<Vec<u8>> {
    let length = word(payload, payload.len().checked_sub(4)?)?;
    if u64::from(length) > MOST {
        return None;
    }
    let kernel = match payload.strip_prefix(&LZ4) {
        Some(blocks) => unpack_lz4(blocks, length as usize)?,
        None => {
            let (_, plain) = decompress::decoder(std::io::Cursor::new(payload.to_vec())).ok()?;
            let mut kernel = Vec::new();
            // Some decoders take the length for damage, when all is done.
            _ = plain.take(u64::from(length) + 1).read_to_end(&mut kernel);
            kernel
        }
    };
    (kernel.len() == length as usize).then_some(kernel)
}

/// Blocks with their lengths before them; four bytes are left at the end.
fn unpack_lz4(mut blocks: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut kernel = Vec::new();
    let mut plain = vec![0; LZ4_BLOCK];
    while blocks.len() > 4 {
        let length = word(blocks, 0)? as usize;
        let block = blocks.get(4..4_usize.checked_add(length)?)?;
        let count = lz4_flex::block::decompress_into(block, &mut plain).ok()?;
        if kernel.len() + count > most {
            return None;
        }
        kernel.extend_from_slice(&plain[..count]);
        blocks = &blocks[4 + length..];
    }
    Some(kernel)
}

/// Whether an ELF file (of 64 bits, little-endian) has the note.
pub(super) fn has_pvh_entry(elf: &[u8]) -> bool {
    let headers = || -> Option<(usize, usize, usize)> {
        if elf.get(..6)? != b"\x7fELF\x02\x01" {
            return None;
        }
        let offset = usize::try_from(long(elf, 32)?).ok()?;
        Some((offset, usize::from(half(elf, 54)?), usize::from(half(elf, 56)?)))
    };
    let Some((table, size, count)) = headers() else { return false };
    (0..count).any(|index| {
        let note = || -> Option<bool> {
            let at = table.checked_add(index * size)?;
            if word(elf, at)? != PT_NOTE {
                return Some(false);
            }
            let start = usize::try_from(long(elf, at + 8)?).ok()?;
            let length = usize::try_from(long(elf, at + 32)?).ok()?;
            Some(notes_have_it(elf.get(start..start.checked_add(length)?)?))
        };
        note().unwrap_or(false)
    })
}

/// Notes: lengths of name and content, type, then both, padded to four.
fn notes_have_it(mut notes: &[u8]) -> bool {
    let next = |notes: &[u8]| -> Option<(bool, usize)> {
        let (name, content) = (word(notes, 0)? as usize, word(notes, 4)? as usize);
        let found = word(notes, 8)? == PVH_NOTE && notes.get(12..16)? == b"Xen\0";
        let length = 12 + name.next_multiple_of(4) + content.next_multiple_of(4);
        Some((found, length))
    };
    while let Some((found, length)) = next(notes) {
        if found {
            return true;
        }
        let Some(rest) = notes.get(length..) else { return false };
        notes = rest;
    }
    false
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An ELF file of one header, whose notes these are.
    fn elf(notes: &[u8]) -> Vec<u8> {
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(64, 0);
        elf[32..40].copy_from_slice(&64_u64.to_le_bytes());
        elf[54..56].copy_from_slice(&56_u16.to_le_bytes());
        elf[56..58].copy_from_slice(&1_u16.to_le_bytes());
        elf.extend_from_slice(&PT_NOTE.to_le_bytes());
        elf.resize(64 + 56, 0);
        elf[72..80].copy_from_slice(&120_u64.to_le_bytes());
        elf[96..104].copy_from_slice(&(notes.len() as u64).to_le_bytes());
        elf.extend_from_slice(notes);
        elf
    }

    fn note(kind: u32) -> Vec<u8> {
        let words = [4_u32, 8, kind].map(u32::to_le_bytes).concat();
        [words.as_slice(), b"Xen\0", &[0; 8]].concat()
    }

    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend_from_slice(payload);
        image
    }

    fn lz4(bytes: &[u8]) -> Vec<u8> {
        // One sequence of literals only (the block format's last sequence).
        let mut block = vec![0xf0];
        let mut rest = bytes.len() - 15;
        while rest >= 255 {
            block.push(255);
            rest -= 255;
        }
        block.push(rest as u8);
        block.extend_from_slice(bytes);
        let length = (block.len() as u32).to_le_bytes();
        let size = (bytes.len() as u32).to_le_bytes();
        [LZ4.as_slice(), &length, &block, &size].concat()
    }

    #[test]
    fn a_kernel_with_the_entry_is_unpacked() {
        let kernel = elf(&[note(1), note(PVH_NOTE)].concat());
        assert_eq!(uncompressed(&image(&lz4(&kernel))), Some(kernel));
    }

    #[test]
    fn a_kernel_without_it_is_left_alone() {
        assert_eq!(uncompressed(&image(&lz4(&elf(&note(1))))), None);
        assert_eq!(uncompressed(&image(b"not packed at all")), None);
        assert_eq!(uncompressed(b"MZ"), None);
    }

    #[test]
    fn no_more_is_unpacked_than_the_image_says() {
        let kernel = elf(&note(PVH_NOTE));
        let mut packed = lz4(&kernel);
        let block = packed[4..packed.len() - 4].to_vec();
        packed.splice(4..4, block.repeat(3));
        let at = packed.len() - 4;
        assert_eq!(kernel_proper(&image(&packed)), None);
        packed[at..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(kernel_proper(&image(&packed)), None);
        packed[at..].copy_from_slice(&(4 * kernel.len() as u32).to_le_bytes());
        assert_eq!(kernel_proper(&image(&packed)), Some(kernel.repeat(4)));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(uncompressed(&bytes), None);
            prop_assert_eq!(uncompressed(&image(&bytes)), None);
            let _ = has_pvh_entry(&elf(&bytes));
        }
    }
}
