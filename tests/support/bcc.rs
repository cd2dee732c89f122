//! BPF programs compiled by bcc against an image's headers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use fs_err as fs;
use stage1_builder::proc::Program;
use stage1_builder::settings::Series;

/// Debian's own: the module belongs to no other Python.
const PYTHON: &str = "/usr/bin/python3";

/// Compiles the file in argv[1], with the arguments behind it, and says how
/// many instructions its function `program` has. The name is none that bcc attaches by itself and there is
/// no map, so that nothing is loaded: no rights are needed, and the running
/// kernel plays no part.
const COMPILE: &str = "import sys; from bcc import BPF\n\
                       text = open(sys.argv[1]).read()\n\
                       print(len(BPF(text=text, cflags=sys.argv[2:]).dump_func('program')) // 8)";

const FIELDS: &str = r"
#include <linux/sched.h>
int program(void *context)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	return task->tgid + task->real_parent->pid + task->start_time;
}
";

const REGISTERS: &str = r"
#include <linux/ptrace.h>
#include <linux/fs.h>
int program(struct pt_regs *context, struct file *file)
{
	return PT_REGS_IP(context) + PT_REGS_PARM3(context) + file->f_inode->i_ino;
}
";

const USER_API: &str = r"
#include <uapi/linux/ptrace.h>
#include <generated/utsrelease.h>
#include <generated/autoconf.h>
#include <linux/version.h>
_Static_assert(__builtin_strcmp(UTS_RELEASE, S1B_RELEASE) == 0, UTS_RELEASE);
_Static_assert(CONFIG_BPF_SYSCALL, S1B_RELEASE);
int program(struct pt_regs *context)
{
	return PT_REGS_PARM1(context) + LINUX_VERSION_CODE;
}
";

const SOCKETS: &str = r"
#include <net/sock.h>
int program(struct pt_regs *context, struct sock *sock)
{
	return sock->sk_rcvbuf + sock->__sk_common.skc_dport;
}
";

/// bcc 0.26 puts a bpf.h of its own, of about 6.1, before the kernel's; from
/// 6.2 on include/linux/bpf.h takes the sizes of types that are not in it,
/// with any headers.
const SOCKETS_UNTIL: Series = Series { major: 6, minor: 1 };

/// From here on the kernel compiles itself with `-fms-extensions` (its structs
/// have unnamed members of a named type), and so must bcc, which does not yet.
const DIALECT_SINCE: Series = Series { major: 6, minor: 19 };

/// Why bcc can't be used on this host.
pub(crate) fn lacks_bcc() -> Option<String> {
    let import = Program::new(PYTHON).args(["-c", "import bcc"]).run();
    import.err().map(|error| format!("python3-bpfcc: {error}"))
}

/// Compiles each program against the headers in `modules`, which belong to
/// the kernel that calls itself `release`.
pub(crate) fn compiles(modules: &Path, release: &str, folder: &Path) {
    let mut programs = vec![("fields", FIELDS), ("registers", REGISTERS), ("user-api", USER_API)];
    if series(release) <= SOCKETS_UNTIL {
        programs.push(("sockets", SOCKETS));
    }
    let dialect = (series(release) >= DIALECT_SINCE).then_some("-fms-extensions");
    let compile = |release: &str, text: &str| {
        let path = folder.join("program.c");
        fs::write(&path, format!("#define S1B_RELEASE \"{release}\"\n{text}")).unwrap();
        compile(&path, dialect, &modules.join("source"))
    };
    for (name, text) in programs {
        let instructions = compile(release, text);
        let instructions = instructions.unwrap_or_else(|said| panic!("{release} {name}: {said}"));
        assert!(instructions > 2, "{release} {name}: {instructions} instructions");
    }
    // It is this image's release that the headers tell.
    let said = compile("6.99.1-other", USER_API).unwrap_err();
    assert!(said.contains("static_assert failed") && said.contains(release), "{said}");
}

fn series(release: &str) -> Series {
    let numbers: Vec<&str> = release.split(['.', '-']).take(2).collect();
    numbers.join(".").parse().unwrap()
}

fn compile(program: &Path, dialect: Option<&str>, headers: &Path) -> Result<u64, String> {
    let python = Program::new(PYTHON).args(["-c", COMPILE]).arg(program).args(dialect);
    let output = python.env("BCC_KERNEL_SOURCE", headers).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { said.parse().map_err(|_| said) } else { Err(output.stderr) }
}
