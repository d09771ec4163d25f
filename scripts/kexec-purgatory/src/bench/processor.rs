// SPDX-License-Identifier: GPL-2.0-only

//! What is measured on the processor that this runs on.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::blob::{Blob, Engine};
use super::copy::{Copy, Extent, Loop, Pages};
use super::image::Image;
use super::load::{self, KernelSha256};
use super::mainline::Mainline;
use super::measure::{Case, Measured, interleaved};
use crate::progress::Step;

/// How image pages lie where copy and verification are measured together: what suits the copy,
/// and so ours, least.
pub const PAGES: Pages = Pages::Scattered;

/// The sizes of image that are measured, in MiB.
const SIZES: [usize; 4] = [16, 64, 256, 1024];

/// The programs that are compared.
pub struct Programs {
    pub blob: Blob,
    /// Mainline's `purgatory.ro`.
    pub mainline: PathBuf,
    /// None where the processor lacks what it needs.
    pub kernel: Option<KernelSha256>,
}

/// Names of what is measured.
pub mod names {
    use super::{Loop, Pages};

    pub const MAINLINE_VERIFY: &str = "mainline/verify";
    pub const MAINLINE_COPY: &str = "mainline/copy";
    pub const MAINLINE_VERIFY_COPY: &str = "mainline/copy+verify";
    pub const OPENSSL: &str = "openssl";
    pub const OPENSSL_TAIL: &str = "openssl, tail";
    pub const READ: &str = "read";
    pub const MAINLINE_LOAD_DIGESTS: &str = "mainline/load digests";
    pub const LOAD_DIGESTS: &str = "load digests";

    pub fn verify(engine: &str) -> String {
        format!("{engine}/verify")
    }

    pub fn copy_verify(how: Loop, engine: &str) -> String {
        format!("{}/{engine}/copy+verify", how.name())
    }

    pub fn copy(how: Loop, pages: Pages) -> String {
        format!("{}/{}", how.name(), pages.name())
    }
}

/// What OpenSSL takes for an image.
#[cfg(feature = "openssl")]
fn openssl(image: &Image) -> Result<[Case<'_>; 2]> {
    use openssl::sha::{Sha256, sha256};

    Ok([
        Case::new(names::OPENSSL_TAIL, image.total(), || {
            let mut hash = Sha256::new();
            for segment in &image.segments {
                hash.update(&image.memory[segment.memory_range()]);
            }
            black_box(hash.finish());
        }),
        Case::new(names::OPENSSL, image.loaded(), || {
            for segment in &image.segments {
                black_box(sha256(&image.memory[segment.loaded_range()]));
            }
        }),
    ])
}

/// Without OpenSSL's headers the tool can be built for `make check`, which measures nothing.
#[cfg(not(feature = "openssl"))]
fn openssl(_: &Image) -> Result<[Case<'_>; 2]> {
    anyhow::bail!("the tool was built without OpenSSL, which is measured")
}

/// Checks that all programs compute what they ought to, then measures them on the image of a real
/// kernel.
pub fn on_image(programs: &Programs, image: &Image, rounds: usize) -> Result<Measured> {
    let blob = &programs.blob;
    let mut step = Step::start(format!("measure on this processor, {rounds} rounds"));
    check(programs, image)?;

    let mainline = Mainline::link(&programs.mainline, image)?;
    let with_tail = Copy::new(image, PAGES, Extent::WithTail)?;
    let copies = Pages::ALL
        .into_iter()
        .map(|pages| Ok((pages, Copy::new(image, pages, Extent::Loaded)?)))
        .collect::<Result<Vec<_>>>()?;
    for (_, copy) in &copies {
        check_copy(copy, image)?;
    }

    let (loaded, total) = (image.loaded(), image.total());
    let mut cases = vec![
        Case::new(names::MAINLINE_VERIFY, total, || mainline.verify()),
        Case::new(names::MAINLINE_COPY, total, || with_tail.run(Loop::Movsq)),
        Case::new(names::MAINLINE_VERIFY_COPY, total, || {
            with_tail.run(Loop::Movsq);
            mainline.verify();
        }),
    ];
    cases.extend(openssl(image)?);
    cases.push(Case::new(names::READ, loaded, || {
        for segment in &image.segments {
            black_box(sum(&image.memory[segment.loaded_range()]));
        }
    }));
    if let Some(kernel) = &programs.kernel {
        cases.push(Case::new(names::MAINLINE_LOAD_DIGESTS, total, || {
            black_box(kernel.mainline(image));
        }));
        cases.push(Case::new(names::LOAD_DIGESTS, loaded, || {
            black_box(kernel.regions(image));
        }));
    }
    for (pages, copy) in &copies {
        for how in Loop::ALL {
            let name = names::copy(how, *pages);
            cases.push(Case::new(name, copy.bytes(), move || copy.run(how)));
        }
    }
    for engine in Engine::all() {
        let name = names::verify(engine.name());
        cases.push(Case::new(name, loaded, move || {
            black_box(blob.verify(engine, image));
        }));
    }
    if let Some((_, copy)) = copies.iter().find(|(pages, _)| *pages == PAGES) {
        let every_engine = Engine::all().into_iter().map(|e| (Loop::PROJECT, e));
        let others = Loop::ALL.into_iter().filter(|how| *how != Loop::PROJECT);
        for (how, engine) in every_engine.chain(others.map(|how| (how, Engine::fastest()))) {
            let name = names::copy_verify(how, engine.name());
            cases.push(Case::new(name, loaded, move || {
                copy.run(how);
                black_box(blob.verify(engine, image));
            }));
        }
    }
    let measured = interleaved(cases, rounds, &mut step)?;
    step.done();
    Ok(measured)
}

/// Measures on images of several sizes, without a tail; returns the size of each in MiB.
pub fn on_sizes(programs: &Programs, rounds: usize) -> Result<Vec<(usize, Measured)>> {
    SIZES
        .into_iter()
        .map(|size| {
            let mut step = Step::start(format!("measure {size} MiB on this processor"));
            let image = Image::of_size(size << 20)?;
            let mainline = Mainline::link(&programs.mainline, &image)?;
            let bytes = image.loaded();
            let mut cases = vec![Case::new(names::MAINLINE_VERIFY, bytes, || {
                mainline.verify();
            })];
            for engine in Engine::all() {
                let (blob, image) = (&programs.blob, &image);
                cases.push(Case::new(names::verify(engine.name()), bytes, move || {
                    black_box(blob.verify(engine, image));
                }));
            }
            let measured = interleaved(cases, rounds, &mut step)?;
            step.done();
            Ok((size, measured))
        })
        .collect()
}

/// Fails unless every engine, and the kernel's own code, computes the digests of another
/// implementation.
///
/// That mainline's purgatory returns from an image says that it found it sound.
pub fn check(programs: &Programs, image: &Image) -> Result<()> {
    for engine in Engine::all() {
        programs.blob.check(engine, image)?;
    }
    programs
        .kernel
        .as_ref()
        .map_or(Ok(()), |kernel| kernel.check(image))
}

/// Fails unless every loop copies every byte that was loaded.
fn check_copy(copy: &Copy, image: &Image) -> Result<()> {
    let expected: Vec<Vec<u8>> = image
        .segments
        .iter()
        .map(|segment| image.memory[segment.loaded_range()].to_vec())
        .collect();
    for how in Loop::ALL {
        for segment in &image.segments {
            image.overwrite(segment);
        }
        copy.run(how);
        for (segment, expected) in image.segments.iter().zip(&expected) {
            ensure!(
                image.memory[segment.loaded_range()] == **expected,
                "{} does not copy {}",
                how.name(),
                segment.name
            );
        }
    }
    Ok(())
}

/// Reads memory and does next to nothing with it.
fn sum(bytes: &[u8]) -> u64 {
    // As many additions at a time as do not wait for each other.
    let mut sums = [0_u64; 16];
    for chunk in bytes.as_chunks::<128>().0 {
        for (sum, word) in sums.iter_mut().zip(chunk.as_chunks().0) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    sums.iter().fold(0, |total, sum| total.wrapping_add(*sum))
}

/// Keeps the process on the processor that it runs on now, as there is one only between two
/// kernels.
pub fn stay_on_one() -> Result<()> {
    // SAFETY: These functions only write to `set`, which is valid when it is all zeroes.
    let failed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(usize::try_from(libc::sched_getcpu())?, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    ensure!(
        failed == 0,
        "cannot stay on one processor: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}

/// Where a kernel's build folder has mainline's purgatory.
pub const MAINLINE_OBJECT: &str = "arch/x86/purgatory/purgatory.ro";

/// Where it has the blob.
pub const BLOB: &str = "arch/x86/purgatory/rust/purgatory.bin";

impl Programs {
    /// Those of a blob, and of a build folder that has mainline's objects.
    pub fn load(blob: &Path, mainline: &Path) -> Result<Self> {
        Ok(Self {
            blob: Blob::load(blob)?,
            mainline: mainline.join(MAINLINE_OBJECT),
            kernel: KernelSha256::link(&mainline.join(load::OBJECT))?,
        })
    }
}
