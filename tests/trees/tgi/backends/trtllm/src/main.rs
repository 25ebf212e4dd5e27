//! Says what the C++ part was built for, and which MPI it found.

use std::ffi::{c_char, c_int, CStr};

extern "C" {
    fn backend_version() -> c_int;
    fn backend_archs() -> *const c_char;
}

fn main() {
    // SAFETY: both functions take nothing, and the string is a constant of the library.
    let (version, archs) = unsafe { (backend_version(), CStr::from_ptr(backend_archs())) };
    println!("MPI {version}, {}", archs.to_string_lossy());
}
