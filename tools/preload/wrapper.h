/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What bindgen reads: the same as for the client crate. */
#include "../client/wrapper.h"
