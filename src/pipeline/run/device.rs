//! Whether all files below a folder are of one file system.

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::statfs;

/// File systems of which each has one device number (`linux/magic.h`): ext2 to
/// ext4, XFS, tmpfs, F2FS. A subvolume of btrfs has a number of its own.
const PLAIN: [i64; 4] = [0xef53, 0x5846_5342, 0x0102_1994, 0xf2f5_2010];

/// Whether they are, for sure. If so, a guest can have the files' own inode
/// numbers, by which git knows that a file is as it was.
pub(super) fn is_one(folder: &Path) -> bool {
    let plain = statfs(folder).is_ok_and(|found| PLAIN.contains(&found.f_type));
    let mounts = fs_err::read_to_string("/proc/self/mountinfo");
    plain && mounts.is_ok_and(|mounts| !mount_points(&mounts).any(|point| is_below(&point, folder)))
}

fn is_below(point: &Path, folder: &Path) -> bool {
    point != folder && point.starts_with(folder)
}

/// The fifth field of each line (proc(5)).
fn mount_points(mountinfo: &str) -> impl Iterator<Item = PathBuf> {
    mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped)
}

/// Blanks, tabs, line ends and backslashes are octal there.
fn unescaped(field: &str) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), field.as_bytes());
    while let [first, tail @ ..] = rest {
        let code = tail.get(..3).filter(|_| *first == b'\\');
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
31 22 254:1 / /srv/my\\040disk rw - ext4 /dev/vdb rw
";

    #[test]
    fn a_mount_below_the_folder_is_found() {
        let points: Vec<_> = mount_points(MOUNTINFO).collect();
        let below = |folder: &str| points.iter().any(|point| is_below(point, Path::new(folder)));
        assert!(below("/") && below("/srv"));
        assert!(!below("/srv/my disk") && !below("/srv/my") && !below("/home"));
    }

    #[test]
    fn proc_is_not_plain() {
        assert!(!is_one(Path::new("/proc/self")));
    }
}
