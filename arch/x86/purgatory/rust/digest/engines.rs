// SPDX-License-Identifier: GPL-2.0-only

//! The table of engines, and the selection of one.
//!
//! The kernel's loader chooses the engine and the purgatory uses it, so this file is compiled into
//! both, and into the host's tools. It depends on nothing.
//!
//! A new engine is a row of the table below, a file in `engine/`, its call in `engine.rs`, and its
//! mutants. The compiler, KUnit and the host's tests find what is missing.

use core::ffi::CStr;

/// `XCR0` bits of the x87, SSE and AVX states (Intel SDM volume 1, section 13.3).
const X87_SSE_AVX: u64 = 0x7;

/// `XCR0` bits of the AVX-512 states.
const OPMASK_ZMM: u64 = 0xe0;

macro_rules! engines {
    ($(
        $(#[$attribute:meta])*
        $kind:ident = $number:literal {
            name: $name:literal,
            lanes: $lanes:literal,
            needs: [$($feature:ident),*],
            xcr0: $xcr0:expr,
            slower: [$($core:ident => $faster:ident),*],
        }
    )*) => {
        /// How the purgatory computes SHA-256.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum EngineKind {
            $($(#[$attribute])* $kind = $number,)*
        }

        impl EngineKind {
            /// Every engine, the fastest one first. [`EngineKind::slower`] lists exceptions.
            pub const ALL: &'static [EngineKind] = &[$(EngineKind::$kind),*];

            /// The engine with this number, if there is one.
            pub fn from_raw(raw: u32) -> Option<EngineKind> {
                match raw {
                    $($number => Some(EngineKind::$kind),)*
                    _ => None,
                }
            }

            /// The engine's name in messages and in benchmark results.
            pub fn name(self) -> &'static str {
                match self {
                    $(EngineKind::$kind => $name,)*
                }
            }

            /// [`EngineKind::name`] for C.
            pub const fn c_name(self) -> &'static CStr {
                match self {
                    $(EngineKind::$kind => {
                        match CStr::from_bytes_with_nul(concat!($name, "\0").as_bytes()) {
                            Ok(name) => name,
                            Err(_) => c"",
                        }
                    })*
                }
            }

            /// Number of leaves that are hashed at the same time.
            pub fn lanes(self) -> usize {
                match self {
                    $(EngineKind::$kind => $lanes,)*
                }
            }

            /// The extensions beyond SSE2 that the engine may use. They include those that another
            /// one implies, which the compiler uses as well.
            pub fn needs(self) -> &'static [Feature] {
                match self {
                    $(EngineKind::$kind => &[$(Feature::$feature),*],)*
                }
            }

            /// Bits that `XCR0` must hold while the engine runs. 0: the engine needs no `XSAVE`
            /// state beyond what `CR4.OSFXSR` enables.
            pub fn xcr0(self) -> u64 {
                match self {
                    $(EngineKind::$kind => $xcr0,)*
                }
            }
        }

        impl EngineKind {
            /// Cores on which an engine further down in the table is faster, and that engine.
            pub fn slower(self) -> &'static [(Core, EngineKind)] {
                match self {
                    $(EngineKind::$kind => &[$((Core::$core, EngineKind::$faster)),*],)*
                }
            }
        }

        /// Most lanes that an engine has.
        pub const LANES_MAX: usize = {
            let mut most = 0;

            $(if $lanes > most {
                most = $lanes;
            })*
            most
        };
    };
}

// The order is that of speed on most processors, fastest first. `slower` lists the exceptions. The
// measurements are in Documentation/arch/x86/kexec-purgatory-performance.rst.
engines! {
    /// AVX-512, sixteen leaves.
    Avx512X16 = 3 {
        name: "avx512-x16",
        lanes: 16,
        needs: [Ssse3, Sse41, Avx, Avx2, Avx512F, Avx512Bw],
        xcr0: X87_SSE_AVX | OPMASK_ZMM,
        // A Zen 4 executes 512-bit operations on 256-bit units, and can start a `sha256rnds2` in
        // each cycle.
        slower: [Zen4 => ShaNiX4],
    }

    /// SHA-NI, four leaves.
    ShaNiX4 = 1 {
        name: "shani-x4",
        lanes: 4,
        needs: [Ssse3, Sse41, Sha],
        xcr0: 0,
        slower: [],
    }

    /// AVX2, eight leaves.
    Avx2X8 = 2 {
        name: "avx2-x8",
        lanes: 8,
        needs: [Ssse3, Sse41, Avx, Avx2],
        xcr0: X87_SSE_AVX,
        slower: [],
    }

    /// The `sha2` crate, one leaf.
    Scalar = 0 {
        name: "scalar",
        lanes: 1,
        needs: [],
        xcr0: 0,
        slower: [],
    }
}

/// An extension of the instruction set that some engine needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Supplemental SSE3.
    Ssse3,
    /// SSE4.1.
    Sse41,
    /// SHA-NI.
    Sha,
    /// AVX.
    Avx,
    /// AVX2.
    Avx2,
    /// AVX-512 Foundation.
    Avx512F,
    /// AVX-512 Byte and Word.
    Avx512Bw,
}

/// A kind of core on which the engines have another order of speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// AMD's Zen 4.
    Zen4,
}

/// A processor, as the system on it sees it.
pub trait Processor {
    /// Whether the processor has this extension.
    fn has(&self, feature: Feature) -> bool;

    /// Whether the processor has this kind of cores.
    fn is(&self, core: Core) -> bool;

    /// Whether all these bits may be set in `XCR0` together. `xcr0` is not 0.
    fn may_enable(&self, xcr0: u64) -> bool;
}

/// Whether a processor can run an engine, once `CR0`, `CR4` and `XCR0` are set up for it.
///
/// The purgatory sets them up itself, since `relocate_kernel` has cleared `CR4.OSXSAVE`. Therefore
/// this asks which states may be enabled, not which are.
pub fn supports(processor: &impl Processor, engine: EngineKind) -> bool {
    let xcr0 = engine.xcr0();

    engine.needs().iter().all(|&feature| processor.has(feature))
        && (xcr0 == 0 || processor.may_enable(xcr0))
}

/// The fastest engine that a processor can run.
pub fn select(processor: &impl Processor) -> EngineKind {
    EngineKind::ALL
        .iter()
        .copied()
        .find(|&engine| {
            let is_slower = |&(core, faster): &(Core, EngineKind)| {
                processor.is(core) && supports(processor, faster)
            };

            supports(processor, engine) && !engine.slower().iter().any(is_slower)
        })
        .unwrap_or(EngineKind::Scalar)
}
