// SPDX-License-Identifier: GPL-2.0-only

//! Copies the purgatory into an image, and fills its parameters.

use crate::{
    abi::{
        self,
        Header,
        Params,
        Region,
        Reset, //
    },
    check::{
        self,
        Fault, //
    },
    engines::{
        self,
        Core,
        EngineKind,
        Feature, //
    },
    regions, //
};
use kernel::{
    alloc::AllocError,
    bindings,
    crypto::sha256,
    fmt,
    kexec::{
        self,
        CpuFeature,
        LoadingImage,
        Machine,
        ResetRegister,
        Role, //
    },
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    },
};

// Every segment of an image can be a region.
static_assert!(abi::REGIONS_MAX == kexec::SEGMENT_MAX);
// The KUnit tests in C use this size.
static_assert!(abi::LEAF_SIZE == bindings::KEXEC_PURGATORY_LEAF_SIZE as usize);

/// The CPU that runs the purgatory, as this kernel sees it.
struct BootCpu;

impl engines::Processor for BootCpu {
    fn has(&self, feature: Feature) -> bool {
        let feature = match feature {
            Feature::Ssse3 => CpuFeature::Ssse3,
            Feature::Sse41 => CpuFeature::Sse41,
            Feature::Sha => CpuFeature::Sha,
            Feature::Avx => CpuFeature::Avx,
            Feature::Avx2 => CpuFeature::Avx2,
            Feature::Avx512F => CpuFeature::Avx512F,
            Feature::Avx512Bw => CpuFeature::Avx512Bw,
        };

        feature.is_present()
    }

    fn is(&self, core: Core) -> bool {
        match core {
            Core::Zen4 => CpuFeature::Zen4.is_present(),
        }
    }

    fn may_enable(&self, xcr0: u64) -> bool {
        kexec::has_xfeatures(xcr0)
    }
}

/// C declaration and contract: `arch/x86/include/asm/kexec-loader.h`.
///
/// # Safety
///
/// `number` and `usable` must be aligned and valid for writes.
#[cfg(CONFIG_KEXEC_PURGATORY_KUNIT_TEST)]
#[export]
unsafe extern "C" fn kexec_purgatory_engine(
    row: u32,
    number: *mut u32,
    usable: *mut bool,
) -> *const c_char {
    let Some(&engine) = EngineKind::ALL.get(row as usize) else {
        return core::ptr::null();
    };

    // SAFETY: By the safety requirements of this function.
    unsafe {
        number.write(engine as u32);
        usable.write(engines::supports(&BootCpu, engine));
    }
    engine.c_name().as_char_ptr()
}

// SAFETY: All fields are integers, every bit pattern is a value.
unsafe impl FromBytes for Header {}
// SAFETY: All fields are integers, or arrays and structures of them: every bit pattern is a value.
unsafe impl FromBytes for Params {}
// SAFETY: The fields leave no padding; `abi.rs` asserts the size.
unsafe impl AsBytes for Params {}

/// A copy of the purgatory whose header was checked.
///
/// # Invariants
///
/// `bytes` begins with a [`Header`] whose offsets and sizes lie within the purgatory, and holds
/// properly aligned [`Params`] at [`Header::params`].
pub(crate) struct Purgatory {
    bytes: VVec<u8>,
    header: Header,
}

/// Result of [`seal`].
pub(crate) struct Sealed {
    /// Number of regions that the purgatory will verify.
    pub(crate) regions: usize,
    /// Number of bytes in these regions.
    pub(crate) bytes: usize,
    /// The engine that the purgatory will use.
    pub(crate) engine: EngineKind,
}

/// Why an image is not loaded.
pub(crate) enum Refusal {
    /// The purgatory is not the one that this loader was built with.
    Foreign,
    /// The purgatory in the memory of a crash image is not the one that was loaded, or it cannot be
    /// read.
    Damaged,
    /// The purgatory would refuse the image.
    Fault(Fault),
    /// Any other error.
    Error(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<AllocError> for Refusal {
    fn from(error: AllocError) -> Self {
        Self::Error(error.into())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Foreign => ENOEXEC,
            Refusal::Damaged => EIO,
            Refusal::Fault(_) => EINVAL,
            Refusal::Error(error) => error,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("the purgatory is not of this build"),
            Self::Damaged => f.write_str("the purgatory is damaged or cannot be read"),
            Self::Fault(fault) => f.write_str(fault.describe()),
            Self::Error(error) => write!(f, "{error:?}"),
        }
    }
}

impl Purgatory {
    /// Copies the purgatory.
    ///
    /// # Errors
    ///
    /// [`Refusal::Foreign`] if [`header`] refuses it, `ENOMEM`.
    pub(crate) fn new(purgatory: &[u8]) -> Result<Purgatory, Refusal> {
        let header = header(purgatory)?;
        let mut bytes = VVec::with_capacity(purgatory.len(), GFP_KERNEL)?;
        bytes.extend_from_slice(purgatory, GFP_KERNEL)?;
        // INVARIANT: `header()` checked it.
        Ok(Purgatory { bytes, header })
    }

    /// Offset of the first instruction.
    pub(crate) fn entry(&self) -> u64 {
        self.header.entry.into()
    }

    /// Bytes that the purgatory occupies in memory.
    pub(crate) fn mem_size(&self) -> usize {
        self.header.mem_size as usize
    }

    /// The parameters.
    pub(crate) fn params_mut(&mut self) -> Result<&mut Params> {
        split(&mut self.bytes, &self.header).map(|(_, params)| params)
    }

    /// The bytes to load.
    pub(crate) fn into_bytes(self) -> VVec<u8> {
        self.bytes
    }
}

/// Reads and checks the header of the purgatory.
///
/// # Errors
///
/// [`Refusal::Foreign`] if the header is not one of this build.
pub(crate) fn header(purgatory: &[u8]) -> Result<Header, Refusal> {
    let header = *purgatory
        .get(..size_of::<Header>())
        .and_then(Header::from_bytes)
        .ok_or(Refusal::Foreign)?;
    let params_end = header.params as usize + size_of::<Params>();
    let sound = header.magic == abi::MAGIC
        && header.version == abi::VERSION
        && header.file_size as usize == purgatory.len()
        && purgatory.len() < abi::FILE_SIZE_MAX
        && header.entry < header.params
        && params_end == purgatory.len()
        && header.mem_size as usize >= purgatory.len();

    sound.then_some(header).ok_or(Refusal::Foreign)
}

/// Splits the purgatory into the bytes before the parameters, and the parameters.
///
/// # Errors
///
/// `ENOEXEC` if `header` does not fit `bytes`.
pub(crate) fn split<'a>(
    bytes: &'a mut [u8],
    header: &Header,
) -> Result<(&'a mut [u8], &'a mut Params)> {
    let (code, params) = bytes
        .split_at_mut_checked(header.params as usize)
        .ok_or(ENOEXEC)?;
    let params = Params::from_bytes_mut(params).ok_or(ENOEXEC)?;

    Ok((code, params))
}

/// Fills the parameters of the purgatory of `image`: the regions whose digests [`regions::record`]
/// recorded, the engine, `machine`, and the physical address of the `record` for the next kernel.
/// With `debug` and a console, sets [`abi::FLAG_DEBUG`].
///
/// # Errors
///
/// `EINVAL` if the image has no purgatory or more segments than the purgatory can verify;
/// [`Refusal::Foreign`] if the purgatory is not of this build; [`Refusal::Fault`] if it would
/// refuse the image.
pub(crate) fn seal(
    image: &mut LoadingImage,
    machine: Machine,
    debug: bool,
    record: Option<u64>,
) -> Result<Sealed, Refusal> {
    let engine = engines::select(&BootCpu);
    let mut regions = [Region::UNUSED; abi::REGIONS_MAX];
    let mut count = 0;
    let mut bytes = 0;
    let mut extent = 0..0;

    for segment in image.segments() {
        if segment.role == Role::Purgatory {
            extent = segment.start..segment.start + segment.mem_size as u64;
        }
        let Some(kind) = regions::region_kind(segment.kind) else {
            continue;
        };
        // `verify()` of the purgatory relies on this: its page tables map the memory of the
        // segment, and need not map what follows.
        if segment.digest_len > segment.mem_size {
            return Err(EINVAL.into());
        }
        *regions.get_mut(count).ok_or(EINVAL)? = Region {
            start: segment.start,
            len: segment.digest_len as u64,
            kind: kind as u32,
            reserved: 0,
            digest: segment.digest,
        };
        count += 1;
        bytes += segment.digest_len;
    }

    let purgatory = image.purgatory_mut().ok_or(EINVAL)?;
    let header = header(purgatory)?;
    let (code, params) = split(purgatory, &header)?;
    let has_console = machine.console_port != 0 || machine.console_mmio32 != 0;
    let flags = match debug && has_console {
        true => abi::FLAG_DEBUG,
        false => 0,
    };

    *params = Params {
        magic: abi::MAGIC,
        version: abi::VERSION,
        size: size_of::<Params>() as u32,
        entry: params.entry,
        boot_params: params.boot_params,
        flags,
        tsc_khz: machine.tsc_khz,
        reset: reset(&machine),
        console_mmio32: machine.console_mmio32,
        purgatory: extent.start,
        xcr0: engine.xcr0(),
        engine: engine as u32,
        nr_regions: count as u32,
        own_digest: sha256::digest(code),
        params_digest: [0; abi::DIGEST_SIZE],
        regions,
        record: record.unwrap_or(0),
    };
    params.params_digest = digest_of(params);

    // Refuse now what the purgatory would refuse when this kernel is gone.
    let (own_digest, params_digest) = (params.own_digest, params.params_digest);
    check::check(params, extent, &own_digest, &params_digest).map_err(Refusal::Fault)?;

    Ok(Sealed {
        regions: count,
        bytes,
        engine,
    })
}

/// The digest of the parameters as [`Params::params_digest`] defines it.
pub(crate) fn digest_of(params: &Params) -> abi::Digest {
    let mut copy = *params;

    copy.params_digest = [0; abi::DIGEST_SIZE];
    sha256::digest(copy.as_bytes())
}

fn reset(machine: &Machine) -> Reset {
    match machine.reset {
        None => Reset::default(),
        Some(ResetRegister::Io { port, value }) => Reset {
            address: port.into(),
            space: abi::RESET_IO,
            value: value.into(),
        },
        Some(ResetRegister::Pci { address, value }) => Reset {
            address,
            space: abi::RESET_PCI,
            value: value.into(),
        },
    }
}
