fn main() {
    println!("launcher");
}
