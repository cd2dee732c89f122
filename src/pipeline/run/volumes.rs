//! Folders of the host, and where the container has them.

use std::collections::BTreeMap;

use crate::container::Process;
use crate::vm::{Mount, Share, Via, Volume};

use super::super::Error;
use super::request::{RunRequest, VolumeKind};

/// Bytes of one message of 9p. More saves round trips; the guest's kernel
/// takes memory for each in one piece, and old ones at most 512,000.
const MESSAGE: u32 = 256 << 10;

/// Folders of the host, as they are added.
pub(super) struct Shares {
    via: Via,
    list: Vec<Share>,
}

impl Shares {
    /// None yet; those that can't be written to will go this way.
    pub(super) fn new(via: Via) -> Self {
        Self { via, list: Vec::new() }
    }

    pub(super) fn into_list(self) -> Vec<Share> {
        self.list
    }

    /// What can't be written to may be cached at will; what can, as far as
    /// mmap needs it, and by QEMU alone: virtiofsd without a sandbox of its own
    /// takes names with slashes from the guest's kernel when it renames or
    /// removes, and would let a hostile one out of the folder.
    pub(super) fn add(&mut self, tag: &str, path: std::path::PathBuf, writable: bool) -> Mount {
        let via = if writable { Via::NineP } else { self.via.clone() };
        let cache = if writable { "mmap" } else { "loose" };
        let (kind, options) = match via {
            Via::NineP => {
                ("9p", format!("trans=virtio,version=9p2000.L,msize={MESSAGE},cache={cache}"))
            }
            Via::Virtiofs { .. } => ("virtiofs", String::new()),
        };
        self.list.push(Share { tag: tag.to_owned(), path, writable, via });
        Mount { kind: kind.to_owned(), source: tag.to_owned(), options, writable }
    }
}

/// Each mount of a volume; a volume that no mount names goes where the image
/// has a place of that name, as in rkt.
pub(super) fn volumes(
    request: &RunRequest,
    process: Option<&Process>,
    shares: &mut Shares,
) -> Result<Vec<Volume>, Error> {
    let mut mounts: Vec<(&str, &str, bool)> =
        request.mounts.iter().map(|mount| (&*mount.volume, &*mount.target, false)).collect();
    for volume in &request.volumes {
        let points = process.map(|process| process.mounts.as_slice()).unwrap_or_default();
        let point = points.iter().find(|point| point.name == volume.name);
        if let Some(point) = point {
            mounts.push((&volume.name, &point.path, point.read_only));
        } else if !request.mounts.iter().any(|mount| mount.volume == volume.name) {
            return Err(Error::Usage {
                problem: format!("the volume '{}' is mounted nowhere", volume.name),
                hint: format!("--mount=volume={},target=/FOLDER", volume.name),
            });
        }
    }
    // Whoever only reads gets no more than that, on the host's side, too.
    let is_written =
        |name: &str| mounts.iter().any(|(volume, _, read_only)| *volume == name && !read_only);
    let mut volumes = Vec::new();
    let mut shared: BTreeMap<&str, Mount> = BTreeMap::new();
    for &(name, target, read_only) in &mounts {
        let Some(volume) = request.volumes.iter().find(|volume| volume.name == name) else {
            return Err(Error::Usage {
                problem: format!("--mount names a volume '{name}' that is not there"),
                hint: format!("--volume={name},kind=host,source=FOLDER"),
            });
        };
        let read_only = read_only || volume.read_only;
        let (name, target) = (name.to_owned(), target.to_owned());
        volumes.push(match &volume.kind {
            VolumeKind::Empty { mode, uid, gid } => {
                Volume { name, target, mount: None, mode: *mode, uid: *uid, gid: *gid, read_only }
            }
            VolumeKind::Host(path) => {
                let writable = !volume.read_only && is_written(&volume.name);
                let tag = format!("volume{}", shared.len());
                let mount = shared
                    .entry(&volume.name)
                    .or_insert_with(|| shares.add(&tag, path.clone(), writable))
                    .clone();
                Volume { name, target, mount: Some(mount), read_only, ..Volume::default() }
            }
        });
    }
    // A volume below another one must come after it.
    volumes.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(volumes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::MountPoint;
    use crate::pipeline::{MountSpec, VolumeSpec};

    #[test]
    fn a_volume_goes_where_a_mount_or_the_image_says() {
        let point = MountPoint { name: "data".into(), path: "/d".into(), read_only: true };
        let image = Process { mounts: vec![point], ..Process::default() };
        let host = |name: &str| VolumeSpec {
            name: name.into(),
            kind: VolumeKind::Host("/h".into()),
            read_only: false,
        };
        let plan = |volumes: Vec<VolumeSpec>, mounts: &[(&str, &str)]| {
            let mount = |(volume, target): &(&str, &str)| MountSpec {
                volume: (*volume).to_owned(),
                target: (*target).to_owned(),
            };
            let mounts = mounts.iter().map(mount).collect();
            let mut shares = Shares::new(Via::NineP);
            let request = RunRequest { volumes, mounts, ..RunRequest::default() };
            super::volumes(&request, Some(&image), &mut shares)
                .map(|volumes| (volumes, shares.into_list()))
        };
        let (volumes, shares) = plan(vec![host("v")], &[("v", "/b/c"), ("v", "/b")]).unwrap();
        assert_eq!(shares.len(), 1, "one share, however often it is mounted");
        assert_eq!(volumes[0].target, "/b", "the folder before what is below it");
        let (volumes, shares) = plan(vec![host("data")], &[]).unwrap();
        assert!(volumes[0].target == "/d" && volumes[0].read_only, "where the image says");
        assert!(!shares[0].writable, "read-only in the guest is so on the host");
        assert!(plan(vec![host("v")], &[]).is_err(), "mounted nowhere");
        assert!(plan(vec![], &[("v", "/x")]).is_err(), "no such volume");
    }
}
