// SPDX-License-Identifier: GPL-2.0

//! Functions and constants that `kernel::bindings` lacks: bindgen's output for
//! `bindings/bindings.h`.

/// Includes bindgen's output of a folder, without lints.
macro_rules! bindgen_output {
    ($folder:literal) => {
        #[allow(
            clippy::all,
            clippy::undocumented_unsafe_blocks,
            dead_code,
            missing_docs,
            non_camel_case_types,
            non_upper_case_globals,
            non_snake_case,
            improper_ctypes,
            unreachable_pub,
            unsafe_op_in_unsafe_fn,
            unused_imports
        )]
        mod output {
            include!(concat!(
                env!("CRATE_OBJ"),
                "/",
                $folder,
                "/bindings_generated.rs"
            ));
        }

        pub(crate) use output::*;
    };
}

pub(crate) use bindgen_output;

bindgen_output!("kernel_ext");
