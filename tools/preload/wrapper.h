/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The declarations that bindgen reads: those of the client crate. */
#include "../client/wrapper.h"
