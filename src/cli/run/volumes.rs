//! `--volume`, `--mount` and `--port` as typed, and what they mean.

use std::path::{Path, PathBuf};

use stage1_builder::pipeline::{Error, MountSpec, VolumeKind, VolumeSpec};
use stage1_builder::vm::Forward;

/// `NAME,kind=host,source=FOLDER[,readOnly=BOOL][,recursive=BOOL]` or
/// `NAME,kind=empty[,mode=OCTAL][,uid=N][,gid=N]`
/// (<https://github.com/appc/spec/blob/master/spec/types.md>, volume type).
pub(super) fn volume(text: &str) -> Result<VolumeSpec, Error> {
    let wrong = |problem: String| Error::Usage {
        problem: format!("--volume={text}: {problem}"),
        hint: "--volume=NAME,kind=host,source=FOLDER[,readOnly=true], or \
               --volume=NAME,kind=empty[,mode=0755][,uid=0][,gid=0]"
            .to_owned(),
    };
    let (name, rest) = text.split_once(',').ok_or_else(|| wrong("no kind".to_owned()))?;
    if name.is_empty() || name.contains('=') {
        return Err(wrong("the name comes first".to_owned()));
    }
    let (mut kind, mut source, mut read_only) = (None, None, false);
    let (mut mode, mut uid, mut gid) = (0o755, 0, 0);
    for pair in rest.split(',') {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| wrong(format!("'{pair}' has no value")))?;
        let number = |radix| {
            u32::from_str_radix(value, radix).map_err(|_| wrong(format!("{key}: no number")))
        };
        let truth = || match value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(wrong(format!("{key} is true or false"))),
        };
        match key {
            "kind" => kind = Some(value),
            "source" => source = Some(PathBuf::from(value)),
            "readOnly" => read_only = truth()?,
            "recursive" => _ = truth()?,
            "mode" => mode = number(8)?,
            "uid" => uid = number(10)?,
            "gid" => gid = number(10)?,
            _ => return Err(wrong(format!("'{key}' is not known"))),
        }
    }
    let kind = match (kind, source) {
        (Some("host"), Some(source)) => VolumeKind::Host(host_folder(&source)?),
        (Some("host"), None) => return Err(wrong("no source".to_owned())),
        (Some("empty"), None) => VolumeKind::Empty { mode, uid, gid },
        (Some("empty"), Some(_)) => return Err(wrong("an empty volume has no source".to_owned())),
        (Some(kind), _) => return Err(wrong(format!("kind '{kind}' is not known"))),
        (None, _) => return Err(wrong("no kind".to_owned())),
    };
    Ok(VolumeSpec { name: name.to_owned(), kind, read_only })
}

fn host_folder(path: &Path) -> Result<PathBuf, Error> {
    let missing = |why: String| Error::Missing {
        what: "the volume's source",
        path: path.to_owned(),
        why,
        hint: "a volume is a folder that exists; make it, or correct source=".to_owned(),
    };
    let found = fs_err::canonicalize(path).map_err(|error| missing(error.to_string()))?;
    if found.is_dir() { Ok(found) } else { Err(missing("it is not a folder".to_owned())) }
}

/// `volume=NAME,target=FOLDER`, in any order.
pub(super) fn mount(text: &str) -> Result<MountSpec, Error> {
    let wrong = |problem: &str| Error::Usage {
        problem: format!("--mount={text}: {problem}"),
        hint: "--mount=volume=NAME,target=/FOLDER".to_owned(),
    };
    let (mut volume, mut target) = (None, None);
    for pair in text.split(',') {
        match pair.split_once('=') {
            Some(("volume", value)) => volume = Some(value.to_owned()),
            Some(("target", value)) => target = Some(value.to_owned()),
            _ => return Err(wrong("a mount has a volume and a target")),
        }
    }
    let volume = volume.ok_or_else(|| wrong("no volume"))?;
    let target = target.ok_or_else(|| wrong("no target"))?;
    if !target.starts_with('/') || target.trim_matches('/').is_empty() {
        return Err(wrong("the target is an absolute path, and not / itself"));
    }
    Ok(MountSpec { volume, target })
}

/// `[HOST:]GUEST[/tcp|/udp]`.
pub(super) fn port(text: &str) -> Result<Forward, Error> {
    let wrong = || Error::Usage {
        problem: format!("--port={text}: not a pair of ports"),
        hint: "--port=8080:80, --port=80, --port=5353:53/udp".to_owned(),
    };
    let (ports, tcp) = match text.rsplit_once('/') {
        Some((ports, "tcp")) => (ports, true),
        Some((ports, "udp")) => (ports, false),
        Some(_) => return Err(wrong()),
        None => (text, true),
    };
    let (host, guest) = ports.split_once(':').unwrap_or((ports, ports));
    let number = |text: &str| match text.parse() {
        Ok(0) | Err(_) => Err(wrong()),
        Ok(number) => Ok(number),
    };
    Ok(Forward { tcp, host: number(host)?, guest: number(guest)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_as_rkt_has_them() {
        let volume = |text: &str| volume(text).map_err(|error| error.to_string());
        let here = VolumeSpec {
            name: "here".to_owned(),
            kind: VolumeKind::Host(fs_err::canonicalize("/usr").unwrap()),
            read_only: false,
        };
        assert_eq!(volume("here,kind=host,source=/usr"), Ok(here.clone()));
        let read_only = VolumeSpec { read_only: true, ..here };
        assert_eq!(volume("here,source=/usr,kind=host,readOnly=true"), Ok(read_only));
        let empty = VolumeKind::Empty { mode: 0o1777, uid: 5, gid: 6 };
        assert_eq!(volume("t,kind=empty,mode=1777,uid=5,gid=6").unwrap().kind, empty);
        for (text, said) in [
            ("x", "no kind"),
            ("kind=host,source=/", "the name comes first"),
            ("x,kind=host", "no source"),
            ("x,kind=nfs,source=/", "kind 'nfs' is not known"),
            ("x,kind=empty,mode=9", "mode: no number"),
            ("x,kind=host,source=/,readOnly=yes", "readOnly is true or false"),
            ("x,kind=host,source=/no/such", "the volume's source /no/such"),
            ("x,kind=host,source=/etc/passwd", "not a folder"),
            ("x,kind=empty,size=3", "'size' is not known"),
        ] {
            let error = volume(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn mounts_and_ports() {
        let spec = mount("target=/src,volume=here").unwrap();
        assert_eq!((spec.volume.as_str(), spec.target.as_str()), ("here", "/src"));
        for wrong in ["", "volume=x", "target=/x", "volume=x,target=x", "volume=x,target=/"] {
            assert!(mount(wrong).is_err(), "{wrong}");
        }
        assert_eq!(port("8080:80").unwrap(), Forward { tcp: true, host: 8080, guest: 80 });
        assert_eq!(port("53/udp").unwrap(), Forward { tcp: false, host: 53, guest: 53 });
        for wrong in ["", "0", "x", "1:2:3", "80/sctp", "70000"] {
            assert!(port(wrong).is_err(), "{wrong}");
        }
    }
}
