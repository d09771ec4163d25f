// SPDX-License-Identifier: GPL-2.0-only

//! Mainline's own purgatory, linked into this process as `kexec_load_purgatory()` does it.

use std::mem;

use anyhow::{Context, Result, bail, ensure};
use memmap2::Mmap;
use rustix::process::{Pid, WaitOptions, waitpid};

use super::program::Program;
use super::segments::Image;

/// `KEXEC_SEGMENT_MAX`.
const REGIONS: usize = 16;

/// `struct kexec_sha_region`: the address and the length of a segment, in bytes.
type Region = [u64; 2];

/// `for (;;);`, and an instruction that raises an exception.
const JUMP_TO_ITSELF: [u8; 2] = [0xeb, 0xfe];
const UD2: [u8; 2] = [0x0f, 0x0b];

/// The purgatory, set up to check one image.
///
/// # Invariants
///
/// `purgatory` is the function of that name in `_code`, and the regions that it reads are those of
/// an image that outlives this value.
pub struct Mainline<'a> {
    purgatory: extern "C" fn(),
    _code: Mmap,
    _image: &'a Image,
}

impl<'a> Mainline<'a> {
    /// Links `purgatory.ro` and fills in the regions of `image` with its digest, as
    /// `kexec_calculate_store_digests()` does.
    pub fn link(object: &[u8], image: &'a Image) -> Result<Self> {
        Self::link_patched(object, image, |_| Ok(()))
    }

    /// Whether mainline's purgatory accepts the image as the one that `digest` was computed from.
    ///
    /// The purgatory never returns from any other image. It therefore runs in its own process, with
    /// an invalid instruction in place of its endless loop.
    pub fn accepts(object: &[u8], image: &'a Image, digest: [u8; 32]) -> Result<bool> {
        let mainline = Self::link_patched(object, image, |program| {
            program.set("purgatory_sha256_digest", &digest)?;
            let function = program.symbol("purgatory")?;
            let function = &mut program.memory[function];
            let mut loops = function
                .windows(JUMP_TO_ITSELF.len())
                .enumerate()
                .filter(|(_, code)| *code == JUMP_TO_ITSELF)
                .map(|(at, _)| at);
            let at = loops.next().context("purgatory() has no endless loop")?;
            ensure!(loops.next().is_none(), "purgatory() has several loops");
            function[at..at + UD2.len()].copy_from_slice(&UD2);
            Ok(())
        })?;
        // SAFETY: The child only calls code that needs no other thread, and then ends.
        match unsafe { libc::fork() } {
            0 => {
                mainline.verify();
                // SAFETY: As above.
                unsafe { libc::_exit(0) }
            }
            child if child > 0 => {
                let (_, status) = waitpid(Pid::from_raw(child), WaitOptions::empty())
                    .ok()
                    .flatten()
                    .context("cannot wait for mainline's purgatory")?;
                match status.terminating_signal() {
                    None => Ok(true),
                    Some(libc::SIGILL) => Ok(false),
                    Some(signal) => bail!("it died of signal {signal}"),
                }
            }
            _ => bail!("cannot fork"),
        }
    }

    fn link_patched(
        object: &[u8],
        image: &'a Image,
        patch: impl FnOnce(&mut Program) -> Result<()>,
    ) -> Result<Self> {
        let mut program = Program::link(object).context("cannot link mainline's purgatory")?;

        ensure!(image.segments.len() <= REGIONS, "too many segments");
        let mut regions: [Region; REGIONS] = [[0; 2]; REGIONS];
        for (region, segment) in regions.iter_mut().zip(&image.segments) {
            let memory = &image.memory[segment.memory_range()];
            *region = [memory.as_ptr().addr() as u64, memory.len() as u64];
        }
        let regions: Vec<u8> = regions
            .iter()
            .flatten()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        program.set("purgatory_sha_regions", &regions)?;
        program.set("purgatory_sha256_digest", &image.mainline_digest())?;

        patch(&mut program)?;

        let symbol = program.symbol("purgatory")?;
        let code = program.memory.make_exec()?;
        // SAFETY: That is the function's type in C, and it stays mapped for as long as `code` is.
        let purgatory =
            unsafe { mem::transmute::<*const u8, extern "C" fn()>(code[symbol.start..].as_ptr()) };
        // INVARIANT: As above.
        Ok(Self {
            purgatory,
            _code: code,
            _image: image,
        })
    }

    /// Checks the image. Returns only if the image matches the digest; mainline's purgatory reports
    /// success in no other way.
    pub fn verify(&self) {
        (self.purgatory)();
    }
}
