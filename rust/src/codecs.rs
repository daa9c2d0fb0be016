extern "C" { fn rans_compress_bound_4x16(size: u32, order: i32) -> u32; }
pub fn t() -> u32 { unsafe { rans_compress_bound_4x16(100, 0) } }
#[test] fn x() { assert!(t() > 100); }
