// SPDX-License-Identifier: GPL-2.0
/* Makes the tracepoints of repoll_trace.h, and their entry points for Rust. */
#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "repoll_trace.h"
