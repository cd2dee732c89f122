//! Maps: one of each type, created; those that any program may write to from
//! outside written to and read.

use std::io;
use std::os::fd::OwnedFd;

use super::super::system::{Attr, bpf, bpf_descriptor};
use super::super::{Tried, btf, said};
use super::{BTF_LOAD, MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, create};

// include/uapi/linux/bpf.h
const NO_PREALLOC: u32 = 1;
const MMAPABLE: u32 = 1 << 10;

/// A page: what rings and arenas are measured in.
const PAGE: u32 = 4096;

/// What a type of map asks for.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Bytes of key and value, entries, flags.
    Plain(u32, u32, u32, u32),
    /// The same, and written to: a number under a key of four bytes.
    Written(u32),
    /// Holds maps.
    OfMaps,
    /// Belongs to an object; keys and values have type information.
    Storage,
}

/// Name, number, shape.
const MAPS: [(&str, u32, Shape); 31] = [
    ("hash", 1, Shape::Written(0)),
    ("array", 2, Shape::Written(0)),
    ("prog-array", 3, Shape::Plain(4, 4, 1, 0)),
    ("perf-event-array", 4, Shape::Plain(4, 4, 1, 0)),
    ("percpu-hash", 5, Shape::Plain(4, 8, 1, 0)),
    ("percpu-array", 6, Shape::Plain(4, 8, 1, 0)),
    ("stack-trace", 7, Shape::Plain(4, 8 * 16, 16, 0)),
    ("cgroup-array", 8, Shape::Plain(4, 4, 1, 0)),
    ("lru-hash", 9, Shape::Written(0)),
    ("lru-percpu-hash", 10, Shape::Plain(4, 8, 16, 0)),
    ("lpm-trie", 11, Shape::Plain(8, 4, 1, NO_PREALLOC)),
    ("array-of-maps", 12, Shape::OfMaps),
    ("hash-of-maps", 13, Shape::OfMaps),
    ("devmap", 14, Shape::Plain(4, 4, 1, 0)),
    ("sockmap", 15, Shape::Plain(4, 4, 1, 0)),
    ("cpumap", 16, Shape::Plain(4, 4, 1, 0)),
    ("xskmap", 17, Shape::Plain(4, 4, 1, 0)),
    ("sockhash", 18, Shape::Plain(4, 4, 1, 0)),
    // struct bpf_cgroup_storage_key
    ("cgroup-storage", 19, Shape::Plain(16, 8, 0, 0)),
    ("reuseport-sockarray", 20, Shape::Plain(4, 8, 1, 0)),
    ("percpu-cgroup-storage", 21, Shape::Plain(16, 8, 0, 0)),
    ("queue", 22, Shape::Plain(0, 4, 1, 0)),
    ("stack", 23, Shape::Plain(0, 4, 1, 0)),
    ("sk-storage", 24, Shape::Storage),
    ("devmap-hash", 25, Shape::Plain(4, 4, 1, 0)),
    ("ringbuf", 27, Shape::Plain(0, 0, PAGE, 0)),
    ("inode-storage", 28, Shape::Storage),
    ("task-storage", 29, Shape::Storage),
    ("bloom-filter", 30, Shape::Plain(0, 4, 1, 0)),
    ("user-ringbuf", 31, Shape::Plain(0, 0, PAGE, 0)),
    ("cgrp-storage", 32, Shape::Storage),
];
/// Its entries are pages.
const ARENA: (&str, u32) = ("arena", 33);

fn find(name: &str) -> Option<(u32, Shape)> {
    if name == ARENA.0 {
        return Some((ARENA.1, Shape::Plain(0, 0, 1, MMAPABLE)));
    }
    MAPS.iter().find(|(known, ..)| *known == name).map(|(_, kind, shape)| (*kind, *shape))
}

pub(in super::super) fn knows(name: &str) -> bool {
    find(name).is_some()
}

pub(in super::super) fn check(name: &str) -> Tried {
    let Some((kind, shape)) = find(name) else { return Err("no such type".to_owned()) };
    let (made, used) = match shape {
        Shape::Plain(key, value, entries, flags) => {
            (create(kind, key, value, entries, flags), false)
        }
        Shape::Written(flags) => (create(kind, 4, 4, 16, flags), true),
        Shape::OfMaps => (of_maps(kind), false),
        Shape::Storage => (storage(kind), false),
    };
    let map = made.map_err(said("BPF_MAP_CREATE"))?;
    if !used {
        return Ok("created".to_owned());
    }
    match written(&map).map_err(said("writing to it"))? {
        true => Ok("created, written and read".to_owned()),
        false => Err("it does not have what was written".to_owned()),
    }
}

fn written(map: &OwnedFd) -> io::Result<bool> {
    let (key, value) = (1_u32.to_ne_bytes(), 0xfeed_u32.to_ne_bytes());
    let mut found = [0; 4];
    bpf(MAP_UPDATE, &mut Attr::new().descriptor(0, map).pointer(8, &key).pointer(16, &value))?;
    let mut attr = Attr::new().descriptor(0, map).pointer(8, &key).out(16, &mut found);
    bpf(MAP_LOOKUP, &mut attr)?;
    Ok(found == value)
}

fn of_maps(kind: u32) -> io::Result<OwnedFd> {
    // An array, as a pattern for those that come into it.
    let inner = create(2, 4, 4, 1, 0)?;
    let attr = Attr::new().word(0, kind).word(4, 4).word(8, 4).word(12, 1);
    bpf_descriptor(MAP_CREATE, &mut attr.descriptor(20, &inner))
}

fn storage(kind: u32) -> io::Result<OwnedFd> {
    let types = btf::int();
    let size = u32::try_from(types.len()).unwrap_or(0);
    let types = bpf_descriptor(BTF_LOAD, &mut Attr::new().pointer(0, &types).word(16, size))?;
    let attr = Attr::new().word(0, kind).word(4, 4).word(8, 4).word(16, NO_PREALLOC);
    // Key and value are of type 1.
    bpf_descriptor(MAP_CREATE, &mut attr.descriptor(48, &types).word(52, 1).word(56, 1))
}
