use proptest::prelude::*;

use super::*;

const MADISON: &str = "\
linux-source-6.12 | 6.12.117-1~deb12u1 | http://archive.example/debian-security bookworm-security/main amd64 Packages
linux-source-6.12 | 6.12.115-2~deb12u1 | http://archive.example/debian-security bookworm-security/main amd64 Packages
linux-source-6.1 |  6.1.192-2 | http://archive.example/debian-security bookworm-security/main amd64 Packages
linux-source-6.1 |  6.1.192-1 | http://archive.example/debian-security bookworm-security/main amd64 Packages
linux-source-6.1 |  6.1.192-2 | http://archive.example/debian-security bookworm-security/main Sources
linux-source-6.13 | 6.13~rc4-1~exp1 | http://archive.example/debian experimental/main amd64 Packages
linux-source-5.15.0 | 5.15.0-119.129 | http://archive.ubuntu.com/ubuntu jammy/main amd64 Packages
linux-source | 6.1.176-1 | http://archive.example/debian bookworm/main amd64 Packages
";

fn chosen(request: &str) -> Option<String> {
    choose(request.parse().unwrap(), &parse_madison(MADISON)).map(|(_, found)| found.exact())
}

#[test]
fn the_newest_revision_of_the_version_is_chosen() {
    for (request, expected) in [
        ("6.12", Some("linux-source-6.12=6.12.117-1~deb12u1")),
        ("6.12.115", Some("linux-source-6.12=6.12.115-2~deb12u1")),
        ("6.1.192", Some("linux-source-6.1=6.1.192-2")),
        ("6.13-rc4", Some("linux-source-6.13=6.13~rc4-1~exp1")),
        ("6.12.116", None),
        ("6.13", None),
        ("5.15.0", None),
        ("stable", None),
    ] {
        assert_eq!(chosen(request).as_deref(), expected, "{request}");
    }
}

#[test]
fn a_package_version_has_the_kernels_in_it() {
    for (text, expected) in [
        ("6.12.117-1~deb12u1", Some("6.12.117")),
        ("6.1.192-2", Some("6.1.192")),
        ("4.9.320-2+deb9u1", Some("4.9.320")),
        ("1:5.10.0+dfsg-1", Some("5.10.0")),
        ("6.13~rc4-1~exp1", Some("6.13-rc4")),
        ("145", None),
        ("", None),
    ] {
        let expected = expected.map(|text| text.parse().unwrap());
        assert_eq!(upstream(text), expected, "{text}");
    }
}

#[test]
fn each_server_is_asked_once() {
    let text = "'http://a.example/debian/dists/x/InRelease' a.example_x 0 \n\
                    'http://a.example/debian/dists/y/InRelease' a.example_y 0 \n\
                    'https://b.example/dists/z/InRelease' b.example_z 0 \n";
    let expected =
        ["http://a.example/debian/dists/x/InRelease", "https://b.example/dists/z/InRelease"];
    assert_eq!(servers(text).unwrap(), expected);
    assert_eq!(servers("'file:/mnt/dists/x/InRelease' mnt 0 \n"), None);
}

#[test]
fn facts_need_both_fields() {
    let hex = "e849faf31ca3555757f3a8877cb01af92122f744f75d1f3102734651c4e14703";
    let text = format!("Package: x\nInstalled-Size: 5\nSize: 153476148\nSHA256: {hex}\n");
    assert_eq!(facts_in(&text).unwrap().0, 153_476_148);
    assert_eq!(facts_in(&text).unwrap().1.hex(), hex);
    assert_eq!(facts_in("Size: 1\n"), None);
}

fn member(name: &str, content: &[u8]) -> Vec<u8> {
    let header =
        format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len());
    let padding = vec![b'\n'; content.len() % 2];
    [header.as_bytes(), content, &padding].concat()
}

fn package(tar: &[u8]) -> Vec<u8> {
    let compressed = zstd::stream::encode_all(tar, 1).unwrap();
    [
        b"!<arch>\n".to_vec(),
        member("debian-binary", b"2.0\n"),
        member("control.tar.xz", b"odd"),
        member("data.tar.zst", &compressed),
    ]
    .concat()
}

fn tarball(name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, content).unwrap();
    builder.into_inner().unwrap()
}

fn taken(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let folder = tempfile::tempdir().unwrap();
    let deb = folder.path().join("x.deb");
    fs::write(&deb, bytes).unwrap();
    let package = Package { name: "linux-source-6.12".into(), version: "6.12.1-1".into() };
    let stem = folder.path().join("linux-source-6.12_6.12.1-1");
    let (path, digest) = take_out(&deb, &package, &stem, &crate::report::Silent)?;
    assert_eq!(path.file_name().unwrap(), "linux-source-6.12_6.12.1-1.tar.xz");
    let content = fs::read(path).unwrap();
    assert_eq!(Digest::sha256(&content), digest);
    Ok(content)
}

#[test]
fn the_tarball_is_taken_out_of_the_package() {
    let tar = tarball("./usr/src/linux-source-6.12.tar.xz", b"content");
    assert_eq!(taken(&package(&tar)).unwrap(), b"content");
    let other = tarball("./usr/src/linux-source-6.1.tar.xz", b"content");
    assert!(matches!(taken(&package(&other)), Err(Error::NotASource { .. })));
}

#[test]
fn a_damaged_package_is_an_error() {
    let tar = tarball("./usr/src/linux-source-6.12.tar.xz", &[7; 100_000]);
    let whole = package(&tar);
    for length in [0, 7, 30, 100, whole.len() - 3] {
        assert!(matches!(taken(&whole[..length]), Err(Error::Damaged { .. })), "{length}");
    }
}

proptest! {
    #[test]
    fn any_text_of_apt_is_read(text in "(linux-source-6\\.1|[ |0-9.:~+-]{1,5}| Packages\n|.){0,30}") {
        _ = parse_madison(&text);
        _ = upstream(&text);
    }
}
