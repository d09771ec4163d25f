// SPDX-License-Identifier: GPL-2.0-only

//! Maps the built purgatory into this process so that its code can be called.

use std::arch::asm;
use std::mem;

use anyhow::{Context, Result, ensure};
use memmap2::{Mmap, MmapMut};

use super::segments::Image;
use crate::abi::{self, Region};
use crate::engines::{EngineKind, Processor, select, supports};
use crate::params::{header, region_digest};
use crate::processors::{self, ThisMachine};

/// The function that computes digests; see `purgatory_test.rs`.
type DigestsEntry = unsafe extern "C" fn(u32, *const Region, usize, *mut Digests);

/// The digests of as many regions as an image can have.
type Digests = [abi::Digest; abi::REGIONS_MAX];

/// An engine that this machine can run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Engine(EngineKind);

impl Engine {
    /// None if the processor or the running kernel lacks what the engine needs.
    pub fn new(kind: EngineKind) -> Option<Self> {
        supports(&ThisMachine, kind).then_some(Self(kind))
    }

    /// All engines that this machine can run, the fastest one first.
    pub fn all() -> Vec<Self> {
        let engines = EngineKind::ALL.iter().copied();
        engines.filter_map(Self::new).collect()
    }

    /// The engine that the loader would pick.
    pub fn fastest() -> Self {
        Self(select(&ThisMachine))
    }

    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

/// Why this machine cannot run an engine, for a message.
pub fn missing(kind: EngineKind) -> String {
    let missing: Vec<&str> = kind
        .needs()
        .iter()
        .filter(|&&feature| !ThisMachine.has(feature))
        .map(|&feature| processors::name(feature))
        .collect();
    match missing.as_slice() {
        [] => "not measured: the system does not enable its registers".to_owned(),
        missing => format!("not measured: no {}", missing.join(", ")),
    }
}

/// The purgatory, and the code that computes its digests.
///
/// # Invariants
///
/// `digest` points at the digest entry in `_code`.
pub struct MappedPurgatory {
    _code: Mmap,
    digest: DigestsEntry,
    /// The bytes before the parameters, which the purgatory checks first.
    checked: Vec<u8>,
}

impl MappedPurgatory {
    /// Takes the purgatory's image, and maps the image of its digest code, `purgatory_test.bin`.
    pub fn new(purgatory: &[u8], digests: &[u8]) -> Result<Self> {
        let header = header(purgatory)?;
        ensure!(
            header.magic == abi::MAGIC && header.version == abi::VERSION,
            "this is not the purgatory of this overlay; build it again"
        );
        let checked = purgatory.get(..header.params as usize);
        let checked = checked.context("a bad header")?.to_vec();

        let mut code = MmapMut::map_anon(digests.len())?;
        code.copy_from_slice(digests);
        let code = code.make_exec()?;
        // SAFETY: The image of the digests begins with a function of this type. The code is position
        // independent and stays mapped, at the same address, for as long as `code` lives.
        let digest = unsafe { mem::transmute::<*const u8, DigestsEntry>(code.as_ptr()) };
        // INVARIANT: As above.
        Ok(Self {
            _code: code,
            digest,
            checked,
        })
    }

    /// The digests of at most [`abi::REGIONS_MAX`] regions, by the purgatory's code.
    pub fn digests(&self, engine: Engine, regions: &[&[u8]]) -> Vec<abi::Digest> {
        assert!(regions.len() <= abi::REGIONS_MAX);
        let memory: Vec<Region> = regions.iter().map(|bytes| region(bytes)).collect();
        let mut digests = Digests::default();
        // SAFETY: By the type's invariants this is the entry. The regions are borrowed, and an
        // `Engine` is one that this machine can run.
        unsafe { (self.digest)(engine.0 as u32, memory.as_ptr(), memory.len(), &mut digests) };
        digests[..regions.len()].to_vec()
    }

    /// Bytes of stack that computing the digest of a region takes.
    pub fn stack_used(&self, engine: Engine, bytes: &[u8]) -> usize {
        const PAINT: u8 = 0xa5;
        let mut stack = vec![PAINT; 1 << 20];
        let mut digests = Digests::default();
        let region = region(bytes);
        let end = stack.as_mut_ptr_range().end.addr() & !0xf;
        // SAFETY: As in `digests()`. The function returns with the stack pointer as it was, and by
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
                in("rsi") &region,
                in("rdx") 1_usize,
                in("rcx") &mut digests,
                clobber_abi("C"),
                options(att_syntax),
            );
        }
        let unused = stack.iter().take_while(|byte| **byte == PAINT).count();
        // Leaves out the return address of the call above, which is this function's.
        end - size_of::<usize>() - (stack.as_ptr().addr() + unused)
    }

    /// The digests that the purgatory computes before it enters an image: one of itself, with the
    /// scalar engine, and one of the loaded part of each segment. The digest of its parameters is
    /// left out: they are a KiB.
    pub fn verify(&self, engine: Engine, image: &Image) -> Vec<abi::Digest> {
        let segments = image.segments.iter();
        let loaded: Vec<_> = segments
            .map(|segment| &image.memory[segment.loaded_range()])
            .collect();
        let mut digests = self.digests(Engine(EngineKind::Scalar), &[&self.checked]);
        digests.extend(self.digests(engine, &loaded));
        digests
    }

    /// Fails unless other code computes the same digest for every segment.
    pub fn check(&self, engine: Engine, image: &Image) -> Result<()> {
        let found = self.verify(engine, image);
        for (segment, found) in image.segments.iter().zip(&found[1..]) {
            let expected = region_digest(&image.memory[segment.loaded_range()]);
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

/// Memory as the purgatory's parameters describe it.
fn region(bytes: &[u8]) -> Region {
    Region {
        start: bytes.as_ptr().expose_provenance() as u64,
        len: bytes.len() as u64,
        ..Region::UNUSED
    }
}
