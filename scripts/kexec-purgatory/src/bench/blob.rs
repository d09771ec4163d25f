// SPDX-License-Identifier: GPL-2.0-only

//! The blob that was built, mapped into this process so that its code can be called.

use std::arch::asm;
use std::fs;
use std::mem;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use memmap2::{Mmap, MmapMut};

use super::image::Image;
use crate::abi::{self, EngineKind, Header};

/// What computes a digest; see `purgatory_test.rs`.
type DigestEntry = unsafe extern "C" fn(u32, *const u8, usize, *mut abi::Digest);

/// The image with the digests alone, beside that of the purgatory.
const DIGESTS: &str = "purgatory_test.bin";

/// An engine that this machine can run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Engine(EngineKind);

impl Engine {
    /// None where the processor or the running kernel lacks what the engine needs.
    pub fn new(kind: EngineKind) -> Option<Self> {
        let usable = match kind {
            EngineKind::Scalar => true,
            EngineKind::ShaNiX2 => {
                is_x86_feature_detected!("sha")
                    && is_x86_feature_detected!("ssse3")
                    && is_x86_feature_detected!("sse4.1")
            }
            EngineKind::Avx2X8 => is_x86_feature_detected!("avx2"),
            EngineKind::Avx512X16 => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
            }
        };
        usable.then_some(Self(kind))
    }

    /// Those of all engines that this machine can run.
    pub fn all() -> Vec<Self> {
        EngineKind::ALL.into_iter().filter_map(Self::new).collect()
    }

    /// The one that the loader would pick.
    pub fn fastest() -> Self {
        use EngineKind::{Avx2X8, Avx512X16, Scalar, ShaNiX2};

        [Avx512X16, ShaNiX2, Avx2X8]
            .into_iter()
            .find_map(Self::new)
            .unwrap_or(Self(Scalar))
    }

    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

/// What an engine needs, for a message.
pub fn needs(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Scalar => "nothing",
        EngineKind::ShaNiX2 => "SHA-NI",
        EngineKind::Avx2X8 => "AVX2",
        EngineKind::Avx512X16 => "AVX-512",
    }
}

/// The blob, and the code that computes its digests.
///
/// # Invariants
///
/// `digest` points at the digest entry in `_code`.
pub struct Blob {
    _code: Mmap,
    digest: DigestEntry,
    /// What is in front of the parameters, which the blob checks first.
    checked: Vec<u8>,
}

impl Blob {
    /// Reads a blob, and maps the digests that were built beside it.
    pub fn load(path: &Path) -> Result<Self> {
        let read =
            |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let mut file = read(path)?;
        let field = |offset: usize| -> Result<u32> {
            let bytes = file
                .get(offset..offset + size_of::<u32>())
                .with_context(|| format!("{} is too short", path.display()))?;
            Ok(u32::from_le_bytes(bytes.try_into()?))
        };
        ensure!(
            file.starts_with(&abi::MAGIC.to_le_bytes())
                && field(mem::offset_of!(Header, version))? == abi::VERSION,
            "{} is not the purgatory of this overlay; build it again",
            path.display()
        );
        let checked = field(mem::offset_of!(Header, params))? as usize;
        ensure!(checked <= file.len(), "{} has a bad header", path.display());
        file.truncate(checked);

        let digests = read(&path.with_file_name(DIGESTS))?;
        let mut code = MmapMut::map_anon(digests.len())?;
        code.copy_from_slice(&digests);
        let code = code.make_exec()?;
        // SAFETY: The image of the digests begins with a function of this type. The code is position
        // independent and stays mapped, at the same address, for as long as `code` lives.
        let digest = unsafe { mem::transmute::<*const u8, DigestEntry>(code.as_ptr()) };
        // INVARIANT: As above.
        Ok(Self {
            _code: code,
            digest,
            checked: file,
        })
    }

    /// The digest of a region, by the blob's code.
    pub fn digest(&self, engine: Engine, region: &[u8]) -> abi::Digest {
        let mut digest = [0; abi::DIGEST_SIZE];
        // SAFETY: By the type's invariants this is the digest entry. The region is borrowed, and
        // an `Engine` is one that this machine can run.
        unsafe { (self.digest)(engine.0 as u32, region.as_ptr(), region.len(), &mut digest) };
        digest
    }

    /// Bytes of stack that the digest of a region takes.
    pub fn stack_used(&self, engine: Engine, region: &[u8]) -> usize {
        const PAINT: u8 = 0xa5;
        let mut stack = vec![PAINT; 1 << 20];
        let mut digest: abi::Digest = [0; abi::DIGEST_SIZE];
        let end = stack.as_mut_ptr_range().end.addr() & !0xf;
        // SAFETY: As in `digest()`. The function returns with the stack pointer as it was, and by
        // the C convention with `%r12` as it was. The stack is large enough by far: the function
        // does not recurse.
        unsafe {
            asm!(
                "movq %rsp, %r12",
                "movq %r13, %rsp",
                "callq *%r14",
                "movq %r12, %rsp",
                out("r12") _,
                in("r13") end,
                in("r14") self.digest,
                in("edi") engine.0 as u32,
                in("rsi") region.as_ptr(),
                in("rdx") region.len(),
                in("rcx") &mut digest,
                clobber_abi("C"),
                options(att_syntax),
            );
        }
        let unused = stack.iter().take_while(|byte| **byte == PAINT).count();
        // Not the return address of the call above, which is this function's.
        end - size_of::<usize>() - (stack.as_ptr().addr() + unused)
    }

    /// The digests that the blob computes before it enters an image: of itself, with the scalar
    /// engine as it does, and of what was loaded of each segment. That of its parameters is left
    /// out: they have a KiB.
    pub fn verify(&self, engine: Engine, image: &Image) -> Vec<abi::Digest> {
        let itself = self.digest(Engine(EngineKind::Scalar), &self.checked);
        let mut digests = vec![itself];
        for segment in &image.segments {
            digests.push(self.digest(engine, &image.memory[segment.loaded_range()]));
        }
        digests
    }

    /// Fails unless every segment's digest is what other code computes.
    pub fn check(&self, engine: Engine, image: &Image) -> Result<()> {
        let found = self.verify(engine, image);
        for (segment, found) in image.segments.iter().zip(&found[1..]) {
            let expected = super::image::region_digest(&image.memory[segment.loaded_range()]);
            ensure!(
                *found == expected,
                "{}: wrong digest of {}",
                engine.name(),
                segment.name
            );
        }
        Ok(())
    }
}
