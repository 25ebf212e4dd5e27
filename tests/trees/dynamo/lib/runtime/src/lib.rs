/// How many workers there are.
pub fn workers() -> u32 {
    4
}
