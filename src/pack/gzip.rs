//! One gzip member, compressed on several threads.
//!
//! The input is cut into pieces of a fixed size; each is deflated on its own
//! and ends with a sync flush, so that the outputs can be joined
//! (RFC 1951, section 3.2.4: an empty stored block aligns to a byte). The cuts
//! depend on the input alone: the output is the same for any number of
//! threads. One member, since rkt refuses bytes behind the gzip stream.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use flate2::{Compress, Compression, FlushCompress};

/// Bytes of input in a piece. A bigger one compresses no better (deflate
/// looks back 32 KiB), a smaller one loses at its start.
const PIECE: usize = 512 * 1024;

/// Of a kernel with its headers, level 6 makes 3 percent less and takes half as
/// long again; level 2 makes 5 percent more.
const LEVEL: u32 = 3;

/// RFC 1952, section 2.3: deflate, no flags (so no name), no time, no extra
/// flags, and "unknown" (255) for the system: nothing of the machine.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// An empty final block with fixed codes: ends the joined pieces.
const LAST_BLOCK: [u8; 2] = [3, 0];

struct Job {
    piece: Vec<u8>,
    done: SyncSender<io::Result<Done>>,
}

struct Done {
    deflated: Vec<u8>,
    checksum: crc32fast::Hasher,
    /// The input's buffer, to be filled again.
    buffer: Vec<u8>,
}

/// Compresses what is written to it. Call [`Gzip::finish`]; dropping it
/// leaves a member without an end.
pub(super) struct Gzip<W: Write> {
    to: W,
    piece: Vec<u8>,
    spare: Vec<Vec<u8>>,
    jobs: Option<Sender<Job>>,
    /// In the order of the input.
    pending: VecDeque<Receiver<io::Result<Done>>>,
    most_pending: usize,
    workers: Vec<JoinHandle<()>>,
    checksum: crc32fast::Hasher,
    size: u64,
}

impl<W: Write> Gzip<W> {
    /// Starts a member on `to` with this many compressing threads.
    ///
    /// # Errors
    /// When `to` refuses the header or no thread can be started.
    pub(super) fn new(mut to: W, threads: NonZero<usize>) -> io::Result<Self> {
        to.write_all(&HEADER)?;
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let start = |_| {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new().name("gzip".into()).spawn(move || work(&queue))
        };
        Ok(Self {
            to,
            piece: Vec::with_capacity(PIECE),
            spare: Vec::new(),
            jobs: Some(jobs),
            pending: VecDeque::new(),
            // Each thread has one in hand and one or two waiting: that
            // bounds the memory.
            most_pending: threads.get() * 3,
            workers: (0..threads.get()).map(start).collect::<io::Result<_>>()?,
            checksum: crc32fast::Hasher::new(),
            size: 0,
        })
    }

    /// Ends the member and gives the writer back.
    ///
    /// # Errors
    /// When the writer refuses the rest.
    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.piece.is_empty() {
            self.hand_out()?;
        }
        while !self.pending.is_empty() {
            self.take_in()?;
        }
        self.jobs = None;
        for worker in self.workers.drain(..) {
            worker.join().map_err(|_| gone())?;
        }
        self.to.write_all(&LAST_BLOCK)?;
        self.to.write_all(&self.checksum.finalize().to_le_bytes())?;
        // ISIZE is the size modulo 2^32.
        self.to.write_all(&(self.size & 0xffff_ffff).to_le_bytes()[..4])?;
        Ok(self.to)
    }

    fn hand_out(&mut self) -> io::Result<()> {
        while self.pending.len() >= self.most_pending {
            self.take_in()?;
        }
        let next = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(PIECE));
        let piece = std::mem::replace(&mut self.piece, next);
        self.size += piece.len() as u64;
        let (done, result) = sync_channel(1);
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(Job { piece, done }).map_err(|_| gone())?;
        self.pending.push_back(result);
        Ok(())
    }

    /// Writes the oldest piece's output, waiting for it.
    fn take_in(&mut self) -> io::Result<()> {
        let Some(result) = self.pending.pop_front() else { return Ok(()) };
        let done = result.recv().map_err(|_| gone())??;
        self.checksum.combine(&done.checksum);
        self.spare.push(done.buffer);
        self.to.write_all(&done.deflated)
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE {
            self.hand_out()?;
        }
        Ok(count)
    }

    /// Does nothing: a flush in the middle would make the output depend on
    /// when it was called.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn gone() -> io::Error {
    io::Error::other("a compressing thread is gone")
}

fn work(queue: &Mutex<Receiver<Job>>) {
    let mut compress = Compress::new(Compression::new(LEVEL), false);
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { piece, done }) = next else { return };
        // The other side may have given up; then there is nobody to tell.
        _ = done.send(deflate(&mut compress, piece));
    }
}

fn deflate(compress: &mut Compress, mut piece: Vec<u8>) -> io::Result<Done> {
    compress.reset();
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&piece);
    let mut deflated = Vec::with_capacity(piece.len() / 3 + 1024);
    loop {
        let taken = usize::try_from(compress.total_in()).map_err(io::Error::other)?;
        let flush = FlushCompress::Sync;
        compress.compress_vec(&piece[taken..], &mut deflated, flush).map_err(io::Error::other)?;
        // Room left in the output means that the flush is complete.
        if compress.total_in() == piece.len() as u64 && deflated.len() < deflated.capacity() {
            break;
        }
        deflated.reserve(deflated.capacity() / 2);
    }
    piece.clear();
    Ok(Done { deflated, checksum, buffer: piece })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::bufread::GzDecoder;
    use proptest::prelude::*;
    use std::io::Read;

    fn packed(bytes: &[u8], threads: usize) -> Vec<u8> {
        let mut gzip = Gzip::new(Vec::new(), NonZero::new(threads).unwrap()).unwrap();
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        let mut decoder = GzDecoder::new(bytes);
        let mut out = Vec::new();
        decoder.read_to_end(&mut out).unwrap();
        assert!(decoder.into_inner().is_empty(), "bytes behind the member");
        out
    }

    fn noise(count: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn sizes_around_a_piece_come_back() {
        for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 17] {
            for bytes in [vec![b'a'; size], noise(size)] {
                assert_eq!(unpacked(&packed(&bytes, 2)), bytes, "{size}");
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let bytes = noise(3 * PIECE + 5);
        let one = packed(&bytes, 1);
        assert!([2, 3, 8].iter().all(|&threads| packed(&bytes, threads) == one));
    }

    #[test]
    fn the_header_has_no_time_and_no_name() {
        assert_eq!(packed(b"x", 1)[..10], HEADER);
    }

    #[test]
    fn a_writer_that_fails_ends_it() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if bytes.len() > 10 {
                    Err(io::ErrorKind::StorageFull.into())
                } else {
                    Ok(bytes.len())
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut gzip = Gzip::new(Full, NonZero::<usize>::MIN).unwrap();
        let result = gzip.write_all(&noise(20 * PIECE));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn however_it_is_written(cuts in prop::collection::vec(0usize..300_000, 0..12)) {
            let bytes = noise(cuts.iter().sum());
            let mut gzip = Gzip::new(Vec::new(), NonZero::new(2).unwrap()).unwrap();
            let mut rest = bytes.as_slice();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut);
                gzip.write_all(piece).unwrap();
                gzip.flush().unwrap();
                rest = after;
            }
            let out = gzip.finish().unwrap();
            prop_assert_eq!(&out, &packed(&bytes, 1));
            prop_assert_eq!(unpacked(&out), bytes);
        }
    }
}
