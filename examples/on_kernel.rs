//! Runs a command of the host's own root filesystem on a kernel file:
//!
//! ```text
//! cargo run --example on_kernel -- ./bzImage uname -r
//! ```
#![expect(clippy::print_stderr, reason = "an example talks to people")]

use std::process::ExitCode;

use stage1_builder::vm::{
    Accel, Command, Kernel, Limits, Machine, MachineKind, Mount, Orders, RunFolder, Share, Streams,
    Via, run,
};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let kernel = args.next().ok_or("which kernel file?")?;
    let command = Command {
        args: args.map(String::into_bytes).collect(),
        env: std::env::var("PATH")
            .map(|path| format!("PATH={path}").into_bytes())
            .into_iter()
            .collect(),
        ..Command::default()
    };
    let machine = Machine {
        qemu: "qemu-system-x86_64".to_owned(),
        accel: Accel::Tcg,
        kind: MachineKind::Q35,
        memory: 512,
        cpus: 1,
        kernel: Kernel {
            file: kernel.into(),
            release: None,
            virtio_console: true,
            virtiofs: false,
        },
        shares: vec![Share {
            tag: "root".to_owned(),
            path: "/".into(),
            writable: false,
            via: Via::NineP,
        }],
        disks: Vec::new(),
        network: None,
        gdb: None,
        qemu_args: Vec::new(),
        kernel_args: Vec::new(),
        modules: Vec::new(),
        orders: Orders {
            root: Mount {
                kind: "9p".to_owned(),
                source: "root".to_owned(),
                options: "trans=virtio,version=9p2000.L,msize=131072,cache=loose".to_owned(),
                writable: false,
            },
            writable_root: true,
            command,
            ..Orders::default()
        },
        limits: Limits::default(),
    };
    let folder = RunFolder::create()?;
    let mut streams = Streams {
        stdin: Some(Box::new(std::io::stdin())),
        stdout: Some(Box::new(std::io::stdout())),
        stderr: Some(Box::new(std::io::stderr())),
        ..Streams::default()
    };
    let outcome = run(&machine, &folder, &mut streams)?;
    if outcome.boot.is_none() {
        eprintln!("{:?}\n{}", outcome.end, outcome.console);
    }
    Ok(ExitCode::from(outcome.end.exit_code()))
}
