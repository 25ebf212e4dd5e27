fn main() {
    println!("{} workers", dynamo_runtime::workers());
}
