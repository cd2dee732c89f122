//! What is tried with apt's words and with packages. See [`crate::fuzzing`].

use fs_err as fs;

use super::{Package, PrebuiltRequest, choose, facts_in, prebuilt, series_of, servers, take_out};
use crate::fuzzing::{folder, summed, texts};
use crate::report::Silent;
use crate::settings::KernelRequest;

/// What `apt-cache` and `apt-get` print, and which kernel is meant of it.
pub fn debian(bytes: &[u8]) {
    let [madison, shown, uris, request] = texts(bytes);
    let listed = super::parse_madison(&madison);
    for (version, package) in &listed {
        assert!(series_of(&package.name).is_some() && madison.contains(&package.version));
        let exact = choose(KernelRequest::Exact(*version), &listed);
        assert_eq!(exact.map(|(found, _)| found), Some(*version));
        if let Some((newest, _)) = choose(KernelRequest::Series(version.series()), &listed) {
            assert!(newest >= *version || version.candidate().is_some());
        }
    }
    if let Some((_, digest)) = facts_in(&shown) {
        assert!(shown.to_ascii_lowercase().contains(digest.hex()));
    }
    for url in servers(&uris).into_iter().flatten() {
        assert!(url.starts_with("http://") || url.starts_with("https://"));
    }
    prebuilt::fuzzing::words(&madison, &shown, &request);
    if let Ok(meant) = request.parse::<PrebuiltRequest>() {
        assert_eq!(format!("debian:{meant}").parse(), Ok(meant));
    }
}

/// A package: its files lie in the folder, or its tarball beside it.
pub fn deb(bytes: &[u8]) {
    let top = folder();
    let (deb, into) = (top.path().join("x.deb"), top.path().join("into"));
    let ready = fs::write(&deb, with_sums(bytes)).and_then(|()| fs::create_dir(&into));
    assert!(ready.is_ok());
    for boot_alone in [true, false] {
        _ = prebuilt::fuzzing::unpack(&deb, &into, boot_alone);
    }
    assert_eq!(fs::read_dir(top.path()).map_or(0, Iterator::count), 2);
    let package = Package { name: "linux-source-6.12".to_owned(), version: "1".to_owned() };
    if let Ok((path, _)) = take_out(&deb, &package, &top.path().join("out"), &Silent) {
        assert_eq!(path.parent(), Some(top.path()));
    }
}

/// The package with its archive's checksums as they should be.
fn with_sums(bytes: &[u8]) -> Vec<u8> {
    let name = b"data.tar        ";
    let header = bytes.windows(name.len()).position(|found| found == name);
    match header.and_then(|at| bytes.split_at_checked(at + 60)) {
        Some((before, data)) => [before, &summed(data)].concat(),
        None => bytes.to_vec(),
    }
}
