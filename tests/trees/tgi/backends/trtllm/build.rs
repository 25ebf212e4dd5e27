//! Builds the C++ part by CMake and links it, as the real backend does, by standard means alone.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const INSTALL_PREFIX: Option<&str> = option_env!("CMAKE_INSTALL_PREFIX");
const CUDA_ARCH_LIST: Option<&str> = option_env!("CUDA_ARCH_LIST");

fn run(command: &mut Command) -> String {
    let done = command.output().expect("the command starts");
    let said = String::from_utf8(done.stdout).expect("the output is text");
    assert!(done.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&done.stderr));
    said
}

fn main() {
    let build = PathBuf::from(env::var("OUT_DIR").unwrap()).join("build");
    let prefix = INSTALL_PREFIX.unwrap_or("/usr/local/tgi");
    run(Command::new("cmake")
        .args(["-G", "Ninja", "-S", ".", "-B"])
        .arg(&build)
        .arg("-DCMAKE_BUILD_TYPE=Release")
        .arg(format!("-DCMAKE_INSTALL_PREFIX={prefix}"))
        .arg(format!("-DTGI_TRTLLM_BACKEND_TARGET_CUDA_ARCH_LIST={}", CUDA_ARCH_LIST.unwrap_or("90-real"))));
    run(Command::new("cmake").arg("--build").arg(&build).args(["--target", "install"]));

    println!("cargo:rustc-link-search={prefix}/lib");
    println!("cargo:rustc-link-lib=dylib=tgi_backend");
    for word in run(Command::new("pkg-config").args(["--libs", "ompi"])).split_whitespace() {
        if let Some(folder) = word.strip_prefix("-L") {
            println!("cargo:rustc-link-search={folder}");
        } else if let Some(library) = word.strip_prefix("-l") {
            println!("cargo:rustc-link-lib=dylib={library}");
        }
    }
    println!("cargo:rerun-if-changed=CMakeLists.txt");
    println!("cargo:rerun-if-changed=csrc/backend.cpp");
}
