//! From what was typed to what was meant.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use stage1_builder::container::{KernelImage, PullPolicy};
use stage1_builder::pipeline::{Error, ForeignKernel, KernelChoice, RunRequest, ShareKind};
use stage1_builder::settings::{KernelRequest, Key, Settings, Sources};
use stage1_builder::vm::{Forward, Limits, MachineKind};

use super::super::args::Global;
use super::args::{BoardChoice, InsecureOption, Pull, Run, ShareChoice};
use super::{on_a_terminal, terminal, volumes};

/// The settings and the request that the arguments mean together.
pub(super) fn meant(global: &Global, run: &Run) -> Result<(Settings, RunRequest), Error> {
    let (kernel, version) = kernel(run)?;
    let version = version.map(|version| (Key::KernelVersion, version));
    let arch = run.arch.clone().map(|arch| (Key::Arch, arch));
    let flags = version.into_iter().chain(arch).collect();
    let settings = Settings::load(&Sources::from_host(&global.project_dir, flags)?)?;
    let insecure: BTreeSet<_> = run.insecure_options.iter().map(|option| *option as u8).collect();
    let skips = |options: &[InsecureOption]| {
        options.iter().any(|option| insecure.contains(&(*option as u8)))
    };
    let host_env: Vec<_> =
        std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect();
    let request = RunRequest {
        kernel,
        image: image(run)?,
        exec: run.exec.clone().map(OsString::into_vec),
        args: run.command.iter().map(|word| word.as_bytes().to_vec()).collect(),
        env: run.environment.iter().map(|word| variable(word)).collect::<Result<_, _>>()?,
        host_env,
        inherit_env: run.inherit_env,
        user: run.user.clone(),
        group: run.group.clone(),
        working_dir: working_dir(run)?,
        hostname: run.hostname.clone(),
        dns: run.dns.clone(),
        volumes: run.volume.iter().map(|text| volumes::volume(text)).collect::<Result<_, _>>()?,
        mounts: run.mount.iter().map(|text| volumes::mount(text)).collect::<Result<_, _>>()?,
        network: network(run)?,
        memory: run.memory,
        cpus: run.cpu,
        read_only_root: run.readonly_rootfs,
        terminal: (run.interactive || on_a_terminal())
            .then(|| terminal::size().unwrap_or((24, 80))),
        accel: run.accel.meant(),
        board: match run.machine {
            BoardChoice::Auto => None,
            BoardChoice::Q35 => Some(MachineKind::Q35),
            BoardChoice::Microvm => Some(MachineKind::Microvm),
        },
        qemu: run.qemu.clone(),
        qemu_args: run.qemu_arg.clone(),
        kernel_args: run.kernel_arg.clone(),
        gdb: run.gdb,
        limits: Limits { hello: run.boot_timeout, boot: run.boot_timeout, command: run.timeout },
        share: match run.share {
            ShareChoice::Auto => None,
            ShareChoice::NineP => Some(ShareKind::NineP),
            ShareChoice::Virtiofs => Some(ShareKind::Virtiofs),
        },
        virtiofsd: run.virtiofsd.clone(),
        keep: run.keep,
        pull: match run.pull_policy {
            Pull::Never => PullPolicy::Never,
            Pull::New => PullPolicy::New,
            Pull::Update => PullPolicy::Update,
        },
        insecure_http: skips(&[
            InsecureOption::Http,
            InsecureOption::AllFetch,
            InsecureOption::All,
        ]),
        insecure_tls: skips(&[InsecureOption::Tls, InsecureOption::AllFetch, InsecureOption::All]),
        uuid_file: run.uuid_file_save.clone(),
        refresh: false,
    };
    Ok((settings, request))
}

/// Which kernel, and the version if it is one to be built.
fn kernel(run: &Run) -> Result<(KernelChoice, Option<String>), Error> {
    if let Some(name) = &run.stage1_name {
        return Ok((named(name)?, None));
    }
    if let Some(path) = &run.stage1_path {
        return Ok((KernelChoice::Image(path.clone()), None));
    }
    if let Some(id) = &run.stage1_hash {
        return Ok((KernelChoice::Id(id.clone()), None));
    }
    let Some(text) = &run.kernel else { return Ok((KernelChoice::Settings, None)) };
    if text.starts_with("debian:") {
        let request = text.parse().map_err(|problem| Error::Usage {
            problem: format!("--kernel={text}: {problem}"),
            hint: "--kernel=debian:6.1, or what `apt-cache policy linux-image-amd64` lists"
                .to_owned(),
        })?;
        let kernel = KernelChoice::Foreign(ForeignKernel::Debian(request));
        return Ok((kernel, None));
    }
    if text.parse::<KernelRequest>().is_ok() {
        return Ok((KernelChoice::Settings, Some(text.clone())));
    }
    if text.contains('/') || Path::new(text).exists() {
        let path = PathBuf::from(text);
        let image = KernelImage::is_at(&path);
        let kernel = if image { KernelChoice::Image } else { KernelChoice::File };
        return Ok((kernel(path), None));
    }
    Err(Error::Usage {
        problem: format!("--kernel={text}: neither a version nor a file"),
        hint: "--kernel=6.12, --kernel=4.9.229, --kernel=debian:6.1, --kernel=./bzImage".to_owned(),
    })
}

/// `NAME[:VERSION][,LABEL=VALUE...]` as appc writes it; the version is a label.
fn named(text: &str) -> Result<KernelChoice, Error> {
    let mut parts = text.split(',');
    let name = parts.next().unwrap_or_default();
    let mut labels = BTreeMap::new();
    let name = match name.rsplit_once(':') {
        Some((name, version)) => {
            labels.insert("version".to_owned(), version.to_owned());
            name
        }
        None => name,
    };
    for part in parts {
        let Some((label, value)) = part.split_once('=') else {
            return Err(Error::Usage {
                problem: format!("--stage1-name={text}: '{part}' is no label"),
                hint: "--stage1-name=NAME:VERSION,kernelversion=6.12.1".to_owned(),
            });
        };
        labels.insert(label.to_owned(), value.to_owned());
    }
    Ok(KernelChoice::Named { name: name.to_owned(), labels })
}

/// rkt's way to give several images is refused: a machine has one.
fn image(run: &Run) -> Result<Option<String>, Error> {
    if run.command.iter().any(|word| word == "---") {
        return Err(Error::Usage {
            problem: "there is one image in a machine, and `---` begins another".to_owned(),
            hint: "run each in a machine of its own".to_owned(),
        });
    }
    Ok(run.image.clone())
}

fn variable(text: &OsStr) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let bytes = text.as_bytes();
    match bytes.iter().position(|&byte| byte == b'=') {
        Some(at) if at > 0 => Ok((bytes[..at].to_vec(), bytes[at + 1..].to_vec())),
        _ => Err(Error::Usage {
            problem: format!("--environment={}: no NAME=VALUE", text.display()),
            hint: "--environment=NAME=VALUE".to_owned(),
        }),
    }
}

/// Without an image, the command runs where it was called: the root is the
/// host's own.
fn working_dir(run: &Run) -> Result<Option<String>, Error> {
    if run.working_dir.is_some() || run.image.is_some() {
        return Ok(run.working_dir.clone());
    }
    let here = std::env::current_dir().map_err(|error| Error::Missing {
        what: "the current folder",
        path: ".".into(),
        why: error.to_string(),
        hint: "go to a folder that exists, or give --working-dir".to_owned(),
    })?;
    Ok(Some(here.to_string_lossy().into_owned()))
}

fn network(run: &Run) -> Result<Option<Vec<Forward>>, Error> {
    let ports = run.port.iter().map(|text| volumes::port(text)).collect::<Result<Vec<_>, _>>()?;
    match run.net.as_deref() {
        None if ports.is_empty() => Ok(None),
        Some("none") if ports.is_empty() => Ok(None),
        None | Some("default" | "host") => Ok(Some(ports)),
        Some("none") => Err(Error::Usage {
            problem: "--port needs a network, and --net=none says that there is none".to_owned(),
            hint: "leave --net=none out".to_owned(),
        }),
        Some(other) => Err(Error::Usage {
            problem: format!("--net={other}: there are no other networks than QEMU's own"),
            hint: "--net, --net=none".to_owned(),
        }),
    }
}
