//! A small system for containers, of Debian's files.

use fs_err as fs;

use super::oci::{Layer, header};

const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\napp:x:1001:1002::/home/app:/bin/sh\n";
const GROUP: &[u8] = b"root:x:0:\napp:x:1002:\ndisk:x:6:app\n";
const APPLETS: [&str; 8] = ["cat", "env", "grep", "id", "printf", "sort", "tee", "touch"];
const LIBRARIES: &str = "lib/x86_64-linux-gnu";

/// dash on Debian's C library, and busybox for all the rest, below `root`
/// (empty, or a path that ends in a slash).
pub(crate) fn system(mut layer: Layer, root: &str) -> Layer {
    for folder in ["bin", "lib64", "lib", LIBRARIES, "etc", "data"] {
        layer = layer.dir(&format!("{root}{folder}"));
    }
    for (name, file) in [
        ("bin/sh", "/bin/dash"),
        ("bin/busybox", "/bin/busybox"),
        ("lib64/ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2"),
        ("lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6"),
    ] {
        layer = program(layer, &format!("{root}{name}"), file);
    }
    for applet in APPLETS {
        layer = layer.link(b'2', &format!("{root}bin/{applet}"), "busybox");
    }
    layer.file(&format!("{root}etc/passwd"), PASSWD).file(&format!("{root}etc/group"), GROUP)
}

/// A C compiler that needs nothing but what is here: no headers, so that
/// those of the kernel come from the kernel.
pub(crate) fn compiler(mut layer: Layer) -> Layer {
    for library in ["libm.so.6", "libpthread.so.0", "libdl.so.2"] {
        let name = format!("{LIBRARIES}/{library}");
        layer = program(layer, &name, &format!("/{name}"));
    }
    const OWN: &str = "usr/lib/x86_64-linux-gnu";
    layer = layer.dir(OWN).link(b'2', &format!("{OWN}/libc.so"), "/lib/x86_64-linux-gnu/libc.so.6");
    for name in ["bin/tcc", "lib/x86_64-linux-gnu/tcc/libtcc1.a"] {
        layer = program(layer, &format!("usr/{name}"), &format!("/usr/{name}"));
    }
    layer
}

fn program(layer: Layer, name: &str, file: &str) -> Layer {
    let bytes = fs::read(file).expect("busybox-static, dash, libc6, tcc");
    layer.entry(header(b'0', 0o755, (0, 0)), name, &bytes)
}
