fn main() {
    let blocks = if cfg!(feature = "block-manager") { 10 } else { 0 };
    println!("{}", dynamo_runtime::workers() + blocks);
}
