// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the Rust side of `rust/uapi/repoll.h` with the bindgen command.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{exit, Command};

fn main() {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let output = Path::new(&variable("OUT_DIR")).join("uapi.rs");
    let wrapper = manifest.join("wrapper.h");
    let uapi = manifest.join("../../rust/uapi");
    let bindgen = env::var("BINDGEN").unwrap_or_else(|_| "bindgen".to_owned());

    println!("cargo::rerun-if-env-changed=BINDGEN");
    println!("cargo::rerun-if-changed={}", wrapper.display());
    println!(
        "cargo::rerun-if-changed={}",
        uapi.join("repoll.h").display()
    );

    let status = Command::new(&bindgen)
        .arg(&wrapper)
        .args([
            "--allowlist-type",
            "repoll_(create|ctl|wait|poll|select|counts|source_.*|takeover.*|ioctl)",
        ])
        .args([
            "--allowlist-var",
            "REPOLL_((WAIT|COUNTS)_SIZE|SOURCE|TAKEOVER)_.*",
        ])
        .args(["--use-core", "--with-derive-default"])
        .args(["--default-enum-style", "consts"])
        .arg("--no-prepend-enum-name")
        .arg("--output")
        .arg(&output)
        .arg("--")
        .arg("-I")
        .arg(&uapi)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("{bindgen} failed: {status}")),
        Err(error) => fail(&format!(
            "cannot run {bindgen}: {error} (install bindgen, or name it in $BINDGEN)"
        )),
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| fail(&format!("cargo did not set {name}")))
}

fn fail(message: &str) -> ! {
    eprintln!("repoll: {message}");
    exit(1)
}
