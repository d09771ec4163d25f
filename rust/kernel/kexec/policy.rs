// SPDX-License-Identifier: GPL-2.0-only

//! Policies: modules that decide which normal images are verified.
//!
//! C header: [`arch/x86/include/asm/kexec-purgatory.h`](
//! srctree/arch/x86/include/asm/kexec-purgatory.h)

use super::LoadingImage;

/// What the registered policy says about `image`; `None` if there is none.
///
/// Records the name of the module that decided in the image.
#[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
pub fn ask_policy(image: &LoadingImage) -> Option<bool> {
    // SAFETY: By the type invariant the image is valid and the kexec lock is held.
    match unsafe { bindings::kexec_purgatory_policy_ask(image.as_raw()) } {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// What the registered policy says about `image`: there can be none.
#[cfg(not(CONFIG_KEXEC_PURGATORY_VERIFY = "m"))]
pub fn ask_policy(_image: &LoadingImage) -> Option<bool> {
    None
}

#[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
pub use registration::{
    Policy,
    Registration, //
};

#[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
use crate::bindings;

#[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
mod registration {
    use super::LoadingImage;
    use crate::{
        bindings,
        error::to_result,
        kexec::Spared,
        prelude::*, //
    };
    use core::marker::PhantomData;

    /// A decision which normal images are verified.
    ///
    /// It is not asked about crash images, which always are.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::kexec::{LoadingImage, Policy, Spared};
    ///
    /// /// Verifies images that bring no initramfs, unless they are spared.
    /// struct KernelOnly;
    ///
    /// impl Policy for KernelOnly {
    ///     fn verify(image: &LoadingImage, spared: Option<Spared>) -> bool {
    ///         spared.is_none() && image.initramfs_size() == 0
    ///     }
    /// }
    /// ```
    pub trait Policy {
        /// Whether `image` is to be verified. All its segments but the purgatory are in place.
        ///
        /// `spared` tells why the image is not verified without a policy, if that is so. For such
        /// an image `false` keeps that decision and its reason.
        ///
        /// Called by `kexec_file_load()`, with the kexec lock held. May sleep.
        fn verify(image: &LoadingImage, spared: Option<Spared>) -> bool;
    }

    /// A policy in force.
    ///
    /// Dropping it ends that, and so does the end of the module that has the code of `T`. Images
    /// that were loaded keep what was decided about them.
    ///
    /// # Invariants
    ///
    /// `callback` is what was registered.
    pub struct Registration<T: Policy> {
        callback: unsafe extern "C" fn(*mut bindings::kimage) -> bool,
        _policy: PhantomData<fn() -> T>,
    }

    impl<T: Policy> Registration<T> {
        /// Puts the policy in force. `module` is what the administrator is told.
        ///
        /// # Errors
        ///
        /// `EBUSY` if another policy is in force.
        pub fn new(module: &'static ThisModule) -> Result<Self> {
            let callback = Self::verify_callback;

            // SAFETY: `callback` is valid to be called for as long as its code is there. What is
            // registered ends when the module goes that has the code, also where the registration
            // was not dropped. The name of `module` is copied.
            to_result(unsafe {
                bindings::kexec_purgatory_policy_register(module.as_ptr(), Some(callback))
            })?;
            // INVARIANT: It was registered just now.
            Ok(Registration {
                callback,
                _policy: PhantomData,
            })
        }

        /// # Safety
        ///
        /// As for [`LoadingImage::from_raw`].
        unsafe extern "C" fn verify_callback(image: *mut bindings::kimage) -> bool {
            // SAFETY: By the safety requirements of this function.
            let image = unsafe { LoadingImage::from_raw(image) };

            T::verify(image, image.circumstances().spared())
        }
    }

    impl<T: Policy> Drop for Registration<T> {
        fn drop(&mut self) {
            // SAFETY: There are no requirements: nothing happens if it is not registered any more.
            unsafe { bindings::kexec_purgatory_policy_unregister(Some(self.callback)) };
        }
    }
}
