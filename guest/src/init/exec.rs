//! The one system call that makes a process the command.

use std::ffi::{CString, OsString, c_char, c_int};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::ptr;

#[expect(unsafe_code, reason = "the C library's own")]
unsafe extern "C" {
    fn execve(path: *const c_char, args: *const *const c_char, env: *const *const c_char) -> c_int;
}

/// Lets `process` end in `execve(2)` on this program, and in nothing else:
/// the standard library's `execvp(3)` hands what is no program to a shell,
/// which makes nonsense of another machine's binary.
pub(super) fn plainly(
    process: &mut Command,
    program: &Path,
    args: &[Vec<u8>],
    env: Vec<(OsString, OsString)>,
) -> io::Result<()> {
    let env = env.into_iter().map(|(name, value)| [name.into_vec(), value.into_vec()].join(&b'='));
    let call = Call {
        program: CString::new(program.as_os_str().as_bytes())?,
        args: Words::new(args.iter().cloned())?,
        env: Words::new(env)?,
    };
    // SAFETY: one system call, on values that were made before the fork.
    #[expect(unsafe_code, reason = "there is no other way to act between fork and exec")]
    unsafe {
        process.pre_exec(move || Err(call.execute()));
    }
    Ok(())
}

/// What the call takes.
struct Call {
    program: CString,
    args: Words,
    env: Words,
}

impl Call {
    /// Comes back only when the kernel refuses.
    #[expect(unsafe_code, reason = "a system call on pointers")]
    fn execute(&self) -> io::Error {
        let (args, env) = (self.args.pointers.as_ptr(), self.env.pointers.as_ptr());
        // SAFETY: both lists end in a null pointer, and `self` holds what
        // they point to.
        unsafe { execve(self.program.as_ptr(), args, env) };
        io::Error::last_os_error()
    }
}

/// Words, and the list of pointers to them that ends in none.
struct Words {
    pointers: Vec<*const c_char>,
    _words: Vec<CString>,
}

// SAFETY: the pointers lead to the words, which go with them and never change.
#[expect(unsafe_code, reason = "pointers are neither by themselves")]
unsafe impl Send for Words {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "pointers are neither by themselves")]
unsafe impl Sync for Words {}

impl Words {
    fn new(words: impl Iterator<Item = Vec<u8>>) -> io::Result<Self> {
        let words = words.map(CString::new).collect::<Result<Vec<_>, _>>()?;
        let pointers = words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
        Ok(Self { pointers, _words: words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    fn run(program: &str, args: &[&str]) -> io::Result<std::process::Output> {
        let mut process = Command::new(program);
        let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
        let env = vec![(OsStr::new("A").to_owned(), OsStr::new("b=c").to_owned())];
        plainly(&mut process, Path::new(program), &args, env)?;
        process.output()
    }

    /// One test: a second one that forks meanwhile would hold the file that
    /// is written here, and the kernel would call it busy.
    #[test]
    fn arguments_and_environment_arrive_and_what_is_no_program_is_given_to_no_shell() {
        let output = run("/bin/sh", &["own name", "-c", "echo \"$0 $1\"; env", "zero", "one"]);
        let output = String::from_utf8(output.unwrap().stdout).unwrap();
        assert!(output.starts_with("zero one\n") && output.contains("A=b=c\n"), "{output}");
        assert!(!output.contains("PATH="), "{output}");
        let path = std::env::temp_dir().join(format!("s1b-exec-{}", std::process::id()));
        std::fs::write(&path, "exit 0\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
        let error = run(path.to_str().unwrap(), &["x"]).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        // ENOEXEC
        assert_eq!(error.raw_os_error(), Some(8));
        assert!(run("/bin/true", &["a\0b"]).is_err());
    }
}
